"""GELU: each number times the probability that a standard normal number is smaller."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scratch.activation import sigmoid
from scratch.layer import Array, Layer

Approximation = Literal["none", "tanh"]
APPROXIMATIONS: tuple[Approximation, ...] = ("none", "tanh")

_FLAT = 40.0
"""For abs(x) above this limit the derivative is 0 or 1 in double precision: x is clipped to the limit, so that its powers do not overflow."""


class GELU(Layer):
    r"""x Φ(x) for each element of an array of any shape, with Φ the standard normal distribution function.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" computes :math:`\Phi(x) = \mathrm{erfc}(-x / \sqrt{2}) / 2`, which, unlike ``1 + erf``, is accurate where Φ is tiny. "tanh" computes
        the paper's approximation :math:`(1 + \tanh z) / 2` with :math:`z = \sqrt{2 / \pi}\,(x + 0.044715\,x^3)`. They differ by up to 5e-4.

    References
    ----------
    Hendrycks, Gimpel: Gaussian error linear units (GELUs), arXiv:1606.08415, 2016.
    """

    def __init__(self, approximate: Approximation = "none") -> None:
        super().__init__()
        if approximate not in APPROXIMATIONS:
            raise ValueError(f"GELU: approximate={approximate!r}, expected one of {', '.join(APPROXIMATIONS)}")
        self.approximate: Approximation = approximate

    def forward(self, x: Array) -> Array:
        """Return x Φ(x), in the shape of ``x``."""
        self.check_floats(x)
        bounded = np.clip(x, -_FLAT, _FLAT)
        probability, density = _normal(bounded) if self.approximate == "none" else _nearly_normal(bounded)
        self._derivative, self._output_shape = probability + bounded * density, x.shape
        return x * probability

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` times the derivative of x Φ(x), which is Φ(x) + x φ(x) by the product rule, with φ the derivative of Φ."""
        self.check_grad_output(grad_output)
        return grad_output * self._derivative


def _normal(x: Array) -> tuple[Array, Array]:
    """Return Φ(x) and its derivative φ(x) = exp(-x**2 / 2) / sqrt(2 pi)."""
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return (erfc(-x / math.sqrt(2)) / 2).astype(x.dtype), np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _nearly_normal(x: Array) -> tuple[Array, Array]:
    """Return s = (1 + tanh z) / 2 and its derivative: s is the sigmoid of 2 z, accurate where tanh z is near -1, and ds/dx = s (1 - s) 2 dz/dx."""
    z = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    probability = sigmoid(2 * z)
    return probability, probability * sigmoid(-2 * z) * 2 * slope
