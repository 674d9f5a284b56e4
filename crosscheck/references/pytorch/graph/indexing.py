"""Taking numbers of a tensor by their indices, and putting numbers at indices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import CONSTANT, At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def take_at(t: Steps, x: At, ids: At, axis: int) -> At:
    """Add the parts of ``x`` with these indices along an axis; the axes of the indices take its place."""
    n, k = len(t.shape(x)), len(t.shape(ids))
    taken = t.add("take", t.moved(x, axis, 0), ids)
    return t.transpose(taken, (*range(k, k + axis), *range(k), *range(k + axis, k + n - 1)))


def _gather(t: Steps, x: At, dim: int, ids: At, **options: Any) -> At:
    if not t.shape(x):
        return x
    axis = dim % len(t.shape(x))
    key = tuple(slice(None) if k == axis else slice(0, size) for k, size in enumerate(t.shape(ids)))
    if any(k != axis and size != t.shape(x)[k] for k, size in enumerate(t.shape(ids))):
        x = t.add("index", x, key=key)
    return t.add("take_along", x, ids, axis=axis)


def _index_select(t: Steps, x: At, dim: int, ids: At) -> At:
    return take_at(t, x, ids, dim % len(t.shape(x)))


def _embedding(t: Steps, table: At, ids: At, padding: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> At:
    if scale_grad_by_freq:
        raise NoGraphError("an embedding whose gradient is divided by the frequency of each id")
    rows = t.add("take", table, ids)
    if padding < 0:
        return rows
    # The row for padding gets no gradient.
    real = t.reshape(t.add("not_equal", ids, padding), (*t.shape(ids), 1))
    return t.add("where", real, rows, t.add("stop", rows))


def _index(t: Steps, x: At, indices: Sequence[At | None]) -> At:
    given = [(axis, ids) for axis, ids in enumerate(indices) if ids is not None]
    if any(t.graph.values[ids].dtype.kind == "b" for _, ids in given):
        given = [pair for axis, ids in _without_conditions(t, indices) for pair in [(axis, ids)]]
    axes = [axis for axis, _ in given]
    shape = np.broadcast_shapes(*(t.shape(ids) for _, ids in given))
    if len(given) == 1:
        return take_at(t, x, given[0][1], axes[0])
    if _counts_rows(t, given, t.shape(x), shape):
        return t.reshape(t.add("take_along", x, t.reshape(given[1][1], (*shape, 1)), axis=1), shape)
    flat = _flat_ids(t, given, t.shape(x), shape)
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    rest = [axis for axis in range(len(t.shape(x))) if axis not in axes]
    front = t.transpose(x, (*axes, *rest))
    table = t.reshape(front, (math.prod(t.shape(x)[axis] for axis in axes), *(t.shape(x)[axis] for axis in rest)))
    taken = t.add("take", table, flat)
    if not adjacent:
        return taken
    k, before = len(shape), axes[0]
    return t.transpose(taken, (*range(k, k + before), *range(k), *range(k + before, k + len(rest))))


def _without_conditions(t: Steps, indices: Sequence[At | None]) -> list[tuple[int, At]]:
    """Return indices in which each condition is replaced by the places where it holds, which only a constant condition has."""
    found: list[tuple[int, At]] = []
    axis = 0
    for ids in indices:
        if ids is None:
            axis += 1
            continue
        value = t.graph.values[ids]
        if value.dtype.kind != "b":
            found.append((axis, ids))
            axis += 1
            continue
        if t.graph.steps[ids].operation != CONSTANT:
            raise NoGraphError("how many numbers are taken depends on a computed condition")
        for places in np.nonzero(value):
            found.append((axis, t.constant(places)))
            axis += 1
    return found


def _counts_rows(t: Steps, given: Sequence[tuple[int, At]], whole: Sequence[int], shape: Sequence[int]) -> bool:
    """Return whether one number of each row of a matrix is taken: x[arange, ids]."""
    (first, rows), (second, _), *others = given
    value = t.graph.values[rows]
    constant = t.graph.steps[rows].operation == CONSTANT
    return (
        not others and (first, second, len(whole)) == (0, 1, 2) and constant and value.shape == shape and np.array_equal(value, np.arange(whole[0]))
    )


def _flat_ids(t: Steps, given: Sequence[tuple[int, At]], whole: Sequence[int], shape: Sequence[int]) -> At:
    """Return one index for several axes: the place in these axes as one."""
    if all(t.graph.steps[ids].operation == CONSTANT for _, ids in given):
        values = [np.broadcast_to(t.graph.values[ids] % whole[axis], shape) for axis, ids in given]
        return t.constant(np.ravel_multi_index(tuple(values), [whole[axis] for axis, _ in given]))
    flat: At | None = None
    for axis, ids in given:
        positive = t.add("remainder", ids, whole[axis]) if (t.graph.values[ids] < 0).any() else ids
        flat = positive if flat is None else t.add("add", t.add("multiply", flat, whole[axis]), positive)
    assert flat is not None
    return t.expand(flat, tuple(shape))


def _index_put(t: Steps, x: At, indices: Sequence[At | None], values: At, accumulate: bool = False, unsafe: bool = False) -> At:
    if len(indices) == 1 and indices[0] is not None and t.graph.values[indices[0]].dtype.kind == "b" and not t.shape(values) and not accumulate:
        mask = indices[0]
        mask = t.reshape(mask, (*t.shape(mask), *[1] * (len(t.shape(x)) - len(t.shape(mask)))))
        return t.add("where", mask, t.number(values, whole=not t.is_real), x)
    given = _without_conditions(t, indices)
    first = given[0][0]
    if [axis for axis, _ in given] != list(range(first, first + len(given))):
        raise NoGraphError("numbers are put at indices of axes that are apart")
    if first:
        return _put_after(t, x, first, [ids for _, ids in given], values, accumulate)
    axes = [axis for axis, _ in given]
    shape = np.broadcast_shapes(*(t.shape(ids) for _, ids in given))
    ids = given[0][1] if len(given) == 1 else _flat_ids(t, given, t.shape(x), shape)
    rest = t.shape(x)[len(axes) :]
    rows = math.prod(t.shape(x)[: len(axes)])
    parts = t.expand(values, (*shape, *rest))
    table = t.reshape(x, (rows, *rest))
    added = t.add("add_rows", parts, ids, rows=rows)
    if not accumulate:
        _expect_different(t, ids)
        table = t.add("where", _is_hit(t, ids, rows, rest), added, table)
        return t.reshape(table, t.shape(x))
    return t.reshape(t.add("add", table, added), t.shape(x))


def _put_after(t: Steps, x: At, first: int, ids: Sequence[At], values: At, accumulate: bool) -> At:
    """Put numbers at indices of other axes than the first ones, by bringing these axes to the front."""
    n, k = len(t.shape(x)), len(np.broadcast_shapes(*(t.shape(one) for one in ids)))
    front = (*range(first, first + len(ids)), *range(first), *range(first + len(ids), n))
    wide = t.reshape(values, (*[1] * (n - len(ids) + k - len(t.shape(values))), *t.shape(values)))
    parts = t.transpose(wide, (*range(first, first + k), *range(first), *range(first + k, n - len(ids) + k)))
    changed = _index_put(t, t.transpose(x, front), ids, parts, accumulate)
    return t.transpose(changed, tuple(int(axis) for axis in np.argsort(front)))


def _index_fill(t: Steps, x: At, dim: int, ids: At, value: Any) -> At:
    axis = dim % len(t.shape(x))
    hit = _is_hit(t, ids, t.shape(x)[axis], t.shape(x)[axis + 1 :])
    return t.add("where", hit, t.number(value), x)


def _index_copy(t: Steps, x: At, dim: int, ids: At, source: At) -> At:
    return _index_put(t, x, [*[None] * (dim % len(t.shape(x))), ids], source)


def _scatter_reduce(t: Steps, x: At, dim: int, ids: At, source: At, reduce: str, *, include_self: bool = True) -> At:
    if reduce != "sum" or not include_self:
        raise NoGraphError("scatter with a reduction")
    return _scatter_add(t, x, dim, ids, source)


def _is_hit(t: Steps, ids: At, rows: int, rest: Sequence[int]) -> At:
    ones = t.constant(np.ones(t.shape(ids)))
    return t.reshape(t.add("as_condition", t.add("add_rows", ones, ids, rows=rows)), (rows, *[1] * len(rest)))


def _expect_different(t: Steps, ids: At) -> None:
    value = t.graph.values[ids]
    if np.unique(value).size < value.size:
        raise NoGraphError("several numbers are put at the same index")


def _index_add(t: Steps, x: At, dim: int, ids: At, source: At, *, alpha: Any = 1) -> At:
    axis = dim % len(t.shape(x))
    added = t.add("add_rows", t.moved(source, axis, 0), ids, rows=t.shape(x)[axis])
    added = added if alpha == 1 else t.add("multiply", t.number(alpha), added)
    return t.add("add", x, t.moved(added, 0, axis))


def _added_along(t: Steps, x: At, dim: int, ids: At, source: At) -> tuple[At, int]:
    axis = dim % len(t.shape(x))
    if t.shape(source) != t.shape(ids):
        source = t.add("index", source, key=tuple(slice(0, size) for size in t.shape(ids)))
    added = t.add("add_along", source, ids, axis=axis, length=t.shape(x)[axis])
    if t.shape(added) != t.shape(x):
        added = t.add("pad", added, widths=tuple((0, want - have) for have, want in zip(t.shape(added), t.shape(x), strict=True)))
    return added, axis


def _scatter(t: Steps, x: At, dim: int, ids: At, source: Any, *, reduce: str | None = None) -> At:
    if reduce is not None:
        raise NoGraphError("scatter with a reduction")
    if not isinstance(source, At):
        source = t.constant(np.full(t.shape(ids), source, t.graph.values[x].dtype))
    hit, axis = _added_along(t, x, dim, ids, t.constant(np.ones(t.shape(ids))))
    if t.graph.values[hit].max(initial=0) > 1:
        if t.graph.steps[source].operation != CONSTANT or np.unique(t.graph.values[source]).size > 1:
            raise NoGraphError("several numbers are put at the same index")
        return t.add("where", t.add("as_condition", hit), t.graph.values[source].flat[0].item(), x)
    added, _ = _added_along(t, x, axis, ids, source)
    return t.add("where", t.add("as_condition", hit), added, x)


def _scatter_add(t: Steps, x: At, dim: int, ids: At, source: At) -> At:
    return t.add("add", x, _added_along(t, x, dim, ids, source)[0])


def _one_hot(t: Steps, ids: At, classes: int = -1) -> At:
    return t.add("one_hot", ids, classes=t.out.shape[-1], role="one-hot labels")


def _bags(  # noqa: PLR0913, PLR0917 - PyTorch's own signature
    t: Steps,
    table: At,
    ids: At,
    offsets: At,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    weights: At | None = None,
    include_last_offset: bool = False,
    padding: int | None = None,
) -> tuple[At, None, None, None]:
    """Add the sum, the mean or the largest numbers of the rows of each bag of ids."""
    if t.graph.steps[offsets].operation != CONSTANT or scale_grad_by_freq or padding is not None:
        raise NoGraphError("bags of computed sizes, with padding, or with a gradient divided by the frequency of each id")
    rows = t.add("take", table, ids)
    if weights is not None:
        rows = t.add("multiply", rows, t.reshape(weights, (*t.shape(weights), 1)))
    edges = [*t.graph.values[offsets].tolist(), *([] if include_last_offset else [t.shape(ids)[0]])]
    operation = ("sum", "mean", "amax")[mode]
    lengths = {end - start for start, end in pairwise(edges)}
    if len(lengths) == 1 and edges[0] == 0:
        bags = t.reshape(rows, (len(edges) - 1, lengths.pop(), t.shape(rows)[1]))
        return t.add(operation, bags, axes=(1,), keepdims=False), None, None, None
    if 0 in lengths:
        raise NoGraphError("an empty bag of ids")
    parts = [t.add("index", rows, key=(slice(start, end),)) for start, end in pairwise(edges)]
    return t.add("stack", *(t.add(operation, part, axes=(0,), keepdims=False) for part in parts), axis=0), None, None, None


RULES: Mapping[str, Rule] = {
    "gather": _gather,
    "index_select": _index_select,
    "embedding": _embedding,
    **dict.fromkeys(("index", "_unsafe_index"), _index),
    "index_put": _index_put,
    "index_add": _index_add,
    "index_fill": _index_fill,
    "index_copy": _index_copy,
    "scatter_reduce": _scatter_reduce,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "one_hot": _one_hot,
    "embedding_bag": _bags,
}
"""The rules by the names of PyTorch's operations."""
