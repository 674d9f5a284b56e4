"""Activations: functions applied to each element alone."""

from __future__ import annotations

import numpy as np

from scratch.layer import Array, Layer


class ReLU(Layer):
    """max(x, 0) for each element of an array of any shape; the derivative at 0 is taken as 0, as PyTorch, JAX and TensorFlow do."""

    def __init__(self) -> None:
        super().__init__()
        self._input: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return ``max(x, 0)``, in the shape of ``x``."""
        self.check_floats(x)
        self._input = x.copy()
        return np.maximum(x, 0)

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and 0 elsewhere."""
        self.check_grad_output(grad_output, None if self._input is None else self._input.shape)
        assert self._input is not None
        return np.where(self._input > 0, grad_output, 0)
