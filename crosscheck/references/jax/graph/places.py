"""Numbers taken from, written to or added to places that indices name.

JAX has one primitive to take numbers and one to put them. They are written as rows of a table or as one number along an axis where they are that, and
otherwise as places in the array of all numbers in a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import lax

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.shapes import part, replaced
from crosscheck.references.jax.graph.steps import Operand, Wide, uniform
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]


def _of_known(shape: Sequence[int], ids: Any, numbers: Any, sizes: Sequence[int], mode: Any) -> Any:
    """Return the place of each taken number in the array of all numbers; -1 where nothing is taken."""
    places = np.arange(math.prod(shape)).reshape(shape)
    return np.asarray(lax.gather(places, np.asarray(ids), numbers, sizes, mode=mode, fill_value=-1))


def _as_part(shape: Sequence[int], places: Any) -> list[slice] | None:
    """Return the slices that take these places in their order; None if no slices do."""
    if not places.size or (places < 0).any():
        return None
    own = np.unravel_index(places.ravel(), tuple(shape))
    key = []
    for length, along in zip(shape, own, strict=True):
        found = np.unique(along)
        steps = np.unique(np.diff(found))
        if len(steps) > 1:
            return None
        step = int(steps[0]) if len(steps) else 1
        key.append(part(length, int(found[0]), length if found[-1] + step >= length and step == 1 else int(found[-1]) + 1, step))
    everything = np.arange(math.prod(shape)).reshape(shape)[tuple(key)]
    return key if np.array_equal(everything.ravel(), places.ravel()) else None


def _gather(t: Translation, params: Params, x: Operand, ids: Operand) -> Operand:
    numbers, sizes, mode = params["dimension_numbers"], params["slice_sizes"], params["mode"]
    at = t.at(x)
    if not isinstance(ids, At | Wide):
        places = _of_known(t.shape(at), ids, numbers, sizes, mode)
        if (key := _as_part(t.shape(at), places)) is not None:
            return t.reshape(_index(t, at, key), t.out.shape)
    _in_range(t, t.shape(at), t.value(ids), numbers, sizes, mode)
    if (axis := _row_axis(t.shape(at), numbers, sizes)) is not None:
        return _rows(t, at, ids, axis, numbers)
    if (axis := _along(t.shape(at), t.shape(ids), numbers)) is not None:
        return t.add("take_along", at, t.reshape(t.at(ids), t.shape(ids)[:-1]), axis=axis)
    if (column := _one_of_each_row(t, t.shape(at), ids, numbers)) is not None:
        taken = t.add("take_along", at, t.reshape(column, (t.shape(at)[0], 1)), axis=1)
        return t.reshape(taken, t.out.shape)
    return t.add("take", t.reshape(at, (math.prod(t.shape(at)),)), _flat(t, t.shape(at), ids, numbers, sizes, mode))


def _index(t: Translation, at: At, key: Sequence[slice]) -> At:
    """Take a part of an array; where it has one number along an axis, the axis disappears."""
    taken = [one.start if one != slice(None) and one.stop - one.start == 1 else one for one in key]
    return t.index(at, taken)


def _in_range(t: Translation, shape: Sequence[int], ids: Any, numbers: Any, sizes: Sequence[int], mode: Any) -> None:
    """Refuse indices outside of the array, which JAX moves into it or leaves out."""
    if not ids.size:
        return
    for place, axis in enumerate(numbers.start_index_map):
        if (ids[..., place] < 0).any() or (ids[..., place] > shape[axis] - sizes[axis]).any():
            raise NoGraphError("an index is out of range")


def _row_axis(shape: Sequence[int], numbers: Any, sizes: Sequence[int]) -> int | None:
    """Return the axis along which whole rows are taken; None if other parts are."""
    if numbers.operand_batching_dims or len(numbers.start_index_map) != 1 or numbers.collapsed_slice_dims != numbers.start_index_map:
        return None
    axis = int(numbers.start_index_map[0])
    return axis if all(size == length for place, (size, length) in enumerate(zip(sizes, shape, strict=True)) if place != axis) else None


def _rows(t: Translation, at: At, ids: Operand, axis: int, numbers: Any) -> At:
    lead = t.shape(ids)[:-1]
    taken = t.add("take", t.moved(at, axis, 0), t.reshape(t.at(ids), lead))
    return t.transpose(taken, _order(len(t.shape(taken)), len(lead), numbers.offset_dims))


def _order(n: int, lead: int, offsets: Sequence[int]) -> list[int]:
    """Return the order of axes that puts those of a row where JAX wants them."""
    of_row, of_ids = iter(range(lead, n)), iter(range(lead))
    return [next(of_row) if axis in offsets else next(of_ids) for axis in range(n)]


def _along(shape: Sequence[int], ids: Sequence[int], numbers: Any) -> int | None:
    """Return the axis along which each index names one number, every other axis having its own indices; None if it is otherwise."""
    if len(numbers.start_index_map) != 1 or numbers.offset_dims or len(ids) != len(shape) + 1:
        return None
    axis = int(numbers.start_index_map[0])
    others = tuple(place for place in range(len(shape)) if place != axis)
    fits = tuple(numbers.operand_batching_dims) == others == tuple(numbers.start_indices_batching_dims)
    return axis if fits and tuple(numbers.collapsed_slice_dims) == (axis,) else None


def _one_of_each_row(t: Translation, shape: Sequence[int], ids: Operand, numbers: Any) -> At | None:
    """Return the indices of one number in each row of a matrix, ``x[arange, ids]``; None if other numbers are taken."""
    value = t.value(ids)
    if len(shape) != 2 or numbers.offset_dims or tuple(numbers.start_index_map) != (0, 1) or value.shape != (shape[0], 2):
        return None
    if numbers.operand_batching_dims or not np.array_equal(value[:, 0], np.arange(shape[0])):
        return None
    return _column(t, ids, 1)


def _column(t: Translation, ids: Operand, number: int) -> At:
    """Return the indices along one axis, of shape (places,)."""
    step = t.step(ids)
    if not isinstance(ids, At | Wide):
        return t.graph.constant(ids[..., number])
    if step.operation == "stack" and step.settings["axis"] == len(t.shape(ids)) - 1:
        return step.sources[number]
    if step.operation == "concatenate" and all(t.shape(one)[-1] == 1 for one in step.sources):
        return t.reshape(step.sources[number], t.shape(ids)[:-1])
    if t.shape(ids)[-1] == 1:
        return t.reshape(t.at(ids), t.shape(ids)[:-1])
    return t.index(t.at(ids), [*[slice(None)] * (len(t.shape(ids)) - 1), number])


def _flat(t: Translation, shape: Sequence[int], ids: Operand, numbers: Any, sizes: Sequence[int], mode: Any) -> At:
    """Return the place of each taken number in the array of all numbers: the first place of its part, and the way from there."""
    if not isinstance(ids, At | Wide):
        return t.graph.constant(_of_known(shape, ids, numbers, sizes, mode))
    away = [int(math.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    zeros = np.zeros(t.shape(ids), np.int64)
    # Where everything begins at index 0, the places are those of the first part, and of each entry of the axes with their own indices.
    result = t.graph.constant(_of_known(shape, zeros, numbers, sizes, mode))
    lead = [axis for axis in range(len(t.shape(result))) if axis not in numbers.offset_dims]
    for number, axis in enumerate(numbers.start_index_map):
        column = _column(t, ids, number)
        spread = [1] * len(t.shape(result))
        for place, size in zip(lead, t.shape(column), strict=True):
            spread[place] = size
        column = t.reshape(column, spread)
        result = t.add("add", result, column if away[axis] == 1 else t.add("multiply", column, away[axis]))
    return result


def _as_gather(numbers: Any, shape: Sequence[int], updates: Sequence[int]) -> tuple[Any, list[int]]:
    """Return how the places to which numbers are written would be read, and the sizes of the parts."""
    lost = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    of_part = iter(updates[axis] for axis in numbers.update_window_dims)
    sizes = [1 if axis in lost else next(of_part) for axis in range(len(shape))]
    found = lax.GatherDimensionNumbers(
        tuple(numbers.update_window_dims),
        tuple(numbers.inserted_window_dims),
        tuple(numbers.scatter_dims_to_operand_dims),
        tuple(numbers.operand_batching_dims),
        tuple(numbers.scatter_indices_batching_dims),
    )
    return found, sizes


def _scatter_add(t: Translation, params: Params, x: Operand, ids: Operand, updates: Operand) -> Operand:
    shape, new = t.shape(x), t.at(updates)
    numbers, sizes = _as_gather(params["dimension_numbers"], shape, t.shape(new))
    _in_range(t, shape, t.value(ids), numbers, sizes, params["mode"])
    if _row_axis(shape, numbers, sizes) == 0:
        lead = t.shape(ids)[:-1]
        order = _order(len(t.shape(new)), len(lead), numbers.offset_dims)
        spread = t.add("add_rows", t.transpose(new, [int(axis) for axis in np.argsort(order)]), t.reshape(t.at(ids), lead), rows=shape[0])
    else:
        spread = _all_added(t, shape, new, _flat(t, shape, ids, numbers, sizes, params["mode"]))
    return spread if not isinstance(x, At | Wide) and uniform(x) == 0 else t.add("add", t.at(x), spread)


def _all_added(t: Translation, shape: Sequence[int], new: At, places: At) -> At:
    """Add numbers at their places in the array of all numbers."""
    count = math.prod(t.shape(new))
    added = t.add("add_rows", t.reshape(new, (count,)), t.reshape(places, (count,)), rows=math.prod(shape))
    return t.reshape(added, shape)


def _scatter(t: Translation, params: Params, x: Operand, ids: Operand, updates: Operand) -> Operand:
    shape, new, mode = t.shape(x), t.at(updates), params["mode"]
    numbers, sizes = _as_gather(params["dimension_numbers"], shape, t.shape(new))
    _in_range(t, shape, t.value(ids), numbers, sizes, mode)
    known = not isinstance(ids, At | Wide)
    if known and (key := _as_part(shape, _of_known(shape, ids, numbers, sizes, mode))) is not None:
        place = np.zeros(shape)[tuple(key)].shape
        return replaced(t, x, t.reshape(new, place), key)
    places = _flat(t, shape, ids, numbers, sizes, mode)
    found, count = t.graph.values[places].ravel(), math.prod(shape)
    if len(np.unique(found)) < len(found):
        raise NoGraphError("several numbers are written to one place")
    if known:
        # Each place has its own number or one of the new ones, which stand after the own ones.
        chosen = np.arange(count)
        chosen[found] = count + np.arange(len(found))
        both = t.add("concatenate", t.reshape(t.at(x), (count,)), t.reshape(new, (len(found),)), axis=0)
        return t.reshape(t.add("take", both, t.graph.constant(chosen)), shape)
    written = t.add("greater", _all_added(t, shape, t.graph.constant(np.ones(t.shape(new))), places), 0.0)
    return t.add("where", written, _all_added(t, shape, new, places), t.argument(x))


def _combined(operation: str) -> Rule:
    """Return the rule of numbers that are combined with those at their places: they are taken, combined and put back."""

    def rule(t: Translation, params: Params, x: Operand, ids: Operand, updates: Operand) -> Operand:
        shape, new = t.shape(x), t.at(updates)
        numbers, sizes = _as_gather(params["dimension_numbers"], shape, t.shape(new))
        out, t.out = t.out, t.graph.values[new]
        taken = _gather(t, {"dimension_numbers": numbers, "slice_sizes": sizes, "mode": params["mode"]}, x, ids)
        t.out = out
        return _scatter(t, params, x, ids, t.add(operation, t.at(taken), new))

    return rule


RULES: Mapping[str, Rule] = {
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "scatter_mul": _combined("multiply"),
    "scatter_max": _combined("maximum"),
    "scatter_min": _combined("minimum"),
}
"""The rules by the names of JAX's primitives."""
