"""The fully connected layer, with products split among threads and its weight in the order that BLAS reads fastest."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

import scratch.linear as plain
from scratch.fast.memory import copied
from scratch.fast.parallel import product
from scratch.layer import Array


class Linear(plain.Linear):
    """The same as :class:`scratch.Linear`, which describes parameters and derivatives."""

    @wraps(plain.Linear.__init__)  # type: ignore[misc]  # mypy refuses a decorated constructor
    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__(*sizes, **options)
        # The weights of each output are adjacent in memory, the fastest order for BLAS in both passes.
        self.params["weight"] = np.asarray(self.params["weight"], order="F")

    def forward(self, x: Array) -> Array:
        """Return ``x @ weight + bias``."""
        self._check_features(x)
        self._input = copied(x)
        output = product(x, self.params["weight"])
        self._output_shape = output.shape
        if "bias" in self.params:
            output += self.params["bias"]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; store those of weight and bias in ``grads``."""
        self.backward_params(grad_output)
        return product(grad_output, self.params["weight"].T)

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        self.check_grad_output(grad_output)
        # Transposed twice, so that it has the same order in memory as the weight.
        self.grads["weight"] = product(grad_output.T, self._input).T
        if "bias" in self.params:
            self.grads["bias"] = np.add.reduce(grad_output, axis=0)
