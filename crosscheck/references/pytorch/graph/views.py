"""Views: other shapes, other orders of axes, and parts of a tensor, without a copy, so that writing to the view writes to the tensor."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Steps, ViewRule
from crosscheck.references.pytorch.graph.tensors import Read, Write

Pair = tuple[Read, Write]


def _reshaped(t: Steps, x: At, *given: Any, **options: Any) -> Pair:
    """Return the view of all numbers in the shape that PyTorch's result has."""
    shape, before = tuple(t.out.shape), t.shape(x)
    return lambda base: t.reshape(base, shape), lambda base, part: t.reshape(part, before)


def _permuted(t: Steps, axes: tuple[int, ...]) -> Pair:
    back = tuple(int(axis) for axis in np.argsort(axes))
    return lambda base: t.transpose(base, axes), lambda base, part: t.transpose(part, back)


def _permute(t: Steps, x: At, dims: Any) -> Pair:
    return _permuted(t, t.axes(x, dims) if dims else ())


def _transpose(t: Steps, x: At, one: int, other: int) -> Pair:
    order = list(range(len(t.shape(x))))
    if order:
        order[one], order[other] = order[other], order[one]
    return _permuted(t, tuple(order))


def _reversed(t: Steps, x: At) -> Pair:
    return _permuted(t, tuple(range(len(t.shape(x))))[::-1])


def _moved(t: Steps, x: At, source: Any, destination: Any) -> Pair:
    moved, to = t.axes(x, source), t.axes(x, destination)
    order = [axis for axis in range(len(t.shape(x))) if axis not in moved]
    for place, axis in sorted(zip(to, moved, strict=True)):
        order.insert(place, axis)
    return _permuted(t, tuple(order))


def part(t: Steps, x: At, axis: int, key: int | slice) -> Pair:
    """Return the view of a part along one axis."""
    if isinstance(key, slice) and key.indices(t.shape(x)[axis]) == (0, t.shape(x)[axis], 1):
        return _all(t, x)
    full = (*[slice(None)] * axis, key)
    return lambda base: t.add("index", base, key=full), lambda base, part: t.add("replace_at", base, part, key=full)


def _all(t: Steps, x: At, *given: Any, **options: Any) -> Pair:
    return lambda base: base, lambda base, part: part


def _select(t: Steps, x: At, dim: int, number: Any) -> Pair:
    axis = dim % len(t.shape(x))
    if isinstance(number, At):
        raise NoGraphError("a computed number selects a part")
    return part(t, x, axis, number % t.shape(x)[axis])


def _slice(t: Steps, x: At, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Pair:
    axis = dim % len(t.shape(x))
    first, last, _ = slice(start, end).indices(t.shape(x)[axis])
    return part(t, x, axis, slice(first, max(first, last), step if step != 1 else None))


def _narrow(t: Steps, x: At, dim: int, start: Any, length: int) -> Pair:
    if isinstance(start, At):
        raise NoGraphError("a computed number selects a part")
    axis = dim % len(t.shape(x))
    first = start % t.shape(x)[axis] if start < 0 else start
    return part(t, x, axis, slice(first, first + length))


def _pieces(t: Steps, x: At, axis: int, sizes: list[int]) -> list[Pair]:
    ends = np.cumsum(sizes).tolist()
    return [part(t, x, axis, slice(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def _split(t: Steps, x: At, size: Any, dim: int = 0) -> list[Pair]:
    axis = dim % len(t.shape(x))
    length = t.shape(x)[axis]
    sizes = [min(size, length - start) for start in range(0, length, size)] if isinstance(size, int) else list(size)
    return _pieces(t, x, axis, sizes or [0])


def _chunk(t: Steps, x: At, chunks: int, dim: int = 0) -> list[Pair]:
    return _split(t, x, max(1, -(-t.shape(x)[dim] // chunks)), dim)


def _tensor_split(t: Steps, x: At, given: Any, dim: int = 0) -> list[Pair]:
    axis = dim % len(t.shape(x))
    length = t.shape(x)[axis]
    if isinstance(given, int):
        return _pieces(t, x, axis, [length // given + (number < length % given) for number in range(given)])
    edges = [0, *(slice(0, one).indices(length)[1] for one in given), length]
    return [part(t, x, axis, slice(first, max(first, last))) for first, last in itertools.pairwise(edges)]


def _unbind(t: Steps, x: At, dim: int = 0) -> list[Pair]:
    axis = dim % len(t.shape(x))
    return [part(t, x, axis, number) for number in range(t.shape(x)[axis])]


def _expanded(t: Steps, x: At, *given: Any, **options: Any) -> Pair:
    shape = tuple(t.out.shape)

    def written(base: At, part: At) -> At:
        if t.shape(base) == shape:
            return part
        raise NoGraphError("numbers are written to an expanded view")

    return lambda base: t.expand(base, shape), written


def _detached(t: Steps, x: At) -> Pair:
    if not t.is_real_step(x):
        return _all(t, x)
    return lambda base: t.add("stop", base), lambda base, part: part


def _diagonal(t: Steps, x: At, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Pair:
    shape = t.shape(x)
    one, other = t.axes(x, [dim1, dim2])
    order = (*(axis for axis in range(len(shape)) if axis not in {one, other}), one, other)
    back = tuple(int(axis) for axis in np.argsort(order))
    lead, (rows, columns) = [shape[axis] for axis in order[:-2]], (shape[one], shape[other])
    first, length = (-offset * columns if offset < 0 else offset), t.out.shape[-1]
    key = (*[slice(None)] * len(lead), slice(first, first + (length - 1) * (columns + 1) + 1 if length else first, columns + 1))

    def flat(base: At) -> At:
        return t.reshape(t.transpose(base, order), (*lead, rows * columns))

    def written(base: At, part: At) -> At:
        changed = t.add("replace_at", flat(base), part, key=key)
        return t.transpose(t.reshape(changed, (*lead, rows, columns)), back)

    return lambda base: t.add("index", flat(base), key=key), written


VIEWS: Mapping[str, ViewRule] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "ravel", "view_as", "reshape_as"), _reshaped),
    **dict.fromkeys(("contiguous", "alias", "positive", "real", "_reshape_alias"), _all),
    **dict.fromkeys(("expand", "expand_as"), _expanded),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("t", "numpy_T", "mT", "matrix_H", "adjoint"), _reversed),
    "mT": lambda t, x: _transpose(t, x, -2, -1),
    "adjoint": lambda t, x: _transpose(t, x, -2, -1),
    "permute": _permute,
    "movedim": _moved,
    "moveaxis": _moved,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), _split),
    "chunk": _chunk,
    "unsafe_chunk": _chunk,
    "tensor_split": _tensor_split,
    "unbind": _unbind,
    "detach": _detached,
    "diagonal": _diagonal,
}
"""The rules by the names of PyTorch's operations."""
