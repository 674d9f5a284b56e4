"""The fully connected layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import copied
from scratch.fast.parallel import product
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
        # In memory each output's weights lie side by side, as BLAS reads them fastest in both directions.
        self.params["weight"] = np.asarray(init((in_features, out_features), in_features, out_features, rng, dtype), order="F")
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
        self._input = copied(x)
        output = product(x, weight)
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
        self.backward_params(grad_output)
        return product(grad_output, self.params["weight"].T)

    def backward_params(self, grad_output: Array) -> None:
        """Leave the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        x = self._input
        self.check_grad_output(grad_output, None if x is None else (len(x), self.params["weight"].shape[1]))
        assert x is not None
        # Transposed twice, so that it lies in memory as the weight does.
        self.grads["weight"] = product(grad_output.T, x).T
        if "bias" in self.params:
            self.grads["bias"] = np.add.reduce(grad_output, axis=0)
