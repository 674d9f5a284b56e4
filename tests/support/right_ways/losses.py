"""Softmax and losses, with the maximum subtracted first, through the logarithm of the sum, through log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support import theory_cases as cases
from tests.support.right_ways.summation import SUMS, Sum
from tests.support.right_ways.task import Results, Way, cotangent


def log_sum_exp(x: Array) -> Array:
    """Return m + ln of the sum of exp(x - m), m being the maximum, ``(batch, 1)``."""
    largest = x.max(axis=1, keepdims=True)
    return np.asarray(largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True)))


def shifted(x: Array, total: Sum = SUMS["pairwise"]) -> Array:
    """Return the exponentials of the differences to the maximum, over their sum."""
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(exponentials / total(exponentials)[:, None])


def by_reciprocal(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(exponentials * (1 / exponentials.sum(axis=1, keepdims=True)))


def by_log_sum(x: Array) -> Array:
    """Return the exponential of each logit less the logarithm of the sum."""
    return np.asarray(np.exp(x - log_sum_exp(x)))


def by_log_softmax(x: Array) -> Array:
    return np.asarray(np.exp(cases.log_softmax(x)))


def softmax(probabilities: Callable[[Array], Array], call: Call, by_matrix: bool = False) -> Results:
    """Return probabilities and their gradient: p (g - sum p g), or the matrix of derivatives times g."""
    p, g = probabilities(call.x), cotangent(call)
    if by_matrix:
        matrices = p[:, :, None] * (np.eye(p.shape[1], dtype=p.dtype) - p[:, None, :])
        return {"output": p, "grad_input": np.einsum("nij,nj->ni", matrices, g)}
    return {"output": p, "grad_input": p * (g - (p * g).sum(axis=1, keepdims=True))}


def cross_entropy(loss: Callable[[Array, Array], Array], probabilities: Callable[[Array], Array], call: Call, subtract: bool = True) -> Results:
    """Return the mean loss and its gradient, from probabilities less the labels' ones, divided by the batch at the end or at once."""
    labels, count, p, g = call.constants["labels"], call.dtype.type(len(call.x)), probabilities(call.x), cotangent(call)
    if subtract:
        grad = p.copy()
        grad[np.arange(len(grad)), labels] -= 1
        grad = grad / count * g
    else:
        onehot = np.eye(p.shape[1], dtype=p.dtype)[labels]
        grad = (g / count) * p - (g / count) * onehot
    return {"output": np.asarray(loss(call.x, labels)), "grad_input": np.asarray(grad)}


def of_shifted(x: Array, labels: Array) -> Array:
    depths = x - x.max(axis=1, keepdims=True)
    rows = np.arange(len(x))
    return np.asarray((np.log(np.exp(depths).sum(axis=1)) - depths[rows, labels]).mean())


def of_log_sum(x: Array, labels: Array) -> Array:
    """Return the mean of the logarithm of the sum, less x[label]."""
    return np.asarray((log_sum_exp(x)[:, 0] - x[np.arange(len(x)), labels]).mean())


def of_means(x: Array, labels: Array) -> Array:
    """Return the mean of the logarithms less the mean of the labels' logits."""
    return np.asarray(log_sum_exp(x).mean() - x[np.arange(len(x)), labels].mean())


def of_log_softmax(x: Array, labels: Array) -> Array:
    """Return the labels' log-probabilities, added up and divided."""
    own = cases.log_softmax_by_maximum(x)[np.arange(len(x)), labels]
    return np.asarray(-own.sum() / x.dtype.type(len(x)))


SOFTMAX: Mapping[str, Way] = {
    **{f"shifted, {name}": partial(softmax, partial(shifted, total=total)) for name, total in SUMS.items()},
    "reciprocal": partial(softmax, by_reciprocal),
    "log sum": partial(softmax, by_log_sum),
    "log softmax": partial(softmax, by_log_softmax),
    "matrix": partial(softmax, shifted, by_matrix=True),
}
BY_SHIFT: Mapping[str, Way] = {name: way for name, way in SOFTMAX.items() if name != "log sum"}
"""The ways that round like the steps of a softmax. The measured rounding of these does not cover exp(x - L), where L is rounded at its own size."""
LOG_SOFTMAX: Mapping[str, Way] = {
    "depths": cases.of_log_softmax(cases.log_softmax),
    "maximum": cases.of_log_softmax(cases.log_softmax_by_maximum),
    "log sum": cases.of_log_softmax(lambda x: x - log_sum_exp(x)),
}
CROSS_ENTROPY: Mapping[str, Way] = {
    "shifted": partial(cross_entropy, of_shifted, shifted),
    "log sum": partial(cross_entropy, of_log_sum, by_log_sum),
    "means": partial(cross_entropy, of_means, by_reciprocal, subtract=False),
    "log softmax": partial(cross_entropy, of_log_softmax, by_log_softmax),
    "onehot": partial(cross_entropy, of_shifted, shifted, subtract=False),
}
LOG_LIKELIHOOD: Mapping[str, Way] = {"quotient": cases.of_labels(), "reciprocal": cases.of_labels(spread=True)}
SQUARED_ERROR: Mapping[str, Way] = {"mean": cases.squared_error(), "spread": cases.squared_error(spread=True)}
