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
        Length of a row of the input and of the output.
    bias : bool
        Whether a vector is added to each row.
    rng : numpy.random.Generator
        Source of the initial weights; the bias starts at zero.
    dtype : dtype
        Floating-point type of the parameters, and so of everything that the layer computes.
    init : callable
        How the weights are drawn, from :mod:`scratch.initialisers`.
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
        self._input: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return ``x @ weight + bias``.

        Parameters
        ----------
        x : array of shape (batch, in_features)

        Returns
        -------
        array of shape (batch, out_features)
        """
        self.check_input(x, "batch features")
        weight = self.params["weight"]
        if x.shape[1] != len(weight):
            raise ValueError(
                f"Linear: the input has {x.shape[1]} features (shape {x.shape}), the weight has {len(weight)} rows (shape {weight.shape})"
            )
        self._input = x.copy()
        output = x @ weight
        if "bias" in self.params:
            output += self.params["bias"]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, ``grad_output @ weight.T``; leave x.T @ grad_output (weight) and the sum over the batch (bias) in ``grads``.

        Parameters
        ----------
        grad_output : array of shape (batch, out_features)

        Returns
        -------
        array of shape (batch, in_features)
        """
        weight = self.params["weight"]
        self.check_grad_output(grad_output, None if self._input is None else (len(self._input), weight.shape[1]))
        assert self._input is not None
        self.grads["weight"] = self._input.T @ grad_output
        if "bias" in self.params:
            self.grads["bias"] = grad_output.sum(axis=0)
        return grad_output @ weight.T
