"""Activations: functions of each element alone. The backward pass multiplies each element's gradient by the derivative at that element."""

from __future__ import annotations

import numpy as np

from scratch.layer import Array, Layer


class ReLU(Layer):
    """max(x, 0) for each element of an array of any shape. The derivative at 0 is taken as 0, as in PyTorch, JAX and TensorFlow."""

    def forward(self, x: Array) -> Array:
        """Return ``max(x, 0)``, in the shape of ``x``."""
        self.check_floats(x)
        output: Array = np.maximum(x, 0)
        self._positive, self._output_shape = output != 0, output.shape  # true for NaN as well: its gradient must not become 0
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and 0 elsewhere."""
        self.check_grad_output(grad_output)
        return np.where(self._positive, grad_output, 0)


class LeakyReLU(Layer):
    """x where x is positive, ``negative_slope * x`` elsewhere. The derivative at 0 is taken as ``negative_slope``."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        if not np.isfinite(negative_slope):
            raise ValueError(f"LeakyReLU: negative_slope={negative_slope!r}, expected a finite number")
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        """Return ``x`` or ``negative_slope * x``, in the shape of ``x``."""
        self.check_floats(x)
        self._positive, self._output_shape = x > 0, x.shape
        return np.where(self._positive, x, self.negative_slope * x)

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and ``negative_slope * grad_output`` elsewhere."""
        self.check_grad_output(grad_output)
        return np.where(self._positive, grad_output, self.negative_slope * grad_output)


class Sigmoid(Layer):
    """1 / (1 + exp(-x)) for each element of an array of any shape."""

    def forward(self, x: Array) -> Array:
        """Return the sigmoid of each element, in the shape of ``x``."""
        self.check_floats(x)
        self._output, self._output_shape = sigmoid(x), x.shape
        return self._output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output * y * (1 - y)``: with e = exp(-x), y = 1 / (1 + e) has the derivative e / (1 + e)**2, and e / (1 + e) is 1 - y."""
        self.check_grad_output(grad_output)
        return grad_output * self._output * (1 - self._output)


class Tanh(Layer):
    """The hyperbolic tangent of each element of an array of any shape."""

    def forward(self, x: Array) -> Array:
        """Return the hyperbolic tangent of each element, in the shape of ``x``."""
        self.check_floats(x)
        self._output: Array = np.tanh(x)
        self._output_shape = x.shape
        return self._output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output * (1 - y**2)``: tanh = sinh / cosh has the derivative (cosh**2 - sinh**2) / cosh**2."""
        self.check_grad_output(grad_output)
        return grad_output * (1 - self._output**2)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) for x >= 0 and the equal exp(x) / (1 + exp(x)) for x < 0: neither exponential exceeds 1, so none overflows."""
    exponential = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, exponential) / (1 + exponential)
    return result
