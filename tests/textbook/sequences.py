"""Layers over ``(batch, time, features)``, and products of two arrays whose axes may have any length."""

from __future__ import annotations

import math

import numpy as np

from crosscheck.core.precision import Array


class Positions:
    """x plus sines and cosines of the place in the sequence, of one wavelength for each two features (Vaswani et al., 2017, 3.5)."""

    def forward(self, x: Array) -> Array:
        """Return the sum, ``(batch, time, features)``."""
        return x + self.table(*x.shape[1:]).astype(x.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent: what is added depends on the shape alone."""
        return grad_output.copy()

    def table(self, time: int, features: int) -> Array:
        """Return what is added, ``(time, features)``: sines at even features, cosines at odd ones."""
        rates = np.exp(-math.log(10000) * np.arange(0, features, 2) / features)
        angles = np.arange(time)[:, None] * rates
        return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(time, -1)[:, :features]


class PrefixSums:
    """The sum of each step and all before it, by doubling: after k rounds each place holds the sum of 2**k steps (Hillis and Steele, 1986)."""

    def forward(self, x: Array) -> Array:
        """Return the sums, ``(batch, time, features)``."""
        sums = x.copy()
        for round_ in range(self.rounds(x.shape[1])):
            before = 2**round_
            # The right side is worked out before anything is written.
            sums[:, before:] = sums[:, before:] + sums[:, :-before]
        return sums

    def backward(self, grad_output: Array) -> Array:
        """Return the sums of each step's cotangent and all after it."""
        return self.forward(grad_output[:, ::-1])[:, ::-1].copy()

    def rounds(self, time: int) -> int:
        """Return how many doublings reach the first step from the last."""
        return max(time - 1, 0).bit_length()


class MeanOverTime:
    """The mean of all steps."""

    def forward(self, x: Array) -> Array:
        """Return ``(batch, features)``."""
        self._time = self.steps(x)
        self._shape = x.shape
        return np.asarray(x.sum(axis=1) / self._time)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each step gets an equal share."""
        return np.broadcast_to(grad_output[:, None] / self._time, self._shape).copy()

    def steps(self, x: Array) -> int:
        """Return how many steps there are."""
        return int(x.shape[1])


class DotProductAttention:
    """softmax(Q K^T / sqrt(d)) V of queries ``(batch, query time, d)``, keys and values ``(batch, key time, d)`` (Vaswani et al., 2017).

    Parameters
    ----------
    causal : bool
        Whether a query sees only the keys up to its own place.
    """

    def __init__(self, causal: bool = False) -> None:
        self.causal = causal

    def forward(self, query: Array, key: Array, value: Array) -> Array:
        """Return the weighted sums of values, ``(batch, query time, d)``."""
        self._query, self._key, self._value = query, key, value
        self._scale = query.dtype.type(1 / math.sqrt(self.divisor(query, key)))
        scores = (query * self._scale) @ key.swapaxes(1, 2)
        if self.causal:
            scores = np.where(self.visible(*scores.shape[1:]), scores, -np.inf).astype(query.dtype)
        exponentials = np.exp(scores - scores.max(axis=2, keepdims=True))
        self._weights = exponentials / exponentials.sum(axis=2, keepdims=True)
        return np.asarray(self._weights @ value)

    def backward(self, grad_output: Array) -> tuple[Array, Array, Array]:
        """Return the gradients of queries, keys and values; that of the scores is p (g - sum p g)."""
        weights = self._weights
        grad_weights = grad_output @ self._value.swapaxes(1, 2)
        grad_scores = weights * (grad_weights - (grad_weights * weights).sum(axis=2, keepdims=True))
        return grad_scores @ self._key * self._scale, grad_scores.swapaxes(1, 2) @ self._query * self._scale, weights.swapaxes(1, 2) @ grad_output

    def divisor(self, query: Array, key: Array) -> int:
        """Return d, the number of features."""
        return int(query.shape[2])

    def visible(self, queries: int, keys: int) -> Array:
        """Return which keys each query sees: the first query the first key alone."""
        return np.tri(queries, keys, dtype=bool)


class BlockedProduct:
    """A B, added up over blocks of the inner axis, as a cache of limited size asks for.

    Parameters
    ----------
    block : int
    """

    def __init__(self, block: int) -> None:
        self.block = block

    def forward(self, a: Array, b: Array) -> Array:
        """Return ``(rows, columns)`` of ``(rows, inner)`` and ``(inner, columns)``."""
        self._a, self._b = a, b
        product = np.zeros((len(a), b.shape[1]), a.dtype)
        for start in range(0, self.reach(a.shape[1]), self.block):
            inner = slice(start, start + self.block)
            product += a[:, inner] @ b[inner]
        return product

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        """Return dL/dA = G B^T and dL/dB = A^T G."""
        return grad_output @ self._b.T, self._a.T @ grad_output

    def reach(self, inner: int) -> int:
        """Return where the blocks end."""
        return inner
