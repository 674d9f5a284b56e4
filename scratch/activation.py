"""Activations: functions applied to each element alone, so that the backward pass multiplies each element's gradient by the derivative there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.layer import Array, Layer


class ReLU(Layer):
    """max(x, 0) for each element of an array of any shape; the derivative at 0 is taken as 0, as PyTorch, JAX and TensorFlow do."""

    def __init__(self) -> None:
        super().__init__()
        self._positive: npt.NDArray[np.bool_] | None = None

    def forward(self, x: Array) -> Array:
        """Return ``max(x, 0)``, in the shape of ``x``."""
        self.check_floats(x)
        output: Array = np.maximum(x, 0)
        self._positive = output != 0  # of NaN, too: what is not a number must not become one
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and 0 elsewhere."""
        self.check_grad_output(grad_output, None if self._positive is None else self._positive.shape)
        assert self._positive is not None
        return np.where(self._positive, grad_output, 0)


class LeakyReLU(Layer):
    """x where x is positive, ``negative_slope * x`` elsewhere; the derivative at 0 is taken as the slope.

    Parameters
    ----------
    negative_slope : float
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        if not np.isfinite(negative_slope):
            raise ValueError(f"LeakyReLU: negative_slope={negative_slope!r}, expected a finite number")
        self.negative_slope = negative_slope
        self._input: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return ``x`` or ``negative_slope * x``, in the shape of ``x``."""
        self.check_floats(x)
        self._input = x.copy()
        return np.where(x > 0, x, self.negative_slope * x)

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and ``negative_slope * grad_output`` elsewhere."""
        self.check_grad_output(grad_output, None if self._input is None else self._input.shape)
        assert self._input is not None
        return np.where(self._input > 0, grad_output, self.negative_slope * grad_output)


class Sigmoid(Layer):
    """1 / (1 + exp(-x)) for each element of an array of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self._output: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return the sigmoid of ``x``, in its shape."""
        self.check_floats(x)
        self._output = sigmoid(x)
        return self._output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output * y * (1 - y)``: with e = exp(-x), y = 1 / (1 + e) has the derivative e / (1 + e)**2, and e / (1 + e) is 1 - y."""
        self.check_grad_output(grad_output, None if self._output is None else self._output.shape)
        assert self._output is not None
        return grad_output * self._output * (1 - self._output)


class Tanh(Layer):
    """The hyperbolic tangent of each element of an array of any shape."""

    def __init__(self) -> None:
        super().__init__()
        self._output: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return the hyperbolic tangent of ``x``, in its shape."""
        self.check_floats(x)
        self._output = np.tanh(x)
        return self._output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output * (1 - y**2)``: tanh = sinh / cosh has the derivative (cosh**2 - sinh**2) / cosh**2."""
        self.check_grad_output(grad_output, None if self._output is None else self._output.shape)
        assert self._output is not None
        return grad_output * (1 - self._output**2)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), which is exp(x) / (1 + exp(x)) as well: the form whose exponential is at most 1 cannot overflow."""
    exponential = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, exponential) / (1 + exponential)
    return result
