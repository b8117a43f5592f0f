"""Invented reviews, the same ones each time: no data set is shipped, so there is no licence to keep."""

from random import Random

GOOD = "good great fine lovely fresh warm friendly quick tasty bright perfect pleasant honest generous superb".split()
BAD = "bad awful stale cold rude slow bland dull broken dreary bitter greasy noisy dirty poor".split()
THINGS = "soup bread room bed waiter garden coffee table view price music window salad service kitchen cake".split()
FILLERS = "really quite very rather somewhat truly indeed simply almost perhaps".split()
FRAMES = [
    "the {thing} was {filler} {word}",
    "we found the {thing} {word}",
    "{filler} a {word} {thing}",
    "i thought that the {thing} looked {word}",
    "what a {word} {thing} that was",
]
# How often a word of the other kind slips in, so that there is something to learn.
CONTRARY = 0.2
SENTENCES = 4


def reviews(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Texts, and for each 1 if it is a good review, else 0."""
    dice = Random(seed)
    texts, labels = [], []
    for number in range(count):
        label = number % 2
        texts.append(". ".join(sentence(dice, label) for _ in range(SENTENCES)))
        labels.append(label)
    return texts, labels


def sentence(dice: Random, label: int) -> str:
    words = GOOD if (dice.random() >= CONTRARY) == bool(label) else BAD
    return dice.choice(FRAMES).format(
        thing=dice.choice(THINGS), filler=dice.choice(FILLERS), word=dice.choice(words)
    )
