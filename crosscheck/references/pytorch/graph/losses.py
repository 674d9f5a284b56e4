"""Losses, written out as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At
from crosscheck.references.pytorch.graph.activations import log_softmax
from crosscheck.references.pytorch.graph.steps import Rule, Steps

NONE, MEAN = 0, 1
"""PyTorch's numbers for what becomes of the losses of the elements: they stay as they are, or their mean is taken; 2 is their sum."""


def reduced(t: Steps, loss: At, reduction: int) -> At:
    """Return the losses themselves, their mean or their sum."""
    if reduction == NONE:
        return loss
    axes = tuple(range(len(t.shape(loss))))
    return t.add("mean" if reduction == MEAN else "sum", loss, axes=axes, keepdims=False, role="loss")


def _of_difference(make: Any) -> Rule:
    """Return the rule of a loss that is a function of prediction minus target."""

    def rule(t: Steps, x: At, target: At, reduction: int = MEAN, *given: Any, **options: Any) -> At:
        error = t.add("subtract", x, target, role="prediction - target")
        return reduced(t, make(t, error, *given, **options), reduction)

    return rule


def _smooth(t: Steps, error: At, beta: float = 1.0) -> At:
    size = t.add("abs", error)
    if not beta:
        return size
    near = t.add("divide", t.add("multiply", 0.5, t.add("square", error)), float(beta))
    return t.add("where", t.add("less", size, float(beta)), near, t.add("subtract", size, 0.5 * beta))


def _huber(t: Steps, error: At, delta: float = 1.0) -> At:
    return units.huber(t.graph, error, float(delta))


def _ignores(t: Steps, labels: At, ignored: int) -> bool:
    """Return whether some label is, or can be, the one that does not count."""
    return ignored >= 0 or bool(np.any(t.graph.values[labels] == ignored))


def _classes_last(t: Steps, x: At) -> At:
    return x if len(t.shape(x)) < 3 else t.moved(x, 1, len(t.shape(x)) - 1)


def _cross_entropy(
    t: Steps, x: At, target: At, weight: At | None = None, reduction: int = MEAN, ignore_index: int = -100, label_smoothing: float = 0.0
) -> At:
    x = _classes_last(t, x)
    first = len(t.graph.steps)
    classes = t.shape(x)[-1]
    logarithms = log_softmax(t, x, -1)
    if t.is_real_step(target) and t.shape(_classes_last(t, target)) == t.shape(x):
        return reduced(t, _of_each_sample(t, logarithms, _classes_last(t, target), weight, label_smoothing), reduction)
    picked = t.add("one_hot", target, classes=classes, role="one-hot labels")
    counted = t.add("not_equal", target, ignore_index) if _ignores(t, target, ignore_index) else None
    if (label_smoothing and (weight is not None or counted is not None)) or reduction == NONE:
        return _general(t, logarithms, target, picked, counted, weight, reduction, label_smoothing)
    if label_smoothing:
        picked = t.add("add", t.add("multiply", 1 - label_smoothing, picked), label_smoothing / classes, role="smoothed labels")
    weights = None if counted is None else t.add("as_number", counted)
    if weight is not None:
        of_label = t.add("take", weight, target if counted is None else t.add("where", counted, target, 0))
        weights = of_label if weights is None else t.add("multiply", of_label, weights)
    total: Any = None
    if reduction == MEAN:
        rows = t.shape(target)
        total = float(math.prod(rows)) if weights is None else t.add("sum", weights, axes=tuple(range(len(rows))), keepdims=False)
    column = None if weights is None else t.reshape(weights, (*t.shape(target), 1))
    return units.cross_entropy(t.graph, logarithms, picked, column, total, x, first)


def _of_each_sample(t: Steps, logarithms: At, target: At, weight: At | None, smoothing: float) -> At:
    """Add the loss of each sample, whose classes are the last axis."""
    if smoothing:
        classes = t.shape(logarithms)[-1]
        target = t.add("add", t.add("multiply", 1 - smoothing, target), smoothing / classes, role="smoothed labels")
    if weight is not None:
        target = t.add("multiply", target, weight)
    return t.add("negative", t.add("sum", t.add("multiply", target, logarithms), axes=(-1,), keepdims=False), role="loss of each sample")


def _general(t: Steps, logarithms: At, labels: At, picked: At, counted: At | None, weight: At | None, reduction: int, smoothing: float) -> At:
    """Add a cross-entropy whose targets do not add up to one, or one that is wanted for each sample."""
    loss = _of_each_sample(t, logarithms, picked, weight, smoothing)
    if counted is not None:
        loss = t.add("where", counted, loss, 0.0)
    if reduction != MEAN:
        return reduced(t, loss, reduction)
    if weight is None:
        total = t.add("sum", t.add("as_number", counted), axes=tuple(range(len(t.shape(labels)))), keepdims=False) if counted is not None else None
    else:
        of_label = t.add("take", weight, labels if counted is None else t.add("where", counted, labels, 0))
        of_label = of_label if counted is None else t.add("where", counted, of_label, 0.0)
        total = t.add("sum", of_label, axes=tuple(range(len(t.shape(labels)))), keepdims=False)
    return reduced(t, loss, MEAN) if total is None else t.add("divide", reduced(t, loss, 2), total, role="loss")


def _negative_log_likelihood(t: Steps, x: At, target: At, weight: At | None = None, reduction: int = MEAN, ignore_index: int = -100) -> At:
    x = _classes_last(t, x)
    counted = t.add("not_equal", target, ignore_index) if _ignores(t, target, ignore_index) else None
    labels = target if counted is None else t.add("where", counted, target, 0)
    shape = t.shape(labels)
    picked = t.add("take_along", x, t.reshape(labels, (*shape, 1)), axis=len(shape))
    loss = t.add("negative", t.reshape(picked, shape), role="loss of each sample")
    of_label = None if weight is None else t.add("take", weight, labels)
    if of_label is not None:
        loss = t.add("multiply", of_label, loss)
    if counted is not None:
        loss = t.add("where", counted, loss, 0.0)
        of_label = t.add("as_number", counted) if of_label is None else t.add("where", counted, of_label, 0.0)
    if reduction != MEAN or of_label is None:
        return reduced(t, loss, reduction)
    total = t.add("sum", of_label, axes=tuple(range(len(shape))), keepdims=False)
    return t.add("divide", reduced(t, loss, 2), total, role="loss")


def _binary_cross_entropy(t: Steps, x: At, target: At, weight: At | None = None, reduction: int = MEAN) -> At:
    # PyTorch's logarithms are at least -100.
    of_one = t.add("maximum", t.add("log", x), -100.0)
    of_zero = t.add("maximum", t.add("log", t.add("subtract", 1.0, x)), -100.0)
    likely = t.add("add", t.add("multiply", target, of_one), t.add("multiply", t.add("subtract", 1.0, target), of_zero))
    loss = t.add("negative", likely, role="loss of each element")
    return reduced(t, loss if weight is None else t.add("multiply", weight, loss), reduction)


def _binary_cross_entropy_of_logits(t: Steps, x: At, target: At, weight: At | None = None, pos_weight: At | None = None, reduction: int = MEAN) -> At:
    if pos_weight is None:
        loss = units.binary_cross_entropy(t.graph, x, target)
    else:
        factor = t.add("add", 1.0, t.add("multiply", t.add("subtract", pos_weight, 1.0), target))
        away = t.add("multiply", t.add("subtract", 1.0, target), x)
        loss = t.add("add", away, t.add("multiply", factor, t.add("softplus", t.add("negative", x))), role="loss of each element")
    return reduced(t, loss if weight is None else t.add("multiply", weight, loss), reduction)


def _divergence(t: Steps, x: At, target: At, reduction: int = MEAN, *, log_target: bool = False) -> At:
    if log_target:
        return reduced(t, t.add("multiply", t.add("exp", target), t.add("subtract", target, x)), reduction)
    own = t.add("where", t.add("equal", target, 0.0), 0.0, t.add("multiply", target, t.add("log", target)))
    return reduced(t, t.add("subtract", own, t.add("multiply", target, x)), reduction)


def _margins(t: Steps, x: At, target: At, p: float = 1, margin: float = 1, weight: At | None = None, reduction: int = MEAN) -> At:
    """Add the mean over classes of max(0, margin - x of the label + x of the class)**p, without the label's own class."""
    axis = len(t.shape(x)) - 1
    labels = t.reshape(target, (*t.shape(x)[:-1], 1))
    short = t.add("relu", t.add("add", t.add("subtract", float(margin), t.add("take_along", x, labels, axis=axis)), x))
    short = short if p == 1 else t.add("square", short)
    if weight is not None:
        short = t.add("multiply", t.add("take", weight, labels), short)
    others = t.add("not_equal", labels, t.constant(np.arange(t.shape(x)[-1])))
    loss = t.add("mean", t.add("where", others, short, 0.0), axes=(axis,), keepdims=False, role="loss of each sample")
    return reduced(t, loss, reduction)


RULES: Mapping[str, Rule] = {
    "cross_entropy_loss": _cross_entropy,
    **dict.fromkeys(("nll_loss", "nll_loss_nd", "nll_loss2d"), _negative_log_likelihood),
    "mse_loss": _of_difference(lambda t, error: t.add("square", error)),
    "l1_loss": _of_difference(lambda t, error: t.add("abs", error)),
    "smooth_l1_loss": _of_difference(_smooth),
    "huber_loss": _of_difference(_huber),
    "binary_cross_entropy": _binary_cross_entropy,
    "binary_cross_entropy_with_logits": _binary_cross_entropy_of_logits,
    "kl_div": _divergence,
    "multi_margin_loss": _margins,
    "soft_margin_loss": lambda t, x, target, reduction=MEAN: reduced(
        t, t.add("softplus", t.add("negative", t.add("multiply", target, x))), reduction
    ),
}
"""The rules by the names of PyTorch's operations."""
