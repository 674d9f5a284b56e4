"""Losses: one number that says how far the output of a network is from what it should be.

A loss has ``forward(output, expected)``, which returns the number, and ``backward()``, which returns its gradient with respect to the output. The
backward pass of a network starts there, with dL/dL = 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scratch.layer import Array

Labels = npt.NDArray[np.integer[Any]]
OneHot = npt.NDArray[np.bool_]


class SoftmaxCrossEntropy:
    r"""The mean over the batch of :math:`-\ln p_y`, with :math:`p = \mathrm{softmax}(\mathrm{logits})` and y the label.

    Softmax and logarithm are one function here, because that stays finite where one of them alone would overflow or underflow. With d the logits
    minus their maximum, :math:`-\ln p_y = \ln\sum_k e^{d_k} - d_y`: no exponential exceeds 1, the sum is at least 1, and a label whose probability
    underflows to 0 still has a finite loss.
    """

    def forward(self, logits: Array, labels: Labels) -> Array:
        """Return the loss, an array of shape () in the dtype of the logits.

        ``logits`` has the shape (batch, classes). ``labels`` are integers from 0 to ``classes - 1``, of shape (batch,).
        """
        self._onehot = _onehot("SoftmaxCrossEntropy", "logits", logits, labels)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        self._probabilities: Array = exponentials / sums
        losses = np.log(sums[:, 0]) - shifted[self._onehot]
        return np.asarray(losses.sum() / len(losses))

    def backward(self) -> Array:
        """Return the gradient of the loss for the logits, ``(p - onehot(labels)) / batch``, of shape (batch, classes).

        A row's loss is ln(sum over k of exp(x[k])) - x[y]. Its derivative by x[j] is exp(x[j]) / (sum over k of exp(x[k])), which is p[j], minus 1 if
        j is the label.
        """
        if not hasattr(self, "_onehot"):
            raise RuntimeError("SoftmaxCrossEntropy: backward was called before forward; there is no loss to differentiate")
        return (self._probabilities - self._onehot) / len(self._onehot)


class NLLLoss:
    """The mean over the batch of the negative log-probability of the label, after :class:`~scratch.logsoftmax.LogSoftmax`."""

    def forward(self, log_probabilities: Array, labels: Labels) -> Array:
        """Return the loss; shapes and labels are those of :class:`SoftmaxCrossEntropy`."""
        self._onehot, self._dtype = _onehot("NLLLoss", "log-probabilities", log_probabilities, labels), log_probabilities.dtype
        return np.asarray(-log_probabilities[self._onehot].mean())

    def backward(self) -> Array:
        """Return the gradient of the loss for the log-probabilities, -1 / batch at the labels and 0 elsewhere, of shape (batch, classes)."""
        if not hasattr(self, "_onehot"):
            raise RuntimeError("NLLLoss: backward was called before forward; there is no loss to differentiate")
        grad = np.zeros(self._onehot.shape, self._dtype)
        grad[self._onehot] = -1 / len(grad)
        return grad


class MSELoss:
    """The mean over all elements of the squared distance from a target, as in PyTorch: neither summed over the outputs nor halved."""

    def forward(self, x: Array, target: Array) -> Array:
        """Return the loss, an array of shape () in the dtype of ``x``; ``target`` has the shape and dtype of ``x``."""
        if not np.issubdtype(x.dtype, np.floating) or not x.size:
            raise ValueError(f"MSELoss: the input is {x.dtype} of shape {x.shape}, expected floats, at least one")
        if target.shape != x.shape or target.dtype != x.dtype:
            raise ValueError(f"MSELoss: the target is {target.dtype} of shape {target.shape}, expected {x.dtype} of shape {x.shape}, as the input")
        self._difference = x - target
        return np.asarray((self._difference**2).mean())

    def backward(self) -> Array:
        """Return the gradient of the loss for the input, ``2 * (x - target) / size``, in its shape."""
        if not hasattr(self, "_difference"):
            raise RuntimeError("MSELoss: backward was called before forward; there is no loss to differentiate")
        return 2 * self._difference / self._difference.size


def _onehot(loss: str, name: str, scores: Array, labels: Labels) -> OneHot:
    """Return an array of shape (batch, classes), true at each row's label; raise a ValueError unless each row has one label from 0 to classes - 1."""
    if scores.ndim != 2 or scores.dtype.kind != "f":
        raise ValueError(f"{loss}: the {name} are {scores.dtype} of shape {scores.shape}, expected floats of shape (batch, classes)")
    if labels.shape != scores.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(f"{loss}: the labels are {labels.dtype} of shape {labels.shape}, expected integers of shape {scores.shape[:1]}")
    classes = scores.shape[1]
    onehot: OneHot = labels[:, None] == np.arange(classes)
    if np.count_nonzero(onehot) != len(labels):  # a label out of range leaves its row without a true element
        raise ValueError(f"{loss}: the labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return onehot
