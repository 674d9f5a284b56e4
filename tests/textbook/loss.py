"""Softmax and the losses of a classifier, with one row for each sample and one column for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array

Labels = npt.NDArray[np.integer[Any]]


def one_hot(labels: Labels, like: Array) -> Array:
    """Return a 1 in each row at its label, and zeros, in the shape and precision of an array."""
    return np.asarray(np.arange(like.shape[1]) == labels[:, None], dtype=like.dtype)


class _Exponentials:
    """What softmax and its logarithm are made of."""

    def shifted(self, x: Array) -> Array:
        """Return each row less its maximum, so that no exponential overflows."""
        return np.asarray(x - x.max(axis=1, keepdims=True))

    def probabilities(self, x: Array) -> Array:
        """Return the exponentials of each row, divided by their sum."""
        exponentials = np.exp(self.shifted(x))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def log_probabilities(self, x: Array) -> Array:
        """Return each shifted row less the logarithm of the sum of its exponentials."""
        shifted = self.shifted(x)
        return np.asarray(shifted - self.log_sums(shifted))

    def log_sums(self, shifted: Array) -> Array:
        """Return the logarithms of the sums, ``(batch, 1)``."""
        return np.asarray(np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


class Softmax(_Exponentials):
    """Probabilities from logits."""

    def forward(self, x: Array) -> Array:
        """Return p, ``(batch, classes)``."""
        self._p = self.probabilities(x)
        return self._p

    def backward(self, grad_output: Array) -> Array:
        """Return p (g - sum p g): each probability depends on all logits of its row."""
        return self._p * (grad_output - self.projection(grad_output))

    def projection(self, grad_output: Array) -> Array:
        """Return the sum of p g in each row, ``(batch, 1)``."""
        return np.asarray((self._p * grad_output).sum(axis=1, keepdims=True))


class LogSoftmax(_Exponentials):
    """Logarithms of probabilities from logits."""

    def forward(self, x: Array) -> Array:
        """Return log p, ``(batch, classes)``."""
        self._x = x
        return self.log_probabilities(x)

    def backward(self, grad_output: Array) -> Array:
        """Return g - p sum g."""
        return np.asarray(grad_output - self.probabilities(self._x) * self.total(grad_output))

    def total(self, grad_output: Array) -> Array:
        """Return the sum of g in each row, ``(batch, 1)``."""
        return np.asarray(grad_output.sum(axis=1, keepdims=True))


class LogSumExp(_Exponentials):
    """The logarithm of the sum of the exponentials of each row."""

    def forward(self, x: Array) -> Array:
        """Return m + log of the sum of exp(x - m), m being the maximum, ``(batch,)``."""
        self._x = x
        return np.asarray(x.max(axis=1) + self.log_sums(self.shifted(x))[:, 0])

    def backward(self, grad_output: Array) -> Array:
        """Return g p."""
        return np.asarray(grad_output[:, None] * self.probabilities(self._x))


class _Loss:
    """The mean of the samples' losses, and its gradient."""

    def forward(self, x: Array, labels: Labels) -> Array:
        """Return the mean over the batch, a single number."""
        self._x, self._labels = x, labels
        return np.asarray(self.mean(self.losses(x, labels)), dtype=x.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the mean times the cotangent, a single number."""
        return np.asarray(self.gradient() / self.count() * grad_output, dtype=self._x.dtype)

    def losses(self, x: Array, labels: Labels) -> Array:
        """Return the loss of each sample."""
        raise NotImplementedError

    def gradient(self) -> Array:
        """Return the derivative of each sample's loss by its own row."""
        raise NotImplementedError

    def mean(self, losses: Array) -> Array:
        """Return the mean."""
        return np.asarray(losses.mean())

    def count(self) -> int:
        """Return how many numbers the mean is taken over."""
        return len(self._x)


class NLL(_Loss):
    """The negative log-likelihood: -x[label] of log-probabilities x."""

    def losses(self, x: Array, labels: Labels) -> Array:
        """Return -x[label] of each row."""
        return -x[np.arange(len(x)), labels]

    def gradient(self) -> Array:
        """Return -1 at each label."""
        return -one_hot(self._labels, self._x)


class CrossEntropy(_Exponentials, _Loss):
    """Softmax and negative log-likelihood in one, of logits."""

    def losses(self, x: Array, labels: Labels) -> Array:
        """Return -log p[label] of each row."""
        return -self.own(self.log_probabilities(x), self.targets(labels))

    def gradient(self) -> Array:
        """Return p - onehot."""
        return self.probabilities(self._x) - self.hits(self._labels)

    def own(self, values: Array, labels: Labels) -> Array:
        """Return of each row what stands at its label."""
        return values[np.arange(len(values)), labels]

    def targets(self, labels: Labels) -> Labels:
        """Return the labels as indices of columns."""
        return labels

    def hits(self, labels: Labels) -> Array:
        """Return what is subtracted from the probabilities: the targets as a distribution."""
        return one_hot(labels, self._x)


class MSE(_Loss):
    """The mean of (x - y)**2 over samples and classes, y being 1 at the label and 0 elsewhere."""

    def losses(self, x: Array, labels: Labels) -> Array:
        """Return the squares."""
        return np.square(x - one_hot(labels, x))

    def gradient(self) -> Array:
        """Return 2 (x - y)."""
        return 2 * (self._x - one_hot(self._labels, self._x))

    def count(self) -> int:
        """Return the number of squares."""
        return self._x.size
