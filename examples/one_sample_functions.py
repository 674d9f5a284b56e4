"""In the style of a from-scratch notebook: ``conv_backward(d, image, filt, s) -> dimage, dfilt, dbias`` for one image, a loss for one label.

Run it: ``crosscheck check examples/one_sample_functions.py``. There is no cache: ``conv_backward`` is handed the arguments of ``conv`` again, found
by their names. The harness puts batches together.
"""

import numpy as np


def conv(image, filt, bias, s):
    """Convolve an image ``(channels, height, width)`` with filters ``(filters, channels, k, k)`` in steps of s."""
    f, _, k, _ = filt.shape
    _, h, w = image.shape
    out = np.zeros((f, (h - k) // s + 1, (w - k) // s + 1), image.dtype)
    for n, i, j in np.ndindex(out.shape):
        out[n, i, j] = np.sum(image[:, i * s : i * s + k, j * s : j * s + k] * filt[n]) + bias[n]
    return out


def conv_backward(d, image, filt, s):
    """Return the gradients of image, filters and bias."""
    dimage, dfilt, dbias = np.zeros_like(image), np.zeros_like(filt), np.zeros(len(filt), filt.dtype)
    k = filt.shape[2]
    for n, i, j in np.ndindex(d.shape):
        dfilt[n] += d[n, i, j] * image[:, i * s : i * s + k, j * s : j * s + k]
        dimage[:, i * s : i * s + k, j * s : j * s + k] += d[n, i, j] * filt[n]
        dbias[n] += d[n, i, j]
    return dimage, dfilt, dbias


def conv_turned(image, filt, bias, s):
    """Convolve as mathematicians do, with the filters turned by half a turn."""
    return conv(image, filt[:, :, ::-1, ::-1], bias, s)


def dense(x, weights, bias):
    """Return ``weights @ x + bias``."""
    return weights @ x + bias


def dense_backward(d, x, weights):
    """Return the gradients of x, weights and bias."""
    return weights.T @ d, np.outer(d, x), d


def dense_backward_negative(d, x, weights):
    """Return minus the gradient of the weights, for an update that adds."""
    return weights.T @ d, -np.outer(d, x), d


def loss(scores, label):
    """Return the cross-entropy of one sample's scores and its gradient."""
    p = np.exp(scores - scores.max())
    p /= p.sum()
    depth = scores.max() + np.log(np.exp(scores - scores.max()).sum()) - scores[label]
    gradient = p.copy()
    gradient[label] -= 1
    return depth, gradient


def loss_of_next(scores, label):
    """Count labels from one."""
    return loss(scores, label - 1)


# --- adapting ---
from torch import nn

from crosscheck import Functions, LossFunction, Pair

ONE = {"cache": False, "one_sample": True}
CONV, DENSE, LOSS = nn.Conv2d(2, 3, 3, stride=2), nn.Linear(6, 4), nn.CrossEntropyLoss()
IMAGE, ROWS, SCORES = {"shapes": [(2, 2, 7, 6)], "params": {"filt": "weight", "bias": "bias"}}, [(3, 6)], [(3, 5)]
PAIRS = [
    Pair(Functions(conv, conv_backward, [2], **ONE), CONV, name="conv", **IMAGE),
    Pair(Functions(conv_turned, conv_backward, [2], **ONE), CONV, name="conv (wrong: the kernel is flipped)", **IMAGE),
    Pair(Functions(dense, dense_backward, **ONE), DENSE, ROWS, {"weights": "weight", "bias": "bias"}, name="dense"),
    Pair(Functions(dense, dense_backward_negative, **ONE), DENSE, ROWS, {"weights": "weight", "bias": "bias"}, name="dense (wrong: the sign)"),
    Pair(LossFunction(loss, one_sample=True), LOSS, SCORES, name="loss"),
    Pair(LossFunction(loss_of_next, one_sample=True), LOSS, SCORES, name="loss (wrong: labels counted from one)"),
]
# --- end ---
