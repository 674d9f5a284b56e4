"""The fully connected layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.initialisers import Initialiser, normal_over_fan_in
from scratch.layer import Array, Layer


class Linear(Layer):
    """``x @ weight + bias``, the weight stored as ``(in_features, out_features)``.

    Parameters
    ----------
    in_features, out_features : int
        Numbers in a row of the input and of the output.
    bias : bool
        Whether a vector is added to each row.
    rng : numpy.random.Generator
        Source of the initial weights; the bias starts at zero.
    dtype : dtype
        Floating-point type of the parameters and of everything that the layer computes.
    init : callable
        Draws the weights; see :mod:`scratch.initialisers`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float64,
        init: Initialiser = normal_over_fan_in,
    ) -> None:
        super().__init__()
        self.params["weight"] = init((in_features, out_features), in_features, out_features, rng, dtype)
        if bias:
            self.params["bias"] = np.zeros(out_features, dtype)

    def forward(self, x: Array) -> Array:
        """Return ``x @ weight + bias``: (batch, in_features) to (batch, out_features)."""
        self._check_features(x)
        self._input = x.copy()  # x may change afterwards
        output: Array = x @ self.params["weight"]
        self._output_shape = output.shape
        return output + self.params["bias"] if "bias" in self.params else output

    def _check_features(self, x: Array) -> None:
        self.check_input(x, "batch features")
        weight = self.params["weight"]
        if x.shape[1] != len(weight):
            raise ValueError(
                f"Linear: the input has {x.shape[1]} features (shape {x.shape}), the weight has {len(weight)} rows (shape {weight.shape})"
            )

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; store those of weight and bias in ``grads``.

        Let g be grad_output. y[b,o] is the sum over i of x[b,i] w[i,o], plus beta[o]. So dL/dx[b,i] is the sum over o of g[b,o] w[i,o], dL/dw[i,o] is
        the sum over b of x[b,i] g[b,o], and dL/dbeta[o] is the sum over b of g[b,o].
        """
        self.backward_params(grad_output)
        grad_input: Array = grad_output @ self.params["weight"].T
        return grad_input

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        self.check_grad_output(grad_output)
        self.grads["weight"] = self._input.T @ grad_output
        if "bias" in self.params:
            self.grads["bias"] = grad_output.sum(axis=0)
