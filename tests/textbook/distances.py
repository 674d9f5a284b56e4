"""Losses beside fixed targets, and distances of two vectors that lie one after another in one input."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.textbook.curves import sigmoid, softplus


class Beside:
    """The mean over all numbers of a function of prediction and target.

    Parameters
    ----------
    target : array
        ``(batch, ...)``; those of a larger batch repeat.
    """

    def __init__(self, target: Array) -> None:
        self._all = target
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def target(self, x: Array) -> Array:
        """Return the targets of a batch in its precision."""
        return _for(x, self._all)

    def forward(self, x: Array) -> Array:
        """Return the mean, a single number."""
        self._x, self._y = x, self.target(x)
        return np.asarray(self.mean(self.value(x, self._y)), dtype=x.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return the derivative of each number's loss times the cotangent, divided by their count."""
        return np.asarray(self.slope(self._x, self._y) * (grad_output / self._x.dtype.type(self.count(self._x))), dtype=self._x.dtype)

    def count(self, x: Array) -> int:
        """Return how many numbers the mean is taken over."""
        return x.size

    def mean(self, losses: Array) -> Array:
        """Return the mean."""
        return np.asarray(losses.sum() / losses.dtype.type(self.count(losses)))

    def value(self, x: Array, y: Array) -> Array:
        """Return the loss of each number."""
        raise NotImplementedError

    def slope(self, x: Array, y: Array) -> Array:
        """Return its derivative."""
        raise NotImplementedError


def _for(x: Array, fixed: Array) -> Array:
    return fixed[np.arange(len(x)) % len(fixed)].astype(x.dtype)


class SquaredDifference(Beside):
    """(x - y)**2."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the squares."""
        return np.square(x - y)

    def slope(self, x: Array, y: Array) -> Array:
        """Return twice the difference."""
        return 2 * (x - y)


class AbsoluteDifference(Beside):
    """|x - y|."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the sizes."""
        return np.abs(x - y)

    def slope(self, x: Array, y: Array) -> Array:
        """Return the sign of the difference."""
        return np.sign(x - y)


class SmoothL1(Beside):
    """d**2 / (2 beta) where |d| is below beta, |d| - beta / 2 elsewhere (Girshick, 2015).

    Parameters
    ----------
    target : array
    beta : float
    """

    def __init__(self, target: Array, beta: float) -> None:
        super().__init__(target)
        self.beta = beta

    def value(self, x: Array, y: Array) -> Array:
        """Return the parabola or the line."""
        size = np.abs(x - y)
        return np.where(size < self.beta, size * (size / self.beta) / 2, size - x.dtype.type(self.beta / 2))

    def slope(self, x: Array, y: Array) -> Array:
        """Return d / beta or the sign."""
        return np.where(np.abs(x - y) < self.beta, (x - y) / self.beta, np.sign(x - y))


class Huber(SmoothL1):
    """d**2 / 2 where |d| is at most delta, delta (|d| - delta / 2) elsewhere (Huber, 1964)."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the parabola or the line."""
        size = np.abs(x - y)
        return np.where(size <= self.beta, size * size / 2, self.beta * (size - x.dtype.type(self.beta / 2)))

    def slope(self, x: Array, y: Array) -> Array:
        """Return d, cut off at delta."""
        return np.clip(x - y, -self.beta, self.beta)


class KullbackLeibler(Beside):
    """y (log y - x) of log-probabilities x, summed and divided by the batch."""

    def count(self, x: Array) -> int:
        """Return the number of samples."""
        return len(x)

    def value(self, x: Array, y: Array) -> Array:
        """Return the terms."""
        return np.asarray(y * (np.log(y) - x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return -y."""
        return -y


class BinaryCrossEntropy(Beside):
    """Of logits: max(x, 0) - x y + log(1 + exp(-|x|))."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the loss, (1 - y) x and the logarithm of one sigmoid."""
        return np.asarray((1 - y) * x + softplus(-x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return s(x) - y."""
        return sigmoid(x) - y


class SoftMargin(Beside):
    """log(1 + exp(-y x)) for y of -1 or 1."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the smooth positive part of -y x."""
        return softplus(-y * x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return -y s(-y x)."""
        return -y * sigmoid(-y * x)


class Poisson(Beside):
    """exp(x) - y x for x the logarithm of a rate."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the difference."""
        return np.asarray(np.exp(x) - y * x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return exp(x) - y."""
        return np.exp(x) - y


class Hinge(Beside):
    """x where y is 1, max(0, 1 - x) where it is -1."""

    def value(self, x: Array, y: Array) -> Array:
        """Return the distance or what it lacks."""
        return np.where(y > 0, x, np.maximum(0, 1 - x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return 1, -1 or 0; at the kink the slope of the side that lacks something."""
        return np.where(y > 0, x.dtype.type(1), np.where(x <= 1, x.dtype.type(-1), x.dtype.type(0)))


class Gaussian(Beside):
    """((x - y)**2 / v + log v) / 2 for a normal number of known variance.

    Parameters
    ----------
    target, variance : array
    """

    def __init__(self, target: Array, variance: Array) -> None:
        super().__init__(target)
        self._variance = variance

    def value(self, x: Array, y: Array) -> Array:
        """Return the half of both."""
        v = _for(x, self._variance)
        return np.asarray((np.square(x - y) / v + np.log(v)) / 2)

    def slope(self, x: Array, y: Array) -> Array:
        """Return (x - y) / v."""
        return np.asarray((x - y) / _for(x, self._variance))


class CosineSimilarity:
    """a b / (|a| |b|) of two rows, neither norm counted below a smallest one.

    Parameters
    ----------
    eps : float
    """

    def __init__(self, eps: float = 1e-8) -> None:
        self.eps = eps

    def forward(self, x: Array) -> Array:
        """Return the cosines of ``(batch, 2, size)``."""
        rows = x[:, 0], x[:, 1]
        norms = [np.sqrt(np.square(row).sum(axis=1, keepdims=True)) for row in rows]
        self._directions = [row / np.where(norm > 0, norm, 1).astype(norm.dtype) for row, norm in zip(rows, norms, strict=True)]
        self._norms = [np.maximum(norm, norm.dtype.type(self.eps)) for norm in norms]
        self._units = [row / norm for row, norm in zip(rows, self._norms, strict=True)]
        self._cosine = (self._units[0] * self._units[1]).sum(axis=1)
        return np.asarray(self._cosine)

    def backward(self, grad_output: Array) -> Array:
        """Return for each row g (other - cosine direction) / norm: in PyTorch the raising of a norm passes gradients as if it were none."""
        g, cosine = grad_output[:, None], self._cosine[:, None]
        grads = [g * (self._units[1 - own] - cosine * self._directions[own]) / self._norms[own] for own in (0, 1)]
        return np.stack(grads, axis=1)


class PairwiseDistance:
    """The norm of a - b + eps.

    Parameters
    ----------
    eps : float
    """

    def __init__(self, eps: float = 1e-6) -> None:
        self.eps = eps

    def forward(self, x: Array) -> Array:
        """Return the distances of ``(batch, 2, size)``."""
        self._difference = x[:, 0] - x[:, 1] + x.dtype.type(self.eps)
        self._norm = self.distance(x[:, 0], x[:, 1])
        return self._norm

    def distance(self, a: Array, b: Array) -> Array:
        """Return the root of the sum of squares, whose largest is taken out: no square leaves the range."""
        difference = a - b + a.dtype.type(self.eps)
        largest = np.abs(difference).max(axis=1, keepdims=True)
        shares = difference / np.where(largest > 0, largest, 1).astype(difference.dtype)
        return np.asarray(largest[:, 0] * np.sqrt(np.square(shares).sum(axis=1)))

    def backward(self, grad_output: Array) -> Array:
        """Return g d / norm for one row and the opposite for the other."""
        grad = grad_output[:, None] * (self._difference / self._norm[:, None])
        return np.stack([grad, -grad], axis=1)
