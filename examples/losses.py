"""In the style of a course's notebook: ``loss(pred, target) -> loss, dpred`` for squared errors, binary labels, outliers and distributions.

Run it: ``crosscheck check examples/losses.py``. Most mistakes are a factor: of what a mean is taken, and whether the gradient knows it. Two show
only on numbers far from zero: a logarithm of a probability that is rounded to 0, and a small number added to keep it finite.
"""

import numpy as np


def mse(pred, target):
    """Return the mean of the squared errors."""
    error = pred - target
    return (error**2).mean(), 2 * error / error.size


def mse_per_sample(pred, target):
    """Divide the gradient by the number of samples, the loss by that of all numbers."""
    error = pred - target
    return (error**2).mean(), 2 * error / len(error)


def bce_with_logits(logits, target):
    """Return the mean of ``-t log(p) - (1 - t) log(1 - p)`` with p the sigmoid of the logits."""
    small = np.exp(-np.abs(logits))
    p = np.where(logits < 0, small, 1) / (1 + small)
    return (np.maximum(logits, 0) - logits * target + np.log1p(small)).mean(), (p - target) / logits.size


def bce_with_epsilon(logits, target):
    """Take the logarithm of the probabilities, with a small number in it that it may stay finite."""
    p, eps = 1 / (1 + np.exp(-np.clip(logits, -30, 30))), 1e-7
    loss = -(target * np.log(p + eps) + (1 - target) * np.log(1 - p + eps)).mean()
    return loss, (p - target) / logits.size


def huber(pred, target, delta=0.5):
    """Return the mean of ``e^2 / 2`` where the error is small and of ``delta (|e| - delta / 2)`` where it is not."""
    error = pred - target
    size = np.abs(error)
    loss = np.where(size < delta, error**2 / 2, delta * (size - delta / 2))
    return loss.mean(), np.clip(error, -delta, delta) / error.size


def huber_slope_one(pred, target, delta=0.5):
    """Forget delta in the gradient of large errors."""
    error = pred - target
    loss, _ = huber(pred, target, delta)
    return loss, np.where(np.abs(error) < delta, error, np.sign(error)) / error.size


def kl(log_p, q):
    """Return the sum of ``q (log q - log p)`` over the classes, as the mean over the batch; 0 log 0 is 0."""
    terms = q * (np.log(np.where(q > 0, q, 1)) - log_p)
    return terms.sum() / len(q), -q / len(q)


def kl_of_mean(log_p, q):
    """Take the mean over the classes, too."""
    loss, dlog_p = kl(log_p, q)
    return loss / q.shape[1], dlog_p / q.shape[1]


# --- adapting ---
from torch import nn

from crosscheck import Input, LossFunction, Pair, Target

ROWS, BATCHMEAN = {"shapes": [(4, 3)]}, nn.KLDivLoss(reduction="batchmean")
CHANCES = {"inputs": {"log_p": Input((4, 5), of="log-distribution"), "q": Target((4, 5), of="distribution")}}
PAIRS = [
    Pair(LossFunction(mse), nn.MSELoss(), name="mse", **ROWS),
    Pair(LossFunction(mse_per_sample), nn.MSELoss(), name="mse (wrong: the gradient of another mean)", **ROWS),
    Pair(LossFunction(bce_with_logits), nn.BCEWithLogitsLoss(), name="bce", **ROWS),
    Pair(LossFunction(bce_with_epsilon), nn.BCEWithLogitsLoss(), name="bce (wrong: a small number in the logarithm)", **ROWS),
    Pair(LossFunction(huber), nn.HuberLoss(delta=0.5), name="huber", **ROWS),
    Pair(LossFunction(huber_slope_one), nn.HuberLoss(delta=0.5), name="huber (wrong: delta forgotten in the gradient)", **ROWS),
    Pair(LossFunction(kl), BATCHMEAN, name="kl", **CHANCES),
    Pair(LossFunction(kl_of_mean), BATCHMEAN, name="kl (wrong: a mean over the classes)", **CHANCES),
]
# --- end ---
