"""Reads a JSON document, puts the text into it, and writes it again."""

import json
from pathlib import Path
from zlib import crc32

NAME = "json_serdes"

DOCUMENT = Path(__file__).with_name("document.json")


def handle(text: bytes) -> str:
    document = json.loads(DOCUMENT.read_bytes())
    document["reader"] = text.decode(errors="replace")
    for person in document["people"]:
        person["friends"].sort()
    written = json.dumps(document, indent=1).encode()
    return f"{len(document['people'])} people {len(written)} bytes {crc32(written):08x}"
