"""Trains the network on given names, by back-propagation through time and Adam."""

import sys
from pathlib import Path

import numpy

from network import ALPHABET, HIDDEN, chances, step

STEPS = 400
BATCH = 64
RATE = 0.005

names = Path(__file__).with_name("names.txt").read_text().split()
longest = max(map(len, names)) + 1
letters = numpy.zeros((len(names), longest + 1), int)
for row, name in enumerate(names):
    # Column 0 is the end of the name before; what follows a name is its end again, and not learnt from.
    letters[row, 1 : len(name) + 1] = [ALPHABET.index(letter) for letter in name.lower()]
lengths = numpy.array([len(name) + 1 for name in names])

dice = numpy.random.default_rng(1)
weights = {
    "in": dice.normal(0, 0.1, (len(ALPHABET), HIDDEN)),
    "again": dice.normal(0, 1 / HIDDEN**0.5, (HIDDEN, HIDDEN)),
    "bias": numpy.zeros(HIDDEN),
    "out": dice.normal(0, 0.1, (HIDDEN, len(ALPHABET))),
    "out_bias": numpy.zeros(len(ALPHABET)),
}
first = {name: numpy.zeros_like(weight) for name, weight in weights.items()}
second = {name: numpy.zeros_like(weight) for name, weight in weights.items()}


def gradients(batch: numpy.ndarray, lengths: numpy.ndarray) -> tuple[float, dict[str, numpy.ndarray]]:
    """The mean loss of a letter, and where it grows."""
    rows = numpy.arange(len(batch))
    count = lengths.sum()
    states = [numpy.zeros((len(batch), HIDDEN))]
    ahead = []
    loss = 0.0
    for at in range(longest):
        states.append(step(weights, states[-1], batch[:, at]))
        likely = chances(weights, states[-1])
        counts = (at < lengths)[:, None]
        loss -= (numpy.log(likely[rows, batch[:, at + 1]])[:, None] * counts).sum() / count
        likely[rows, batch[:, at + 1]] -= 1
        ahead.append(likely * counts / count)
    slopes = {name: numpy.zeros_like(weight) for name, weight in weights.items()}
    back = numpy.zeros((len(batch), HIDDEN))
    for at in reversed(range(longest)):
        state = states[at + 1]
        slopes["out"] += state.T @ ahead[at]
        slopes["out_bias"] += ahead[at].sum(axis=0)
        inner = (ahead[at] @ weights["out"].T + back) * (1 - state**2)
        slopes["again"] += states[at].T @ inner
        slopes["bias"] += inner.sum(axis=0)
        numpy.add.at(slopes["in"], batch[:, at], inner)
        back = inner @ weights["again"].T
    return loss, slopes


loss = 0.0
for number in range(1, STEPS + 1):
    chosen = dice.integers(len(names), size=BATCH)
    loss, slopes = gradients(letters[chosen], lengths[chosen])
    for name, slope in slopes.items():
        first[name] += 0.1 * (slope - first[name])
        second[name] += 0.001 * (slope**2 - second[name])
        scale = (1 - 0.999**number) ** 0.5 / (1 - 0.9**number)
        weights[name] -= RATE * scale * first[name] / (second[name] ** 0.5 + 1e-8)
if loss > 2:
    sys.exit(f"the network learnt nothing: its loss is {loss:.2f}")
# Rounded, so that the last bits, which differ between processors, are not in the image.
numpy.savez(Path(sys.argv[1]) / "weights.npz", **{name: weight.round(4) for name, weight in weights.items()})
