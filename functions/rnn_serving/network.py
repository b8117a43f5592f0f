"""A recurrent neural network over characters: what it is, apart from how it is trained or used."""

import numpy

# The first is the end of a name.
ALPHABET = "\nabcdefghijklmnopqrstuvwxyz"
HIDDEN = 96


def step(weights: dict[str, numpy.ndarray], hidden: numpy.ndarray, letters: numpy.ndarray) -> numpy.ndarray:
    """The next hidden states, of a batch of names: shape (batch, HIDDEN)."""
    return numpy.tanh(weights["in"][letters] + hidden @ weights["again"] + weights["bias"])


def chances(weights: dict[str, numpy.ndarray], hidden: numpy.ndarray, heat: float = 1.0) -> numpy.ndarray:
    """How likely each letter comes next: shape (batch, letters)."""
    scores = (hidden @ weights["out"] + weights["out_bias"]) / heat
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
