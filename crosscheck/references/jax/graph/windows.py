"""Convolution and pooling, as people write them: cut the image into windows, and multiply or reduce each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.steps import Operand
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]


def _convolution(t: Translation, params: Params, left: Operand, right: Operand) -> Operand:
    """Add a convolution as a product of windows in rows with the kernels in columns."""
    numbers = params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise NoGraphError("a convolution has groups in its batch")
    x, weight = t.transpose(t.at(left), numbers.lhs_spec), t.transpose(t.at(right), numbers.rhs_spec)
    stride, dilation = tuple(params["window_strides"]), tuple(params["rhs_dilation"])
    widths, groups = [(int(low), int(high)) for low, high in params["padding"]], params["feature_group_count"]
    if any(step != 1 for step in params["lhs_dilation"]):
        y = _spread(t, x, weight, tuple(params["lhs_dilation"]), dilation, widths, groups)
        y = t.index(y, (slice(None), slice(None), *(slice(None, None, step) if step > 1 else slice(None) for step in stride)))
    else:
        y = _in_windows(t, t.padded(x, [(0, 0), (0, 0), *widths]), weight, stride, dilation, groups)
    return t.transpose(y, [int(axis) for axis in np.argsort(numbers.out_spec)])


def _in_windows(t: Translation, x: At, weight: At, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> At:
    out, inner, *kernel = t.shape(weight)
    d, batch = len(kernel), t.shape(x)[0]
    cut = t.add("windows", x, kernel=tuple(kernel), stride=stride, dilation=dilation)
    places = t.shape(cut)[2 : 2 + d]
    count, length = batch * math.prod(places), inner * math.prod(kernel)
    if groups == 1:
        rows = t.reshape(t.transpose(cut, (0, *range(2, 2 + d), 1, *range(2 + d, 2 + 2 * d))), (count, length))
        flat = t.add("matmul", rows, t.transpose(t.reshape(weight, (out, length)), (1, 0)))
        return t.moved(t.reshape(flat, (batch, *places, out)), 1 + d, 1)
    cut = t.reshape(cut, (batch, groups, inner, *places, *kernel))
    rows = t.reshape(t.transpose(cut, (1, 0, *range(3, 3 + d), 2, *range(3 + d, 3 + 2 * d))), (groups, count, length))
    flat = t.add("matmul", rows, t.swapped(t.reshape(weight, (groups, out // groups, length))))
    y = t.transpose(t.reshape(flat, (groups, batch, *places, out // groups)), (1, 0, 2 + d, *range(2, 2 + d)))
    return t.reshape(y, (batch, out, *places))


def _spread(t: Translation, x: At, weight: At, step: tuple[int, ...], dilation: tuple[int, ...], widths: list[tuple[int, int]], groups: int) -> At:
    """Add a transposed convolution: each number of the image is multiplied with the kernel, and the products are added at their places.

    JAX writes it as a convolution of an image with zeros between its numbers, with the kernel in reverse order.
    """
    out, inner, *kernel = t.shape(weight)
    d = len(kernel)
    weight = _reversed(t, weight, tuple(range(2, 2 + d)))
    batch, _, *places = t.shape(x)
    rows, length = batch * math.prod(places), out // groups * math.prod(kernel)
    by_group = t.reshape(x, (batch, groups, inner, *places))
    by_group = t.reshape(t.transpose(by_group, (1, 0, *range(3, 3 + d), 2)), (groups, rows, inner))
    kernels = t.reshape(weight, (groups, out // groups, inner, *kernel))
    kernels = t.reshape(t.transpose(kernels, (0, 2, 1, *range(3, 3 + d))), (groups, inner, length))
    products = t.reshape(t.add("matmul", by_group, kernels), (groups, batch, *places, out // groups, *kernel))
    products = t.transpose(products, (1, 0, 2 + d, *range(2, 2 + d), *range(3 + d, 3 + 2 * d)))
    products = t.reshape(products, (batch, out, *places, *kernel))
    full = [(places[k] - 1) * step[k] + dilation[k] * (kernel[k] - 1) + 1 for k in range(d)]
    y = t.add("add_windows", products, shape=(batch, out, *full), kernel=tuple(kernel), stride=step, dilation=dilation)
    beyond = [dilation[k] * (kernel[k] - 1) for k in range(d)]
    return t.padded(y, [(0, 0), (0, 0), *((widths[k][0] - beyond[k], widths[k][1] - beyond[k]) for k in range(d))])


def _reversed(t: Translation, at: At, axes: tuple[int, ...]) -> At:
    """Return a kernel in reverse order; one that was turned already is turned back."""
    step = t.graph.steps[at]
    if step.operation == "flip" and set(step.settings["axes"]) == set(axes):
        return step.sources[0]
    if step.operation == "transpose":
        order, inner = step.settings["axes"], t.graph.steps[step.sources[0]]
        if inner.operation == "flip" and {order.index(axis) for axis in inner.settings["axes"]} == set(axes):
            return t.transpose(inner.sources[0], order)
    return t.add("flip", at, axes=axes)


def _windowed(operation: str, fill: float) -> Rule:
    """Return the rule of a reduction of each window."""

    def rule(t: Translation, params: Params, x: Operand) -> Operand:
        kernel, stride = params["window_dimensions"], params["window_strides"]
        between, widths = params["window_dilation"], params["padding"]
        if any(step != 1 for step in params["base_dilation"]):
            raise NoGraphError("a pooling puts numbers between those of the image")
        at = t.at(x)
        n = len(t.shape(at))
        moving = [axis for axis in range(n) if kernel[axis] != 1 or stride[axis] != 1 or any(widths[axis])]
        if not moving:
            return at
        order = [*(axis for axis in range(n) if axis not in moving), *moving]
        image = t.padded(t.transpose(at, order), [widths[axis] for axis in order], fill)
        kernel, stride, between = (tuple(int(one[axis]) for axis in moving) for one in (kernel, stride, between))
        cut = t.add("windows", image, kernel=kernel, stride=stride, dilation=between)
        y = t.add(operation, cut, axes=tuple(range(n, n + len(moving))), keepdims=False)
        return t.transpose(y, [int(axis) for axis in np.argsort(order)])

    return rule


RULES: Mapping[str, Rule] = {
    "conv_general_dilated": _convolution,
    "reduce_window_sum": _windowed("sum", 0.0),
    "reduce_window_max": _windowed("amax", -math.inf),
    "reduce_window_min": _windowed("amin", math.inf),
}
"""The rules by the names of JAX's primitives."""
