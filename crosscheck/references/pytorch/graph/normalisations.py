"""Normalisations: by mean and variance of each sample, of groups of channels, or of a batch, and by the mean square."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At
from crosscheck.references.pytorch.graph.reductions import norm, root
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def _affine(t: Steps, x: At, weight: At | None, bias: At | None, shape: Sequence[int] = ()) -> At:
    if weight is not None:
        x = t.add("multiply", x, t.reshape(weight, shape) if shape else weight)
    return x if bias is None else t.add("add", x, t.reshape(bias, shape) if shape else bias)


def _layer_norm(t: Steps, x: At, shape: Sequence[int], weight: At | None = None, bias: At | None = None, eps: float = 1e-5, *given: Any) -> At:
    n = len(t.shape(x))
    y, _, _ = units.normalised(t.graph, x, tuple(range(n - len(shape), n)), eps)
    return _affine(t, y, weight, bias)


def _rms_norm(t: Steps, x: At, shape: Sequence[int], weight: At | None = None, eps: float | None = None) -> At:
    n = len(t.shape(x))
    y = units.rms_normalised(t.graph, x, tuple(range(n - len(shape), n)), float(np.finfo(np.float64).eps) if eps is None else eps)
    return _affine(t, y, weight, None)


def _group_norm(t: Steps, x: At, groups: int, weight: At | None = None, bias: At | None = None, eps: float = 1e-5, *given: Any) -> At:
    batch, channels, *places = t.shape(x)
    parts = t.reshape(x, (batch, groups, channels // groups, *places))
    y, _, _ = units.normalised(t.graph, parts, tuple(range(2, len(places) + 3)), eps)
    return _affine(t, t.reshape(y, (batch, channels, *places)), weight, bias, _of_channels(channels, places))


def _of_channels(channels: int, places: Sequence[int]) -> tuple[int, ...]:
    return (channels, *[1] * len(places)) if places else ()


def _updated(t: Steps, old: At, new: At, momentum: float) -> At:
    """Add the new running statistic: a part of the old one and a part of the new number."""
    kept = t.add("multiply", 1 - momentum, old)
    return t.add("add", kept, t.add("multiply", momentum, new), role="running statistic")


def _unbiased(t: Steps, x: At, mean: At, axes: Sequence[int]) -> At:
    count = math.prod(t.shape(x)[axis] for axis in axes)
    square = t.add("square", t.add("subtract", x, mean, role="x - mean"))
    return t.add("mean", square, axes=tuple(axes), keepdims=True, role="unbiased variance", **({"less": 1} if count > 1 else {}))


def _batch_norm(
    t: Steps,
    x: At,
    weight: At | None,
    bias: At | None,
    running_mean: At | None,
    running_var: At | None,
    training: bool,
    momentum: float,
    eps: float,
    *given: Any,
) -> At:
    _, channels, *places = t.shape(x)
    shape, axes = _of_channels(channels, places), (0, *range(2, len(places) + 2))
    if not training:
        assert running_mean is not None and running_var is not None  # noqa: PT018 - one condition
        mean, variance = (t.reshape(one, shape) if shape else one for one in (running_mean, running_var))
        y, _, _ = units.normalised(t.graph, x, axes, eps, mean, variance)
        return _affine(t, y, weight, bias, shape)
    kept = t.raw[3:5]
    y, mean, _ = units.normalised(t.graph, x, axes, eps)
    if running_mean is not None and running_var is not None:
        kept[0].write(_updated(t, running_mean, t.reshape(mean, (channels,)), momentum))
        kept[1].write(_updated(t, running_var, t.reshape(_unbiased(t, x, mean, axes), (channels,)), momentum))
    return _affine(t, y, weight, bias, shape)


def _instance_norm(
    t: Steps,
    x: At,
    weight: At | None,
    bias: At | None,
    running_mean: At | None,
    running_var: At | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *given: Any,
) -> At:
    _, channels, *places = t.shape(x)
    if not use_input_stats:
        return _batch_norm(t, x, weight, bias, running_mean, running_var, False, momentum, eps)
    axes, kept = tuple(range(2, len(places) + 2)), t.raw[3:5]
    y, mean, _ = units.normalised(t.graph, x, axes, eps)
    if running_mean is not None and running_var is not None:
        for old, tensor, new in ((running_mean, kept[0], mean), (running_var, kept[1], _unbiased(t, x, mean, axes))):
            of_batch = t.reshape(t.add("mean", new, axes=(0,), keepdims=True), (channels,))
            tensor.write(_updated(t, old, of_batch, momentum))
    return _affine(t, y, weight, bias, _of_channels(channels, places))


def _at_least(t: Steps, x: At, least: float) -> At:
    """Add the larger of x and a number. Where the number is larger, PyTorch takes the derivative as if it were x."""
    larger = t.add("maximum", x, least)
    return t.add("add", x, t.add("stop", t.add("subtract", larger, x))) if (t.graph.values[x] < least).any() else larger


def _cosine_similarity(t: Steps, x: At, y: At, dim: int = 1, eps: float = 1e-8) -> At:
    shape = np.broadcast_shapes(t.shape(x), t.shape(y))
    axis = dim % len(shape)
    unit = []
    for one in (x, y):
        wide = t.reshape(one, (*[1] * (len(shape) - len(t.shape(one))), *t.shape(one)))
        size = root(t, t.add("sum", t.add("square", wide), axes=(axis,), keepdims=True), "norm")
        unit.append(t.add("divide", wide, _at_least(t, size, eps)))
    return t.add("sum", t.add("multiply", *unit), axes=(axis,), keepdims=False)


def _distance(t: Steps, x: At, y: At, p: float = 2, eps: float = 1e-6, keepdim: bool = False) -> At:
    return norm(t, t.add("add", t.add("subtract", x, y), eps), p, -1, keepdim)


RULES: Mapping[str, Rule] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "cosine_similarity": _cosine_similarity,
    "pairwise_distance": _distance,
}
"""The rules by the names of PyTorch's operations."""
