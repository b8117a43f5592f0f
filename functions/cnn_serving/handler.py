"""Draws a noisy picture that the text chooses, and says what is on it, by a convolutional neural network."""

from pathlib import Path
from random import Random
from zlib import crc32

import numpy

from network import SHAPES, draw, layers

NAME = "cnn_serving"

with numpy.load(Path(__file__).with_name("weights.npz")) as archive:
    WEIGHTS = {name: archive[name] for name in archive.files}


def handle(text: bytes) -> str:
    dice = Random(crc32(text))
    drawn = dice.choice(SHAPES)
    picture = draw(drawn, dice)
    _, likely = layers(WEIGHTS, picture[None, None])
    best = int(likely[0].argmax())
    return f"drew {drawn}, saw {SHAPES[best]} with {likely[0, best]:.3f}"
