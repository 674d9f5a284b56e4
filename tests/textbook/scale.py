"""A factor for each feature, as normalisations have one."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class Scale:
    """Multiplication of each feature by a number.

    Parameters
    ----------
    features : int
    """

    def __init__(self, features: int) -> None:
        self.params = {"weight": np.ones(features)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return x times the weight, ``(batch, features)``."""
        self._x = x
        return x * self.params["weight"]

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output times the weight; leave the sum over samples of grad_output times input in ``grads``."""
        self.grads = {"weight": (grad_output * self.input()).sum(axis=0)}
        return np.asarray(grad_output * self.params["weight"])

    def input(self) -> Array:
        """Return the input."""
        return self._x
