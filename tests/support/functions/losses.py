"""Losses: each returns the mean over a batch and its gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Input, Labels, LossFunction, Pair, Target
from tests.support.functions.row import Array, Fault, Row


def mse(prediction: Array, target: Array) -> tuple[Array, Array]:
    error = prediction - target
    return (error * error).mean(), 2 * error / error.size


def mse_by_sample(prediction: Array, target: Array) -> tuple[Array, Array]:
    """Divide the gradient by the number of samples alone."""
    error = prediction - target
    return (error * error).mean(), 2 * error / len(error)


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    own = np.arange(len(labels)), labels
    grad = np.exp(logs)
    grad[own] -= 1
    return -logs[own].mean(), grad / len(labels)


def cross_entropy_summed(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Forget to divide the gradient by the number of samples."""
    loss, grad = cross_entropy(logits, labels)
    return loss, grad * len(labels)


def huber(prediction: Array, target: Array, delta: float = 1.0) -> tuple[Array, Array]:
    error = prediction - target
    size = np.abs(error)
    each = np.where(size <= delta, error * error / 2, delta * (size - delta / 2))
    return each.mean(), np.clip(error, -delta, delta) / error.size


def huber_broken(prediction: Array, target: Array, delta: float = 1.0) -> tuple[Array, Array]:
    """Let the line begin where the parabola does not end."""
    _, grad = huber(prediction, target, delta)
    size = np.abs(prediction - target)
    return np.where(size <= delta, size * size / 2, delta * size).mean(), grad


def divergence(logs: Array, target: Array) -> tuple[Array, Array]:
    """Return the divergence of Kullback and Leibler, from logarithms of probabilities, as the mean over the samples."""
    known = target > 0
    each = np.where(known, target * (np.log(np.where(known, target, 1)) - logs), 0)
    return each.sum() / len(logs), -target / len(logs)


def divergence_by_element(logs: Array, target: Array) -> tuple[Array, Array]:
    """Divide by how many numbers there are, as the mean of the elements does."""
    loss, grad = divergence(logs, target)
    classes = logs.shape[1]
    return loss / classes, grad / classes


def distance(a: Array, b: Array) -> tuple[Array, Array]:
    """Return distances and their gradients for a; the epsilon is PyTorch's."""
    difference = a - b + 1e-6
    length = np.sqrt((difference * difference).sum(axis=1, keepdims=True))
    return length, np.where(length > 0, difference / np.where(length > 0, length, 1), 0)


def triplet(anchor: Array, positive: Array, negative: Array, margin: float = 1.0) -> tuple[Array, tuple[Array, ...]]:
    near, to_near = distance(anchor, positive)
    far, to_far = distance(anchor, negative)
    excess = near - far + margin
    share = (excess >= 0) / anchor.dtype.type(len(anchor))
    return np.maximum(excess, 0).mean(), (share * (to_near - to_far), -share * to_near, share * to_far)


def triplet_with_fixed_anchor(anchor: Array, positive: Array, negative: Array, margin: float = 1.0) -> tuple[Array, tuple[Array, ...]]:
    """Forget that the anchor is near the negative, too."""
    loss, (_, grad_positive, grad_negative) = triplet(anchor, positive, negative, margin)
    return loss, (-grad_positive, grad_positive, grad_negative)


def hinge(prediction: Array, sign: Array) -> tuple[Array, Array]:
    excess = 1 - prediction * sign
    return np.maximum(excess, 0).mean(), np.where(excess >= 0, -sign / excess.size, 0)


def hinge_of_errors(prediction: Array, sign: Array) -> tuple[Array, Array]:
    """Let only numbers of the wrong sign have a gradient, as in a perceptron."""
    loss, grad = hinge(prediction, sign)
    return loss, np.where(prediction * sign < 0, grad, 0)


BOTH: dict[str, Any] = {"prediction": "batch features", "target": Target("batch features")}
SIZES = {"batch": 4, "features": 5}
SCORES: dict[str, Any] = {"logits": "batch classes", "labels": Labels("batch", below=5)}
PROBABILITIES: dict[str, Any] = {"logs": Input("batch classes", of="log-distribution"), "target": Target("batch classes", of="distribution")}
TRIPLET = {"anchor": "batch features", "positive": "batch features", "negative": "batch features"}
SIGNS: dict[str, Any] = {"prediction": "batch", "sign": Target("batch", of="sign")}

ROWS = {
    "mean squared error": Row(Pair(LossFunction(mse), F.mse_loss, inputs=BOTH, sizes=SIZES), Fault("grad_input", function=mse_by_sample)),
    "cross-entropy": Row(
        Pair(LossFunction(cross_entropy), F.cross_entropy, inputs=SCORES, sizes={"batch": 4, "classes": 5}),
        Fault("grad_input", function=cross_entropy_summed),
    ),
    "Huber loss": Row(Pair(LossFunction(huber), F.huber_loss, inputs=BOTH, sizes=SIZES), Fault("output", function=huber_broken)),
    "Kullback-Leibler divergence": Row(
        Pair(LossFunction(divergence), partial(F.kl_div, reduction="batchmean"), inputs=PROBABILITIES, sizes={"batch": 4, "classes": 5}),
        Fault("output", function=divergence_by_element),
    ),
    "triplet margin loss": Row(
        Pair(LossFunction(triplet), F.triplet_margin_loss, inputs=TRIPLET, sizes=SIZES),
        Fault("grad_input.anchor", function=triplet_with_fixed_anchor),
    ),
    "hinge loss": Row(
        Pair(LossFunction(hinge), lambda x, y: torch.mean(torch.clamp(1 - x * y, min=0)), inputs=SIGNS, sizes={"batch": 9}),
        Fault("grad_input", function=hinge_of_errors),
    ),
}
