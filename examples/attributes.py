"""In the style of a student's exercise: ``layer.W`` and ``layer.b`` beside ``layer.dW`` and ``layer.db``, images as ``(batch, channels, h, w)``.

Run it: ``crosscheck check examples/attributes.py``. One of the mistakes shows in no value of a single pass: gradients that pile up from step to step.
"""

import numpy as np


class Affine:
    """``x @ W + b``."""

    def __init__(self, inputs, outputs):
        self.W = np.random.default_rng(0).standard_normal((inputs, outputs))
        self.b = np.zeros(outputs)
        self.dW = None
        self.db = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineNotTransposed(Affine):
    """Multiplies by W on the way back, too: with a square matrix the shapes do not object."""

    def backward(self, dout):
        super().backward(dout)
        return dout @ self.W


class AffinePilingUp(Affine):
    """Adds to the gradient of the step before, which is never cleared."""

    def backward(self, dout):
        dW = self.x.T @ dout
        self.dW = dW if self.dW is None else self.dW + dW
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Relu:
    """The positive part."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dout):
        return np.where(self.x > 0, dout, 0)


class ReluOfGradient(Relu):
    """Looks at the sign of the gradient, not at that of its input."""

    def backward(self, dout):
        return np.where(dout > 0, dout, 0)


# --- adapting ---
from torch import nn

from crosscheck import Attributes, Pair

LINEAR, RELU = nn.Linear(4, 4), nn.ReLU()
SQUARE = {"shapes": [(3, 4), (1, 4)], "params": {"W": "weight: i o -> o i", "b": "bias"}}
PAIRS = [
    Pair(Affine(4, 4), LINEAR, name="affine", **SQUARE),
    Pair(AffineNotTransposed(4, 4), LINEAR, name="affine (wrong: W is not transposed on the way back)", **SQUARE),
    Pair(Attributes(AffinePilingUp(4, 4), ["W", "b"]), LINEAR, name="affine (wrong: gradients pile up unasked)", **SQUARE),
    Pair(Relu(), RELU, [(2, 3, 4, 5)], name="relu"),
    Pair(ReluOfGradient(), RELU, [(2, 3, 4, 5)], name="relu (wrong: the mask is the gradient's sign)"),
]
# --- end ---
