"""A fully connected layer, and the reshape in front of it."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class Linear:
    """Multiplication by a matrix, and a bias.

    Parameters
    ----------
    inputs, outputs : int
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.params = {"weight": np.zeros((outputs, inputs)), "bias": np.zeros(outputs)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return x W' + b, ``(batch, outputs)``, of an input ``(batch, inputs)``."""
        self.keep(x)
        return self.product(x) + self.bias()

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of the parameters in ``grads``."""
        self.grads = {"weight": self.weight_gradient(grad_output), "bias": self.bias_gradient(grad_output)}
        return self.input_gradient(grad_output)

    def keep(self, x: Array) -> None:
        """Keep what the backward pass needs."""
        self._x = x

    def product(self, x: Array) -> Array:
        """Return x W'."""
        return x @ self.params["weight"].T

    def bias(self) -> Array:
        """Return what is added, shaped to fit the output."""
        return self.params["bias"]

    def weight_gradient(self, grad_output: Array) -> Array:
        """Return dL/dW, the sum over samples of grad_output times input."""
        return grad_output.T @ self._x

    def bias_gradient(self, grad_output: Array) -> Array:
        """Return dL/db, the sum over samples of grad_output."""
        return np.asarray(grad_output.sum(axis=0))

    def input_gradient(self, grad_output: Array) -> Array:
        """Return dL/dx = grad_output W."""
        return grad_output @ self.params["weight"]


class Flatten:
    """All axes but the first as one: channels, then rows, then columns."""

    def forward(self, x: Array) -> Array:
        """Return ``(batch, channels * height * width)`` of an input ``(batch, channels, height, width)``."""
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent in the input's shape."""
        return grad_output.reshape(self._shape)
