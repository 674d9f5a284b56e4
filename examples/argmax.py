"""In the style of an evaluation script: the class with the highest score; there is nothing to differentiate.

Run it: ``crosscheck check examples/argmax.py``. Random numbers are never equal, and images are often of one class alone: which class wins where two
score alike, and along which axis, is seen on inputs with ties and unequal axes.
"""

import numpy as np


def predict(logits):
    """Return the class of each row, the first one of those that tie."""
    return logits.argmax(axis=1)


def predict_last(logits):
    """Sort, and take the last: of classes that tie, that is the last one."""
    return np.argsort(logits, axis=1, kind="stable")[:, -1]


def predict_pixels(logits):
    """Return the class of each pixel of ``(batch, classes, height, width)``."""
    return logits.argmax(axis=1)


def predict_pixels_last_axis(logits):
    """Look for the classes on the last axis, where other frameworks have them."""
    return logits.argmax(axis=-1)


# --- adapting ---
import torch

from crosscheck import Forward, Pair

ROWS = {"reference": lambda logits: torch.argmax(logits, dim=1), "inputs": {"logits": "batch classes"}, "sizes": {"batch": 4, "classes": 5}}
IMAGES = {**ROWS, "inputs": {"logits": "batch classes height width"}, "sizes": {"batch": 2, "classes": 4, "height": 4, "width": 4}}
PAIRS = [
    Pair(Forward(predict), name="rows", **ROWS),
    Pair(Forward(predict_last), name="rows (wrong: the last of those that tie)", **ROWS),
    Pair(Forward(predict_pixels), name="pixels", **IMAGES),
    Pair(Forward(predict_pixels_last_axis), name="pixels (wrong: the classes are elsewhere)", **IMAGES),
]
# --- end ---
