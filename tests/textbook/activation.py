"""Activations: functions of each number by itself. The cotangent is multiplied by the derivative at the input."""

from __future__ import annotations

import math

import numpy as np

from crosscheck.core.precision import Array


class Activation:
    """A function of each number and its derivative."""

    def forward(self, x: Array) -> Array:
        """Return the function of each number."""
        self._x = x
        self._output = self.value(x)
        return self._output

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output times the derivative at the input."""
        return grad_output * self.slope(self._x)

    def value(self, x: Array) -> Array:
        """Return the function."""
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """Return the derivative."""
        raise NotImplementedError


class ReLU(Activation):
    """The positive part."""

    def value(self, x: Array) -> Array:
        """Return max(x, 0)."""
        return np.maximum(x, 0)

    def slope(self, x: Array) -> Array:
        """Return 1 where x is positive and 0 elsewhere, at 0, too."""
        return np.asarray(x > 0, dtype=x.dtype)


class LeakyReLU(Activation):
    """x where it is positive, a small multiple of it elsewhere.

    Parameters
    ----------
    leak : float
        The slope on the negative side.
    """

    def __init__(self, leak: float = 0.01) -> None:
        self.leak = leak

    def value(self, x: Array) -> Array:
        """Return x or leak * x."""
        return np.where(x > 0, x, self.leak * x)

    def slope(self, x: Array) -> Array:
        """Return 1 where x is positive and the leak elsewhere, at 0, too."""
        return np.where(x > 0, x.dtype.type(1), x.dtype.type(self.leak))


class Sigmoid(Activation):
    """s = 1 / (1 + exp(-x))."""

    def value(self, x: Array) -> Array:
        """Return s by the exponential that cannot overflow."""
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + small), small / (1 + small))

    def slope(self, x: Array) -> Array:
        """Return s (1 - s)."""
        return self._output * (1 - self._output)


class Tanh(Activation):
    """The hyperbolic tangent t."""

    def value(self, x: Array) -> Array:
        """Return t."""
        return np.tanh(x)

    def slope(self, x: Array) -> Array:
        """Return 1 - t**2."""
        return 1 - self._output**2


class GELU(Activation):
    """x times the probability that a standard normal number is smaller (Hendrycks and Gimpel, 2016)."""

    def value(self, x: Array) -> Array:
        """Return x P(x)."""
        return x * self.probability(x)

    def slope(self, x: Array) -> Array:
        """Return P(x) + x p(x), p being the density."""
        return self.probability(x) + x * self.density(x)

    def probability(self, x: Array) -> Array:
        """Return P(x) = erfc(-x / sqrt(2)) / 2."""
        erfc = np.vectorize(math.erfc, otypes=[np.float64])
        return np.asarray(erfc(-x / math.sqrt(2)) / 2, dtype=x.dtype)

    def density(self, x: Array) -> Array:
        """Return p(x) = exp(-x**2 / 2) / sqrt(2 pi)."""
        return np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi)


class TanhGELU(Activation):
    """The approximation of GELU by a hyperbolic tangent: x (1 + tanh z) / 2 with z = sqrt(2 / pi) (x + 0.044715 x**3)."""

    factor = math.sqrt(2 / math.pi)
    cubic = 0.044715

    def value(self, x: Array) -> Array:
        """Return x (1 + tanh z) / 2."""
        return np.asarray(x / 2 * (1 + np.tanh(self.inner(x))))

    def slope(self, x: Array) -> Array:
        """Return (1 + t) / 2 + x (1 - t**2) / 2 dz/dx."""
        t = np.tanh(self.inner(x))
        return np.asarray((1 + t) / 2 + x * (1 - t**2) / 2 * self.slope_of_inner(x))

    def inner(self, x: Array) -> Array:
        """Return z."""
        return self.factor * (x + self.cubic * x**3)

    def slope_of_inner(self, x: Array) -> Array:
        """Return dz/dx."""
        return self.factor * (1 + 3 * self.cubic * np.square(x))
