"""Trains the network on pictures drawn for it, by back-propagation and Adam."""

import sys
from pathlib import Path
from random import Random

import numpy

from network import CHANNELS, PIXELS, SHAPES, SIDE, convolve, draw, layers, windows

STEPS = 250
BATCH = 32
RATE = 0.004

pen = Random(1)
dice = numpy.random.default_rng(1)
weights = {"dense": dice.normal(0, 0.05, (PIXELS, len(SHAPES))), "dense_bias": numpy.zeros(len(SHAPES))}
for number in range(1, len(CHANNELS)):
    inputs = CHANNELS[number - 1] * 9
    weights[f"filters{number}"] = dice.normal(0, (2 / inputs) ** 0.5, (inputs, CHANNELS[number]))
    weights[f"bias{number}"] = numpy.zeros(CHANNELS[number])
weights = {name: weight.astype(numpy.float32) for name, weight in weights.items()}
first = {name: numpy.zeros_like(weight) for name, weight in weights.items()}
second = {name: numpy.zeros_like(weight) for name, weight in weights.items()}


def pictures(count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    labels = numpy.array([pen.randrange(len(SHAPES)) for _ in range(count)])
    return numpy.array([[draw(SHAPES[label], pen)] for label in labels]), labels


def gradients(batch: numpy.ndarray, labels: numpy.ndarray) -> dict[str, numpy.ndarray]:
    """Where the mean loss grows."""
    inputs, ahead = layers(weights, batch)
    ahead[numpy.arange(len(batch)), labels] -= 1
    ahead /= len(batch)
    slopes = {
        "dense": inputs[-1].reshape(len(batch), -1).T @ ahead,
        "dense_bias": ahead.sum(axis=0),
    }
    back = (ahead @ weights["dense"].T).reshape(inputs[-1].shape)
    for number in reversed(range(1, len(CHANNELS))):
        below = inputs[number - 1]
        filters = weights[f"filters{number}"]
        raw = convolve(below, filters, weights[f"bias{number}"])
        # Through the mean of four, and the rectifier.
        back = back.repeat(2, axis=2).repeat(2, axis=3) / 4 * (raw > 0)
        slope = back.transpose(0, 2, 3, 1).reshape(-1, CHANNELS[number])
        slopes[f"filters{number}"] = windows(below).T @ slope
        slopes[f"bias{number}"] = slope.sum(axis=0)
        if number > 1:
            back = unfold(slope @ filters.T, below.shape)
    return slopes


def unfold(slope: numpy.ndarray, shape: tuple[int, ...]) -> numpy.ndarray:
    """The reverse of `windows`: adds what each surrounding says about a pixel."""
    batch, channels, side, _ = shape
    slope = slope.reshape(batch, side, side, channels, 3, 3)
    padded = numpy.zeros((batch, channels, side + 2, side + 2), numpy.float32)
    for down in range(3):
        for right in range(3):
            padded[:, :, down : down + side, right : right + side] += slope[..., down, right].transpose(0, 3, 1, 2)
    return padded[:, :, 1:-1, 1:-1]


for number in range(1, STEPS + 1):
    for name, slope in gradients(*pictures(BATCH)).items():
        first[name] += 0.1 * (slope - first[name])
        second[name] += 0.001 * (slope**2 - second[name])
        scale = (1 - 0.999**number) ** 0.5 / (1 - 0.9**number)
        weights[name] -= RATE * scale * first[name] / (second[name] ** 0.5 + 1e-8)

batch, labels = pictures(200)
right = (layers(weights, batch)[1].argmax(axis=1) == labels).mean()
print(f"cnn_serving: {right:.3f} of the pictures right", file=sys.stderr)
if right < 0.9:
    sys.exit("the network learnt too little")
# Rounded, so that the last bits, which differ between processors, are not in the image.
numpy.savez(Path(sys.argv[1]) / "weights.npz", **{name: weight.round(4) for name, weight in weights.items()})
