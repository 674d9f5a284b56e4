"""Layers and losses of several inputs: labels, ids, targets, masks, and products of two arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array

Whole = npt.NDArray[np.integer[Any]]
Truth = npt.NDArray[np.bool_]


class CrossEntropy:
    """The negative logarithm of the probability of each label, over logits ``(batch, classes)`` or ``(batch, classes, time)``.

    Parameters
    ----------
    weight : sequence of float
        A weight for each class; equal ones if it is empty.
    summed : bool
        Whether the losses are added up, in place of their weighted mean.
    ignored : int
        The label whose losses do not count.
    """

    def __init__(self, weight: tuple[float, ...] = (), summed: bool = False, ignored: int = -100) -> None:
        self.class_weight, self.summed, self.ignored = weight, summed, ignored

    def loss(self, logits: Array, labels: Whole) -> tuple[Array, Array]:
        """Return the loss and dL/dlogits = w (p - y) / divisor."""
        kept = labels != self.ignored
        classes = np.where(kept, labels, 0)
        shifted = logits - logits.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        weight = self.weights(classes, kept, logits.shape[1]).astype(logits.dtype)
        divisor = logits.dtype.type(1 if self.summed else self.divisor(weight, kept))
        of_labels = np.take_along_axis(logarithms, classes[:, None], axis=1)[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):  # if every label is ignored, the mean is 0 / 0, as the reference's is
            loss = np.asarray(-(weight * of_labels).sum() / divisor)
            share = np.where(self.gets_a_gradient(kept), weight / divisor, 0).astype(logits.dtype)
        grad = np.exp(logarithms)
        np.put_along_axis(grad, classes[:, None], np.take_along_axis(grad, classes[:, None], axis=1) - 1, axis=1)
        return loss, grad * share[:, None]

    def weights(self, classes: Whole, kept: Truth, count: int) -> Array:
        """Return the weight of each label: its class', and 0 if it is ignored."""
        every = np.array(self.class_weight) if self.class_weight else np.ones(count)
        return every[classes] * kept

    def divisor(self, weight: Array, kept: Truth) -> Any:
        """Return what the mean divides by: the sum of the weights."""
        return weight.sum()

    def gets_a_gradient(self, kept: Truth) -> Truth:
        """Return where the logits have a gradient."""
        return kept


class Embedding:
    """A row of a table for each id.

    Parameters
    ----------
    rows, size : int
    padding : int
        The id whose row gets no gradient; there is none if it is negative.
    """

    def __init__(self, rows: int, size: int, padding: int = -1) -> None:
        self.padding = padding
        self.params = {"weight": np.zeros((rows, size))}
        self.grads: dict[str, Array] = {}

    def forward(self, ids: Whole) -> Array:
        """Return the rows, with one more axis than the ids."""
        self._ids = ids
        return np.asarray(self.params["weight"][self.looked_up(ids)])

    def backward(self, grad_output: Array) -> None:
        """Leave the table's gradient in ``grads``: for each row the sum over all places with its id."""
        ids = self._ids.ravel()
        grad = np.zeros_like(self.params["weight"])
        trained = self.trained(ids)
        self.add(grad, ids[trained], grad_output.reshape(len(ids), -1)[trained])
        self.grads["weight"] = grad

    def looked_up(self, ids: Whole) -> Whole:
        """Return which rows are read."""
        return ids

    def trained(self, ids: Whole) -> Truth:
        """Return which places hand on a gradient."""
        return np.asarray(ids != self.padding)

    def add(self, grad: Array, ids: Whole, rows: Array) -> None:
        """Add rows at their ids, in place."""
        np.add.at(grad, ids, rows)


class ColumnError:
    """A loss of a column of predictions, ``(batch, ..., 1)``, and targets without this axis, ``(batch, ...)``: the mean over all."""

    def loss(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return the loss and the gradient of the predictions, in their shape."""
        value, slope = self.of(self.as_target(prediction), target)
        return np.asarray(value.mean()), self.gathered(slope / value.size, prediction.shape)

    def as_target(self, prediction: Array) -> Array:
        """Return the predictions in the targets' shape."""
        return prediction[..., 0]

    def gathered(self, slope: Array, shape: tuple[int, ...]) -> Array:
        """Return the slopes in the predictions' shape."""
        return slope.reshape(shape)

    def of(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return the loss of each prediction and its derivative."""
        raise NotImplementedError


class SquaredError(ColumnError):
    """The square of the difference."""

    def of(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return d**2 and 2 d."""
        difference = prediction - target
        return np.square(difference), 2 * difference


class AbsoluteError(ColumnError):
    """The absolute value of the difference."""

    def of(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return the absolute value of d, and its sign."""
        difference = prediction - target
        return np.abs(difference), np.sign(difference)


class BinaryError(ColumnError):
    """The cross-entropy of a logit and a probability."""

    def of(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Return max(x, 0) - x t + log(1 + exp(-abs(x))) and sigmoid(x) - t."""
        small = np.exp(-np.abs(prediction))
        value = np.maximum(prediction, 0) - prediction * target + np.log1p(small)
        return value, np.where(prediction >= 0, 1, small) / (1 + small) - target


class RankingLoss:
    """max(0, margin - side (first - second)), the mean over samples; side is 1 or -1 and says which has to be larger.

    Parameters
    ----------
    margin : float
    """

    def __init__(self, margin: float = 0.5) -> None:
        self.margin = margin

    def loss(self, first: Array, second: Array, side: Array) -> tuple[Array, tuple[Array, Array]]:
        """Return the loss and the gradients of both scores."""
        lacking = self.margin - side * (first - second)
        share = np.where(lacking >= 0, side, 0).astype(first.dtype) / len(first)
        return np.asarray(np.maximum(lacking, 0).mean()), self.both(share)

    def both(self, share: Array) -> tuple[Array, Array]:
        """Return the gradients of the scores: what one gains the other loses."""
        return -share, share.copy()


class Divergence:
    """sum t (log t - x) of logarithms of probabilities x and probabilities t, the mean over samples (Kullback and Leibler, 1951)."""

    def loss(self, logarithms: Array, target: Array) -> tuple[Array, Array]:
        """Return the loss and dL/dx = -t / n."""
        count = self.count(target)
        entropy = np.where(target > 0, target * np.log(np.where(target > 0, target, 1)), 0)
        return np.asarray((entropy - target * logarithms).sum() / count).astype(logarithms.dtype), -target / count

    def count(self, target: Array) -> int:
        """Return the number of samples."""
        return len(target)


class MaskedMean:
    """The mean over time of the steps that a mask keeps, ``(batch, time, features)`` and ``(batch, time)``."""

    def forward(self, x: Array, mask: Truth) -> Array:
        """Return ``(batch, features)``."""
        self._share = (mask / self.count(mask)).astype(x.dtype)[:, :, None]
        return np.asarray((x * self._share).sum(axis=1))

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: steps that are kept share it equally."""
        return np.asarray(grad_output[:, None] * self._share)

    def count(self, mask: Truth) -> Any:
        """Return how many steps each sample keeps, ``(batch, 1)``; 1 where it keeps none."""
        return np.maximum(mask.sum(axis=1, keepdims=True), 1)


class BatchedProduct:
    """A B for each sample, ``(batch, rows, inner)`` and ``(batch, inner, columns)``."""

    def forward(self, a: Array, b: Array) -> Array:
        """Return ``(batch, rows, columns)``."""
        self._a, self._b = a, b
        return np.asarray(a @ b)

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        """Return dL/dA = G B^T and dL/dB = A^T G."""
        return self.of_a(grad_output), self.of_b(grad_output)

    def of_a(self, grad_output: Array) -> Array:
        """Return the gradient of A."""
        return np.asarray(grad_output @ self._b.swapaxes(1, 2))

    def of_b(self, grad_output: Array) -> Array:
        """Return the gradient of B."""
        return np.asarray(self._a.swapaxes(1, 2) @ grad_output)


class SharedProduct(BatchedProduct):
    """The same with one B for all samples, ``(inner, columns)``."""

    def of_a(self, grad_output: Array) -> Array:
        """Return the gradient of A."""
        return np.asarray(grad_output @ self._b.T)

    def of_b(self, grad_output: Array) -> Array:
        """Return the gradient of B: the sum over all samples."""
        return np.asarray(super().of_b(grad_output).sum(axis=0))


class ScaledFeatures:
    """Each feature times a factor, both inputs: ``(batch, features)`` and ``(features,)``."""

    def forward(self, x: Array, factor: Array) -> Array:
        """Return the products."""
        self._x, self._factor = x, factor
        return x * factor

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        """Return the gradients of both; a factor's is the sum over samples."""
        return grad_output * self._factor, self.summed(grad_output * self._x)

    def summed(self, products: Array) -> Array:
        """Return the sum over samples."""
        return np.asarray(products.sum(axis=0))
