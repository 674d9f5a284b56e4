"""The logarithm of the softmax, which stays finite even where a probability underflows to 0."""

from __future__ import annotations

import numpy as np

from scratch.layer import Array, Layer


class LogSoftmax(Layer):
    r"""Turn logits into log-probabilities, :math:`y_k = x_k - \ln \sum_j e^{x_j}`, over the classes of each row.

    A constant added to all x of a row does not change y. The row's maximum is subtracted first: then no exponential exceeds 1, and their sum is at
    least 1.
    """

    def forward(self, x: Array) -> Array:
        """Return the log-probabilities: (batch, classes) to the same shape."""
        self.check_input(x, "batch classes")
        shifted = x - x.max(axis=1, keepdims=True)
        output: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._output, self._output_shape = output, x.shape
        return output.copy()

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient.

        With p = exp(y), dy[k]/dx[j] = (1 if j == k else 0) - p[j], so dL/dx[j] = g[j] - p[j] * (sum over k of g[k]), with g for grad_output.
        """
        self.check_grad_output(grad_output)
        grad_input: Array = grad_output - np.exp(self._output) * grad_output.sum(axis=1, keepdims=True)
        return grad_input
