"""The division of each row by its root mean square."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class RootMeanSquare:
    """Each row over its root mean square: ``x / sqrt(mean(x²) + eps)``."""

    eps = 1e-6

    def forward(self, x: Array) -> Array:
        """Return the rows of about unit size."""
        self._x, self._inverse = x, self.inverse_root(self.mean_square(x) + self.eps)
        return x * self._inverse

    def backward(self, grad_output: Array) -> Array:
        """Return ``r (g - y mean(g y))``, with r the inverse root and y the output."""
        output = self._x * self._inverse
        return self._inverse * (grad_output - output * self.along(grad_output * output))

    def mean_square(self, x: Array) -> Array:
        """Return the mean of the squares of each row."""
        return np.asarray((x**2).mean(axis=-1, keepdims=True))

    def inverse_root(self, square: Array) -> Array:
        """Return ``1 / sqrt(v)``."""
        return np.asarray(1 / np.sqrt(square))

    def along(self, products: Array) -> Array:
        """Return the part of a gradient that lies along the row, the mean of its products with the output."""
        return np.asarray(products.mean(axis=-1, keepdims=True))
