"""Invents names that begin as the text does, letter by letter, by a recurrent neural network."""

from pathlib import Path
from random import Random
from zlib import crc32

import numpy

from network import ALPHABET, HIDDEN, chances, step

NAME = "rnn_serving"

NAMES = 10
LONGEST_START = 3
LONGEST_NAME = 14
HEAT = 1.0

with numpy.load(Path(__file__).with_name("weights.npz")) as archive:
    WEIGHTS = {name: archive[name] for name in archive.files}


def handle(text: bytes) -> str:
    start = "".join(letter for letter in text.decode(errors="replace").lower() if letter in ALPHABET[1:])
    # The text is the seed: the same text gives the same names.
    dice = Random(crc32(text))
    return " ".join(invent(start[:LONGEST_START] or "a", dice) for _ in range(NAMES))


def invent(start: str, dice: Random) -> str:
    hidden = numpy.zeros((1, HIDDEN))
    name = ""
    # The end of the name before is where a name begins.
    letter = 0
    while len(name) < LONGEST_NAME:
        hidden = step(WEIGHTS, hidden, numpy.array([letter]))
        if len(name) < len(start):
            letter = ALPHABET.index(start[len(name)])
        else:
            letter = pick(chances(WEIGHTS, hidden, HEAT)[0], dice)
        if letter == 0:
            break
        name += ALPHABET[letter]
    return name.title()


def pick(chances: numpy.ndarray, dice: Random) -> int:
    return min(int(numpy.searchsorted(chances.cumsum(), dice.random())), len(ALPHABET) - 1)
