"""Attention of a sequence to itself, with several heads (Vaswani et al., 2017)."""

from __future__ import annotations

import math

import numpy as np

from crosscheck.core.precision import Array


class SelfAttention:
    """softmax(Q K^T / sqrt(d)) V for each head, between two linear layers.

    Parameters
    ----------
    size, heads : int
    causal : bool
        Whether what comes later is hidden.
    """

    def __init__(self, size: int, heads: int, causal: bool = False) -> None:
        self.heads, self.causal = heads, causal
        shapes = {"in_proj_weight": (3 * size, size), "in_proj_bias": (3 * size,), "out_proj.weight": (size, size), "out_proj.bias": (size,)}
        self.params = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.grads: dict[str, Array] = {}

    def softmax(self, scores: Array) -> Array:
        """Return the weights: exponentials of the differences to the largest score, over their sum."""
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))

    def scores(self, queries: Array, keys: Array) -> Array:
        """Return the product of each query with each key."""
        return np.asarray(queries @ keys.transpose(0, 1, 3, 2))

    def _split(self, x: Array) -> Array:
        """Return ``(batch, heads, time, size of a head)``."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

    def _joined(self, x: Array) -> Array:
        return x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)

    def forward(self, x: Array) -> Array:
        """Return ``(batch, time, size)``."""
        self._x = x
        self._q, self._k, self._v = map(self._split, np.split(x @ self.params["in_proj_weight"].T + self.params["in_proj_bias"], 3, axis=2))
        self._scale = x.dtype.type(1 / math.sqrt(self._q.shape[-1]))
        scores = self.scores(self._q * self._scale, self._k)
        if self.causal:
            scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf).astype(x.dtype)
        self._p = self.softmax(scores)
        self._values = self._joined(self._p @ self._v)
        return np.asarray(self._values @ self.params["out_proj.weight"].T + self.params["out_proj.bias"])

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, through values, queries and keys."""
        flat = grad_output.reshape(-1, grad_output.shape[-1])
        grad_values = self._split(grad_output @ self.params["out_proj.weight"])
        grad_p = grad_values @ self._v.transpose(0, 1, 3, 2)
        grad_scores = self._p * (grad_p - (grad_p * self._p).sum(axis=-1, keepdims=True))
        grads = (
            grad_scores @ self._k * self._scale,
            grad_scores.transpose(0, 1, 3, 2) @ self._q * self._scale,
            self._p.transpose(0, 1, 3, 2) @ grad_values,
        )
        through = np.concatenate([self._joined(grad) for grad in grads], axis=2)
        rows = through.reshape(-1, through.shape[-1])
        self.grads = {
            "in_proj_weight": rows.T @ self._x.reshape(-1, self._x.shape[-1]),
            "in_proj_bias": rows.sum(axis=0),
            "out_proj.weight": flat.T @ self._values.reshape(-1, self._values.shape[-1]),
            "out_proj.bias": flat.sum(axis=0),
        }
        return np.asarray(through @ self.params["in_proj_weight"])
