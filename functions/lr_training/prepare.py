"""Writes the reviews that the function learns from, and those that it is examined with."""

import json
import sys
from pathlib import Path

from reviews import reviews

data = {"learn": reviews(4000, seed=1), "examine": reviews(500, seed=2)}
(Path(sys.argv[1]) / "reviews.json").write_text(json.dumps(data))
