"""Trains a logistic regression on reviews, then says what it thinks of the text."""

import json
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

NAME = "lr_training"

REVIEWS = Path(__file__).with_name("reviews.json")


def handle(text: bytes) -> str:
    data = json.loads(REVIEWS.read_bytes())
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression())
    model.fit(*data["learn"])
    right = model.score(*data["examine"])
    good = model.predict_proba([text.decode(errors="replace")])[0][1]
    return f"{right:.3f} of the reviews right, good with {good:.3f}"
