"""A convolutional neural network over small grey pictures: what it is, and the pictures it knows."""

from random import Random

import numpy

SIDE = 32
SHAPES = ["disc", "square", "triangle", "cross", "ring", "stripes"]
CHANNELS = [1, 8, 16, 32]
PIXELS = CHANNELS[-1] * (SIDE // 8) ** 2


def draw(shape: str, dice: Random) -> numpy.ndarray:
    """A picture of a shape, somewhere and of some size, in noise: shape (SIDE, SIDE), about 0 to 1."""
    down, right = numpy.mgrid[:SIDE, :SIDE].astype(numpy.float32)
    size = dice.uniform(6, 11)
    down -= dice.uniform(size, SIDE - size)
    right -= dice.uniform(size, SIDE - size)
    far = numpy.hypot(down, right)
    inside = (abs(down) < size) & (abs(right) < size)
    match shape:
        case "disc":
            lit = far < size
        case "square":
            lit = inside
        case "triangle":
            lit = inside & (abs(right) * 2 < down + size)
        case "cross":
            lit = inside & ((abs(down) < size / 3) | (abs(right) < size / 3))
        case "ring":
            lit = (far < size) & (far > size * 0.6)
        case "stripes":
            lit = inside & (down % 5 < 2.5)
    noise = numpy.array([dice.gauss(0, 0.15) for _ in range(SIDE * SIDE)], numpy.float32)
    return lit * numpy.float32(dice.uniform(0.6, 1)) + noise.reshape(SIDE, SIDE)


def windows(pictures: numpy.ndarray) -> numpy.ndarray:
    """The 3×3 surroundings of every pixel, (batch, channels, side, side) to (batch * side * side, channels * 9)."""
    padded = numpy.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return views.transpose(0, 2, 3, 1, 4, 5).reshape(-1, pictures.shape[1] * 9)


def convolve(pictures: numpy.ndarray, filters: numpy.ndarray, bias: numpy.ndarray) -> numpy.ndarray:
    batch, _, side, _ = pictures.shape
    out = windows(pictures) @ filters + bias
    return out.reshape(batch, side, side, -1).transpose(0, 3, 1, 2)


def halve(pictures: numpy.ndarray) -> numpy.ndarray:
    """Means of 2×2 pixels."""
    batch, channels, side, _ = pictures.shape
    return pictures.reshape(batch, channels, side // 2, 2, side // 2, 2).mean(axis=(3, 5))


def layers(weights: dict[str, numpy.ndarray], pictures: numpy.ndarray) -> tuple[list[numpy.ndarray], numpy.ndarray]:
    """What goes into each layer, and how likely each shape is: shape (batch, shapes)."""
    inputs = [pictures]
    for number in range(1, len(CHANNELS)):
        raw = convolve(inputs[-1], weights[f"filters{number}"], weights[f"bias{number}"])
        inputs.append(halve(numpy.maximum(raw, 0)))
    scores = inputs[-1].reshape(len(pictures), -1) @ weights["dense"] + weights["dense_bias"]
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return inputs, powers / powers.sum(axis=1, keepdims=True)
