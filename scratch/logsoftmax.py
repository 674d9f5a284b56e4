"""The logarithm of the softmax, which stays finite where a probability underflows to 0."""

from __future__ import annotations

import numpy as np

from scratch.layer import Array, Layer


class LogSoftmax(Layer):
    r"""Turn logits into log-probabilities, :math:`y_k = x_k - \ln \sum_j e^{x_j}`, over the classes of each row.

    A constant added to all x of a row changes nothing. With the row's maximum taken off first, no exponential exceeds 1 and their sum is at least 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._output: Array | None = None

    def forward(self, x: Array) -> Array:
        """Return the log-probabilities.

        Parameters
        ----------
        x : array of shape (batch, classes)

        Returns
        -------
        array of shape (batch, classes)
        """
        self.check_input(x, "batch classes")
        shifted = x - x.max(axis=1, keepdims=True)
        self._output = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return self._output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient.

        With p = exp(y), dy[k]/dx[j] = (1 if j == k else 0) - p[j], so dL/dx[j] = g[j] - p[j] * (sum over k of g[k]).

        Parameters
        ----------
        grad_output : array of shape (batch, classes)

        Returns
        -------
        array of shape (batch, classes)
        """
        self.check_grad_output(grad_output, None if self._output is None else self._output.shape)
        assert self._output is not None
        grad_input: Array = grad_output - np.exp(self._output) * grad_output.sum(axis=1, keepdims=True)
        return grad_input
