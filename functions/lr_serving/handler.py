"""Says whether the text is a good review, by a logistic regression over its words."""

import pickle
from pathlib import Path

# Named, so that they are imported with the function even if the model's pickle comes to need less.
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: F401
from sklearn.linear_model import LogisticRegression  # noqa: F401
from sklearn.pipeline import Pipeline  # noqa: F401

NAME = "lr_serving"

# The model was made with the image, by the same version of scikit-learn.
MODEL = pickle.loads(Path(__file__).with_name("model.pickle").read_bytes())


def handle(text: bytes) -> str:
    good = MODEL.predict_proba([text.decode(errors="replace")])[0][1]
    return f"{'good' if good >= 0.5 else 'bad'} with {max(good, 1 - good):.3f}"
