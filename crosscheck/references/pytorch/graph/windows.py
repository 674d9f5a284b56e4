"""Convolution and pooling, as people write them: cut the image into windows, and multiply or reduce each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps

Widths = Sequence[tuple[int, int]]


def sizes(value: Any, d: int) -> tuple[int, ...]:
    """Return a setting for each of d axes."""
    given: tuple[int, ...] = (value,) if isinstance(value, int) else tuple(value)
    return given * d if len(given) == 1 else given


def padded(t: Steps, x: At, widths: Widths, fill: float = 0.0) -> At:
    """Return an image with a border around its last axes."""
    if not any(any(pair) for pair in widths):
        return x
    lead = [(0, 0)] * (len(t.shape(x)) - len(widths))
    border: dict[str, Any] = {"fill": fill} if fill else {}
    return t.add("pad", x, widths=(*lead, *widths), **border)


def _batched(t: Steps, x: At, d: int) -> tuple[At, bool]:
    alone = len(t.shape(x)) == d + 1
    return (t.reshape(x, (1, *t.shape(x))) if alone else x), alone


def _unbatched(t: Steps, x: At, alone: bool) -> At:
    return t.reshape(x, t.shape(x)[1:]) if alone else x


def _with_bias(t: Steps, x: At, bias: At | None, d: int) -> At:
    return x if bias is None else t.add("add", x, t.reshape(bias, (*t.shape(bias), *[1] * d)))


def convolution(t: Steps, x: At, weight: At, bias: At | None, stride: Any, widths: Widths, dilation: Any, groups: int) -> At:
    """Add a convolution as a product of windows in rows with the kernels in columns."""
    out, inner, *kernel = t.shape(weight)
    d = len(kernel)
    x, alone = _batched(t, x, d)
    cut = t.add("windows", padded(t, x, widths), kernel=tuple(kernel), stride=sizes(stride, d), dilation=sizes(dilation, d))
    batch, places = t.shape(cut)[0], t.shape(cut)[2 : 2 + d]
    count, length = batch * math.prod(places), inner * math.prod(kernel)
    if groups == 1:
        rows = t.reshape(t.role(t.transpose(cut, (0, *range(2, 2 + d), 1, *range(2 + d, 2 + 2 * d))), "columns"), (count, length))
        flat = t.add("matmul", rows, t.transpose(t.reshape(weight, (out, length)), (1, 0)))
        flat, bias = (flat if bias is None else t.add("add", flat, bias)), None  # each row gets the bias of the filters before it becomes an image
        y = t.role(t.moved(t.reshape(flat, (batch, *places, out)), 1 + d, 1), "convolution of x")
    else:
        cut = t.reshape(cut, (batch, groups, inner, *places, *kernel))
        rows = t.transpose(cut, (1, 0, *range(3, 3 + d), 2, *range(3 + d, 3 + 2 * d)))
        flat = t.add("matmul", t.reshape(rows, (groups, count, length)), t.swapped(t.reshape(weight, (groups, out // groups, length))))
        y = t.transpose(t.reshape(flat, (groups, batch, *places, out // groups)), (1, 0, 2 + d, *range(2, 2 + d)))
        y = t.reshape(y, (batch, out, *places))
    return _unbatched(t, _with_bias(t, y, bias, d), alone)


def _border(t: Steps, x: At, weight: At, padding: Any, dilation: Any) -> Widths:
    kernel = t.shape(weight)[2:]
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        totals = [step * (size - 1) for step, size in zip(sizes(dilation, len(kernel)), kernel, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(one, one) for one in sizes(padding, len(kernel))]


def _convolution(t: Steps, x: At, weight: At, bias: At | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> At:
    return convolution(t, x, weight, bias, stride, _border(t, x, weight, padding, dilation), dilation, groups)


def _transposed(
    t: Steps,
    x: At,
    weight: At,
    bias: At | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> At:
    """Add a transposed convolution: each product is added at its place, and the border is cut off."""
    _, inner, *kernel = t.shape(weight)
    d = len(kernel)
    x, alone = _batched(t, x, d)
    batch, channels, *places = t.shape(x)
    step, between = sizes(stride, d), sizes(dilation, d)
    rows, length = batch * math.prod(places), inner * math.prod(kernel)
    by_group = t.reshape(x, (batch, groups, channels // groups, *places))
    by_group = t.reshape(t.transpose(by_group, (1, 0, *range(3, 3 + d), 2)), (groups, rows, channels // groups))
    products = t.add("matmul", by_group, t.reshape(weight, (groups, channels // groups, length)))
    spread = t.transpose(t.reshape(products, (groups, batch, *places, inner, *kernel)), (1, 0, 2 + d, *range(2, 2 + d), *range(3 + d, 3 + 2 * d)))
    spread = t.reshape(spread, (batch, groups * inner, *places, *kernel))
    full = [(places[k] - 1) * step[k] + between[k] * (kernel[k] - 1) + 1 for k in range(d)]
    y = t.add("add_windows", spread, shape=(batch, groups * inner, *full), kernel=tuple(kernel), stride=step, dilation=between)
    cut, extra = sizes(padding, d), sizes(output_padding, d)
    y = padded(t, y, [(-cut[k], extra[k] - cut[k]) for k in range(d)])
    return _unbatched(t, _with_bias(t, y, bias, d), alone)


def _general(  # noqa: PLR0913, PLR0917 - PyTorch's own signature
    t: Steps,
    x: At,
    weight: At,
    bias: At | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *others: Any,
) -> At:
    if transposed:
        return _transposed(t, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _convolution(t, x, weight, bias, stride, padding, dilation, groups)


def _pooled(length: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """Return how many windows there are along an axis."""
    over = length + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-over // stride) if ceil else over // stride) + 1
    return count - (ceil and (count - 1) * stride >= length + padding)


def _cut(t: Steps, x: At, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, d: int, fill: float) -> tuple[At, list[int]]:
    """Return the windows of pooling, and by how many numbers they exceed the padded image at each end."""
    kernel = sizes(kernel, d)
    step = kernel if stride is None or (isinstance(stride, list | tuple) and not stride) else sizes(stride, d)
    border, between = sizes(padding, d), sizes(dilation, d)
    places = t.shape(x)[-d:]
    counts = [_pooled(places[k], kernel[k], step[k], border[k], between[k], ceil) for k in range(d)]
    needed = [(counts[k] - 1) * step[k] + between[k] * (kernel[k] - 1) + 1 for k in range(d)]
    beyond = [max(0, needed[k] - places[k] - 2 * border[k]) for k in range(d)]
    image = padded(t, x, [(border[k], border[k] + beyond[k]) for k in range(d)], fill)
    return t.add("windows", image, kernel=kernel, stride=step, dilation=between), beyond


def _max_pool(d: int, with_indices: bool) -> Rule:
    def rule(t: Steps, x: At, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        cut, _ = _cut(t, x, kernel, stride, padding, dilation, ceil_mode, d, -math.inf)
        n = len(t.shape(cut))
        y = t.add("amax", cut, axes=tuple(range(n - d, n)), keepdims=False, role="largest of each window")
        if not with_indices:
            return y
        places = t.shape(x)[-d:]
        numbers = t.constant(np.arange(math.prod(places), dtype=np.float64).reshape(places))
        of_plane, _ = _cut(t, numbers, kernel, stride, padding, dilation, ceil_mode, d, -1.0)
        window = math.prod(t.shape(cut)[n - d :])
        flat = t.reshape(cut, (*t.shape(y), window))
        chosen = t.add("argmax", flat, axis=len(t.shape(y)), keepdims=True)
        where = t.expand(t.constant(t.graph.values[of_plane].reshape(*t.shape(y)[-d:], window).astype(np.int64)), t.shape(flat))
        return y, t.reshape(t.add("take_along", where, chosen, axis=len(t.shape(y))), t.shape(y))

    return rule


def _average_pool(d: int) -> Rule:
    def rule(
        t: Steps,
        x: At,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> At:
        cut, beyond = _cut(t, x, kernel, stride, padding, 1, ceil_mode, d, 0.0)
        n = len(t.shape(cut))
        axes = tuple(range(n - d, n))
        border = sizes(padding, d)
        if divisor_override is not None:
            return t.add("divide", t.add("sum", cut, axes=axes, keepdims=False), float(divisor_override), role="count")
        if not any(beyond) and (count_include_pad or not any(border)):
            return t.add("mean", cut, axes=axes, keepdims=False, role="mean of each window")
        ones = np.ones(t.shape(x)[-d:])
        counted = t.constant(np.pad(ones, [(one, one) for one in border], constant_values=1.0) if count_include_pad else ones)
        of_plane, _ = _cut(t, counted, kernel, stride, 0 if count_include_pad else padding, 1, ceil_mode, d, 0.0)
        values = t.graph.values[of_plane]
        places = t.shape(cut)[n - 2 * d : n - d]
        values = values[tuple(slice(0, size) for size in places)]
        count = t.constant(values.sum(tuple(range(d, 2 * d))))
        return t.add("divide", t.add("sum", cut, axes=axes, keepdims=False), count, role="count")

    return rule


def _adaptive(operation: str, d: int, with_indices: bool = False) -> Rule:
    def rule(t: Steps, x: At, output_size: Any) -> Any:
        lead, places = t.shape(x)[:-d], t.shape(x)[-d:]
        wanted = tuple(place if want is None else want for want, place in zip(sizes(output_size, d), places, strict=True))
        n = len(t.shape(x))
        if all(want == 1 for want in wanted):
            y = t.add(operation, x, axes=tuple(range(n - d, n)), keepdims=True)
        elif all(place % want == 0 for want, place in zip(wanted, places, strict=True)):
            kernel = tuple(place // want for want, place in zip(wanted, places, strict=True))
            cut = t.add("windows", x, kernel=kernel, stride=kernel, dilation=(1,) * d)
            y = t.add(operation, cut, axes=tuple(range(n, n + d)), keepdims=False)
        else:
            y = x
            for axis in range(n - 1, n - 1 - d, -1):
                want, place = wanted[axis - len(lead)], places[axis - len(lead)]
                edges = [(number * place // want, -(-(number + 1) * place // want)) for number in range(want)]
                parts = [t.add("index", y, key=(*[slice(None)] * axis, slice(*edge))) for edge in edges]
                y = t.add("concatenate", *(t.add(operation, part, axes=(axis,), keepdims=True) for part in parts), axis=axis)
        if with_indices:
            return y, None
        return y

    return rule


def _unfold(t: Steps, x: At, kernel: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> At:
    x, alone = _batched(t, x, 2)
    cut, _ = _cut(t, x, kernel, stride, padding, dilation, False, 2, 0.0)
    batch, channels, rows, columns, *window = t.shape(cut)
    y = t.reshape(t.transpose(cut, (0, 1, 4, 5, 2, 3)), (batch, channels * math.prod(window), rows * columns))
    return _unbatched(t, y, alone)


def _fold(t: Steps, x: At, output_size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> At:
    alone = len(t.shape(x)) == 2
    x = t.reshape(x, (1, *t.shape(x))) if alone else x
    kernel, step, between, border, size = (sizes(one, 2) for one in (kernel, stride, dilation, padding, output_size))
    batch, channels = t.shape(x)[0], t.shape(x)[1] // math.prod(kernel)
    places = [_pooled(size[k], kernel[k], step[k], border[k], between[k], False) for k in range(2)]
    cut = t.transpose(t.reshape(x, (batch, channels, *kernel, *places)), (0, 1, 4, 5, 2, 3))
    full = tuple(size[k] + 2 * border[k] for k in range(2))
    y = t.add("add_windows", cut, shape=(batch, channels, *full), kernel=kernel, stride=step, dilation=between)
    return _unbatched(t, padded(t, y, [(-one, -one) for one in border]), alone)


def _sliding(t: Steps, x: At, dim: int, size: int, step: int) -> At:
    """Add the windows along one axis of a tensor, which come last."""
    if not t.shape(x):
        raise NoGraphError("a number without axes is unfolded")
    axis = dim % len(t.shape(x))
    last = t.moved(x, axis, len(t.shape(x)) - 1)
    cut = t.add("windows", last, kernel=(size,), stride=(step,), dilation=(1,))
    n = len(t.shape(cut))
    order = list(range(n))
    order.insert(axis, order.pop(n - 2))
    return t.transpose(cut, order)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    "convolution": _general,
    "_convolution": _general,
    **{f"max_pool{d}d": _max_pool(d, with_indices=False) for d in (1, 2, 3)},
    **{f"max_pool{d}d_with_indices": _max_pool(d, with_indices=True) for d in (1, 2, 3)},
    **{f"avg_pool{d}d": _average_pool(d) for d in (1, 2, 3)},
    **{f"adaptive_avg_pool{d}d": _adaptive("mean", d) for d in (1, 2, 3)},
    **{f"_adaptive_avg_pool{d}d": _adaptive("mean", d) for d in (2, 3)},
    **{f"adaptive_max_pool{d}d": _adaptive("amax", d, with_indices=True) for d in (1, 2, 3)},
    "im2col": _unfold,
    "col2im": _fold,
    "unfold": _sliding,
}
"""The rules by the names of PyTorch's operations."""
