"""In the style of a library's ``cross_entropy``: class weights, labels to ignore, smoothed labels, and sequences ``(batch, classes, time)``.

Run it: ``crosscheck check examples/cross_entropy.py``. Each option changes what the mean is taken of, and each of the mistakes leaves a loss that
falls during training.
"""

import numpy as np

WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0, 0.25])
IGNORED, SMOOTHING = 0, 0.1


def log_softmax(logits):
    """Return the logarithms of the probabilities, with the classes on axis 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def of_label(log_p, labels):
    """Return what stands at the labels, without the axis of the classes."""
    return np.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]


def minus_one_hot(log_p, labels):
    """Return the probabilities, less 1 at the labels: the gradient of ``-log p`` of the labels."""
    d = np.exp(log_p)
    np.put_along_axis(d, labels[:, None], np.take_along_axis(d, labels[:, None], axis=1) - 1, axis=1)
    return d


def weighted(logits, labels):
    """Return the mean over the batch, in which each sample counts as its class does, and its gradient."""
    log_p, weight = log_softmax(logits), WEIGHTS.astype(logits.dtype)[labels]
    return -(weight * of_label(log_p, labels)).sum() / weight.sum(), weight[:, None] * minus_one_hot(log_p, labels) / weight.sum()


def weighted_over_batch(logits, labels):
    """Divide by the number of samples, not by the sum of their weights."""
    log_p, weight = log_softmax(logits), WEIGHTS.astype(logits.dtype)[labels]
    return -(weight * of_label(log_p, labels)).mean(), weight[:, None] * minus_one_hot(log_p, labels) / len(labels)


def ignoring(logits, labels):
    """Return the mean over the samples whose label counts, and its gradient."""
    log_p, counts = log_softmax(logits), labels != IGNORED
    total = counts.sum(dtype=logits.dtype)
    return -of_label(log_p, labels)[counts].sum() / total, np.where(counts[:, None], minus_one_hot(log_p, labels) / total, 0)


def ignoring_counted(logits, labels):
    """Divide by the number of all samples."""
    log_p, counts = log_softmax(logits), labels != IGNORED
    return -of_label(log_p, labels)[counts].sum() / len(labels), counts[:, None] * minus_one_hot(log_p, labels) / len(labels)


def smoothed(logits, labels):
    """Return the mean beside labels of which a share is spread evenly over all classes, and its gradient."""
    log_p = log_softmax(logits)
    loss = -(1 - SMOOTHING) * of_label(log_p, labels).mean() - SMOOTHING * log_p.mean()
    target = (1 - SMOOTHING) * np.eye(log_p.shape[1], dtype=log_p.dtype)[labels] + SMOOTHING / log_p.shape[1]
    return loss, (np.exp(log_p) - target) / len(labels)


def smoothed_loss_only(logits, labels):
    """Smooth the labels in the loss and not in its gradient."""
    loss, _ = smoothed(logits, labels)
    return loss, minus_one_hot(log_softmax(logits), labels) / len(labels)


def over_time(logits, labels):
    """Return the mean over the batch and all times, and its gradient in the layout of the logits."""
    log_p = log_softmax(logits)
    return -of_label(log_p, labels).mean(), minus_one_hot(log_p, labels) / labels.size


def over_time_reshaped(logits, labels):
    """Flatten ``(batch, classes, time)`` without moving the classes to the end."""
    loss, dlogits = over_time(logits.reshape(labels.size, -1), labels.ravel())
    return loss, dlogits.reshape(logits.shape)


# --- adapting ---
import torch
from torch.nn import CrossEntropyLoss

from crosscheck import Labels, LossFunction, Pair

WEIGHTED, SMOOTHED = CrossEntropyLoss(weight=torch.tensor(WEIGHTS)), CrossEntropyLoss(label_smoothing=SMOOTHING)
ROWS, TIME = [(6, 5)], {"inputs": {"logits": "batch 5 time", "labels": Labels("batch time", below=5)}, "sizes": {"batch": 2, "time": 4}}
PAIRS = [
    Pair(LossFunction(weighted), WEIGHTED, ROWS, name="class weights"),
    Pair(LossFunction(weighted_over_batch), WEIGHTED, ROWS, name="class weights (wrong: divided by the batch size)"),
    Pair(LossFunction(ignoring), CrossEntropyLoss(ignore_index=IGNORED), ROWS, name="ignored labels"),
    Pair(LossFunction(ignoring_counted), CrossEntropyLoss(ignore_index=IGNORED), ROWS, name="ignored labels (wrong: counted in the mean)"),
    Pair(LossFunction(smoothed), SMOOTHED, ROWS, name="smoothing"),
    Pair(LossFunction(smoothed_loss_only), SMOOTHED, ROWS, name="smoothing (wrong: the gradient is not smoothed)"),
    Pair(LossFunction(over_time), CrossEntropyLoss(), name="over time", **TIME),
    Pair(LossFunction(over_time_reshaped), CrossEntropyLoss(), name="over time (wrong: flattened before the classes are moved)", **TIME),
]
# --- end ---
