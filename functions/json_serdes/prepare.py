"""Writes the document that the function reads: 1000 invented people, the same ones each time."""

import json
import sys
from pathlib import Path
from random import Random

PEOPLE = 1000
SYLLABLES = ["ba", "den", "fi", "gor", "ka", "li", "mo", "nes", "ru", "sa", "ti", "vel"]

dice = Random(1)


def word() -> str:
    return "".join(dice.choices(SYLLABLES, k=3))


def person(number: int) -> dict[str, object]:
    return {
        "id": number,
        "name": f"{word().title()} {word().title()}",
        "age": dice.randrange(18, 90),
        "balance": round(dice.uniform(-1000, 10000), 2),
        "active": dice.random() < 0.5,
        "place": {"town": word().title(), "at": [round(dice.uniform(-180, 180), 6), round(dice.uniform(-90, 90), 6)]},
        "friends": dice.sample(range(PEOPLE), k=8),
        "note": " ".join(word() for _ in range(12)),
    }


document = {"reader": None, "people": [person(number) for number in range(PEOPLE)]}
(Path(sys.argv[1]) / "document.json").write_text(json.dumps(document))
