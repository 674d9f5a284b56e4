"""Softmax and cross-entropy in one, because together they are finite where each alone overflows or underflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scratch.layer import Array

Labels = npt.NDArray[np.integer[Any]]


class SoftmaxCrossEntropy:
    r"""The mean over the batch of :math:`-\ln p_y`, with :math:`p = \mathrm{softmax}(\mathrm{logits})` and y the label.

    With d the logits less their maximum, :math:`-\ln p_y = \ln\sum_k e^{d_k} - d_y`: no exponential exceeds 1, the sum is at least 1, and a label
    whose probability underflows to 0 still has a finite loss.
    """

    def __init__(self) -> None:
        self._probabilities: Array | None = None
        self._labels: Labels | None = None

    def forward(self, logits: Array, labels: Labels) -> Array:
        """Return the loss.

        Parameters
        ----------
        logits : array of shape (batch, classes)
        labels : integer array of shape (batch,)
            Each from 0 to ``classes - 1``.

        Returns
        -------
        array of shape ()
            In the dtype of the logits.
        """
        if logits.ndim != 2 or not np.issubdtype(logits.dtype, np.floating):
            raise ValueError(f"SoftmaxCrossEntropy: the logits are {logits.dtype} of shape {logits.shape}, expected floats of shape (batch, classes)")
        if labels.shape != logits.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"SoftmaxCrossEntropy: the labels are {labels.dtype} of shape {labels.shape}, expected integers of shape {logits.shape[:1]}"
            )
        classes = logits.shape[1]
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            raise ValueError(f"SoftmaxCrossEntropy: the labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        self._probabilities = exponentials / sums
        self._labels = labels.copy()
        losses = np.log(sums[:, 0]) - shifted[np.arange(len(labels)), labels]
        return np.asarray(losses.mean())

    def backward(self) -> Array:
        """Return the gradient of the loss for the logits, ``(p - onehot(labels)) / batch``, of shape (batch, classes)."""
        if self._probabilities is None or self._labels is None:
            raise RuntimeError("SoftmaxCrossEntropy: backward was called before forward; there is no loss to differentiate")
        grad = self._probabilities.copy()
        grad[np.arange(len(grad)), self._labels] -= 1
        grad /= len(grad)
        return grad
