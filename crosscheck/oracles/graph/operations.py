"""The elementary operations: each is a function of arrays, named as in NumPy where NumPy has it.

Most of them are NumPy's own functions. The others index arrays, place numbers in larger arrays, or cut images into windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crosscheck.core.formats import BRAIN, HALF, SINGLE, Format

Value: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[int | slice, ...]


def reshape(x: Value, shape: Sequence[int]) -> Value:
    """Return the numbers of an array in another shape."""
    return np.reshape(x, tuple(shape))


def swapped_axes(n: int) -> tuple[int, ...]:
    """Return the order of n axes that transposes each matrix of a stack."""
    return (*range(n - 2), n - 1, n - 2)


def moved_axis(n: int, axis: int, to: int) -> list[int]:
    """Return the order of n axes that puts one of them at another place."""
    order = list(range(n))
    order.insert(to % n, order.pop(axis))
    return order


def transpose(x: Value, axes: Sequence[int]) -> Value:
    """Return an array whose axis k is axis ``axes[k]`` of ``x``."""
    return np.transpose(x, tuple(axes))


def expand(x: Value, shape: Sequence[int]) -> Value:
    """Return an array repeated along axes of length 1, or along new first axes, until it has the given shape."""
    return np.broadcast_to(x, tuple(shape))


def index(x: Value, key: Key) -> Value:
    """Return part of an array: ``x[key]``, for integers and slices."""
    return np.asarray(x[key])


def place(x: Value, shape: Sequence[int], key: Key) -> Value:
    """Return zeros of the given shape with ``x`` at ``key``; the derivative of :func:`index`."""
    result = np.zeros(tuple(shape), np.asarray(x).dtype)
    result[key] = x
    return result


def replace_at(x: Value, part: Value, key: Key) -> Value:
    """Return a copy of ``x`` with ``part`` at ``key``."""
    result = np.array(x)
    result[key] = part
    return result


def concatenate(*parts: Value, axis: int) -> Value:
    """Return arrays joined along an axis."""
    return np.concatenate(parts, axis)


def stack(*parts: Value, axis: int) -> Value:
    """Return arrays joined along a new axis."""
    return np.stack(parts, axis)


def pad(x: Value, widths: Sequence[tuple[int, int]], fill: float = 0.0, mode: str = "constant") -> Value:
    """Return an array with a border; negative widths cut numbers off."""
    cut = tuple(slice(max(0, -before), length - max(0, -after)) for (before, after), length in zip(widths, x.shape, strict=True))
    border = [(max(0, before), max(0, after)) for before, after in widths]
    if mode != "constant":
        return np.pad(x[cut], border, mode=mode)  # type: ignore[call-overload, no-any-return]
    return np.pad(x[cut], border, constant_values=fill)


def flip(x: Value, axes: Sequence[int]) -> Value:
    """Return an array in the reverse order along axes."""
    return np.flip(x, tuple(axes))


def roll(x: Value, shift: int, axis: int) -> Value:
    """Return an array whose numbers are moved along an axis; those that leave it at one end come in at the other."""
    return np.roll(x, shift, axis)


def take(table: Value, ids: Value) -> Value:
    """Return rows of a table: ``table[ids]``."""
    return np.asarray(table[ids.astype(np.intp)])


def add_rows(x: Value, ids: Value, rows: int) -> Value:
    """Return a table in which each row of ``x`` was added to the row with its id; the derivative of :func:`take`."""
    ids = ids.astype(np.intp)
    result = np.zeros((rows, *x.shape[ids.ndim :]), x.dtype)
    np.add.at(result, ids, x)
    return result


def set_rows(x: Value, ids: Value, rows: int) -> Value:
    """Return a table in which each row of ``x`` replaced the row with its id, so that of equal ids only the last one counts."""
    ids = ids.astype(np.intp)
    result = np.zeros((rows, *x.shape[ids.ndim :]), x.dtype)
    result[ids] = x
    return result


def take_along(x: Value, ids: Value, axis: int) -> Value:
    """Return the numbers of ``x`` that ``ids`` name along an axis."""
    return np.take_along_axis(x, ids.astype(np.intp), axis)


def add_along(x: Value, ids: Value, axis: int, length: int) -> Value:
    """Return zeros to which the numbers of ``x`` were added at ``ids``; the derivative of :func:`take_along`."""
    ids = ids.astype(np.intp)
    shape = list(x.shape)
    shape[axis] = length
    result = np.zeros(shape, x.dtype)
    places: list[Any] = list(np.ix_(*(range(size) for size in ids.shape)))
    places[axis] = ids
    np.add.at(result, tuple(places), x)
    return result


def one_hot(ids: Value, classes: int) -> Value:
    """Return 1 at each id and 0 elsewhere, along a new last axis; ids out of range have no 1."""
    return np.asarray(ids[..., None] == np.arange(classes), np.float64)


def first_largest(x: Value, axes: Sequence[int]) -> Value:
    """Return 1 at the first of the largest numbers along axes and 0 elsewhere."""
    axes = [axis % x.ndim for axis in axes]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    order = (*kept, *axes)
    rows = np.transpose(x, order).reshape(*(x.shape[axis] for axis in kept), -1)
    result = np.zeros(rows.shape)
    np.put_along_axis(result, rows.argmax(-1)[..., None], 1.0, -1)
    return np.transpose(result.reshape([x.shape[axis] for axis in order]), np.argsort(order))


def _taken(length: int, kernel: int, stride: int, dilation: int) -> Value:
    """Return the indices of each window along one axis, of shape (windows, kernel)."""
    windows = (length - dilation * (kernel - 1) - 1) // stride + 1
    return np.asarray(np.arange(max(0, windows))[:, None] * stride + np.arange(kernel)[None, :] * dilation)


def windows(x: Value, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Value:
    """Return the windows of the last axes of an array, of shape (..., windows of each axis, kernel)."""
    d, lead = len(kernel), x.ndim - len(kernel)
    for axis in range(d):
        # After each step the axes are: lead, windows so far, axes to do, kernel so far.
        taken = _taken(x.shape[lead + axis], kernel[axis], stride[axis], dilation[axis])
        x = np.moveaxis(np.take(x, taken, axis=lead + axis), lead + axis + 1, -1)
    return x


def add_windows(x: Value, shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Value:
    """Return an array of the given shape to which windows were added at their places; the derivative of :func:`windows`."""
    d, lead = len(kernel), x.ndim - 2 * len(kernel)
    result = np.zeros(tuple(shape), x.dtype)
    places: list[Any] = [slice(None)] * lead
    for axis in range(d):
        taken = _taken(shape[lead + axis], kernel[axis], stride[axis], dilation[axis])
        spread = [1] * (2 * d)
        spread[axis], spread[d + axis] = taken.shape
        places.append(taken.reshape(spread))
    np.add.at(result, tuple(places), x)
    return result


def mean(x: Value, axes: Sequence[int], keepdims: bool = False, less: int = 0) -> Value:
    """Return the mean along axes; ``less`` is subtracted from the number by which the sum is divided."""
    count = math.prod(x.shape[axis] for axis in axes)
    return np.asarray(np.sum(x, axis=tuple(axes), keepdims=keepdims) / np.float64(count - less))


def _reduction(function: Callable[..., Any]) -> Callable[..., Value]:
    def reduced(x: Value, axes: Sequence[int], keepdims: bool = False) -> Value:
        return np.asarray(function(x, axis=tuple(axes), keepdims=keepdims))

    return reduced


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Value) -> Value:
    """Return the error function of each number."""
    return np.asarray(_erf(x), np.float64)


def sigmoid(x: Value) -> Value:
    """Return 1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) below zero: nothing overflows, and small results keep their digits."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1 + small))


FORMATS: Mapping[str, Format] = {"as_float32": SINGLE, "as_float16": HALF, "as_bfloat16": BRAIN}
"""The operations that round every number to a lower precision."""

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    # of one array
    **{name: getattr(np, name) for name in ("negative", "exp", "log", "log1p", "expm1", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh")},
    **{
        name: getattr(np, name)
        for name in ("arctan", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh", "abs", "sign", "floor", "ceil", "trunc", "rint")
    },
    **{name: getattr(np, name) for name in ("square", "reciprocal", "isnan", "isinf", "logical_not")},
    "sigmoid": sigmoid,
    "erf": erf,
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "as_number": lambda x: np.asarray(x, np.float64),
    "as_condition": lambda x: np.asarray(x, np.bool_),
    "as_whole_number": lambda x: np.asarray(x, np.int64),  # without its fraction
    **{name: format_.rounded for name, format_ in FORMATS.items()},
    "stop": lambda x: x,  # a copy without a gradient
    "same": lambda x: x,
    # of two arrays
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "fmod", "remainder")},
    **{name: getattr(np, name) for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and", "logical_or")},
    "floor_divide": np.floor_divide,
    "matmul": np.matmul,
    "where": np.where,
    "einsum": lambda *arrays, equation: np.einsum(equation, *arrays),
    # along axes
    "sum": _reduction(np.sum),
    "mean": mean,
    "amax": _reduction(np.max),
    "amin": _reduction(np.min),
    "prod": _reduction(np.prod),
    "cumsum": np.cumsum,
    "argmax": lambda x, axis, keepdims=False: np.argmax(x, axis=axis, keepdims=keepdims),
    "first_largest": first_largest,
    "sort": np.sort,
    "argsort": lambda x, axis: np.argsort(x, axis, kind="stable"),
    # shapes and places
    "reshape": reshape,
    "transpose": transpose,
    "expand": expand,
    "index": index,
    "place": place,
    "replace_at": replace_at,
    "concatenate": concatenate,
    "stack": stack,
    "pad": pad,
    "flip": flip,
    "roll": roll,
    "tril": np.tril,
    "triu": np.triu,
    "take": take,
    "add_rows": add_rows,
    "set_rows": set_rows,
    "take_along": take_along,
    "add_along": add_along,
    "one_hot": one_hot,
    "windows": windows,
    "add_windows": add_windows,
}
"""Every elementary operation by name."""

_CONDITIONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_not", "isnan", "isinf")
_STEPS = ("sign", "floor", "ceil", "trunc", "rint", "floor_divide")
_PLACES = ("reshape", "transpose", "expand", "index", "place", "replace_at", "concatenate", "stack", "pad", "flip", "roll", "tril", "triu")
_CHOICES = ("relu", "maximum", "minimum", "where", "amax", "amin", "first_largest", "sort", "take", "set_rows", "take_along", "one_hot", "windows")

WHOLE = frozenset((*_CONDITIONS, "argmax", "argsort", "as_condition", "as_whole_number"))
"""The operations whose results are conditions or whole numbers, without a gradient."""

EXACT = WHOLE.union(_STEPS, _PLACES, _CHOICES, FORMATS, ("negative", "abs", "as_number", "stop", "same"))
"""The operations that round nothing."""

SUMS = frozenset(("add", "subtract", "sum", "mean", "cumsum", "matmul", "einsum", "add_rows", "add_along", "add_windows"))
"""The operations that add terms up; on absolute values they give the sum of the absolute terms (a difference of absolute values is added up)."""

FUNCTIONS = frozenset(
    ("exp", "log", "log1p", "expm1", "tanh", "sin", "cos", "tan", "sinh", "cosh", "arctan", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh")
) | {"sigmoid", "erf", "softplus", "power"}
"""The elementary functions, whose results may be off by several roundings."""
