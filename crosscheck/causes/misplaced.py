"""The right numbers in the wrong places: axes exchanged, channels permuted, flattened in another order, shifted, or some of them lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from crosscheck.causes.candidate import Candidate, moved, recomputed
from crosscheck.causes.parameters import weights, with_param
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array

_LONGEST = 256
"""The longest axis whose slices are matched up."""

_MOST_AXES = 5
"""The most axes of which all orders are tried."""

_COMPARED = 16
"""How many numbers of two slices are compared to see if they may be the same."""


def flatten_order(failure: Failure) -> Iterator[Candidate]:
    """Flatten channels-last where channels-first is due, or the other way round; seen in a matrix, the columns stand in that order."""
    x, cotangent, name, expected = failure.call.x, failure.call.grad_output, "flatten order", failure.expected
    orders = [(0, *order) for order in itertools.permutations(range(1, x.ndim)) if 2 < x.ndim <= _MOST_AXES and list(order) != sorted(order)]
    for order in orders if failure.quantity == "output" and _only_reshaped(x, expected) else ():
        yield Candidate(name, f"the axes are flattened in the order {order[1:]}", x.transpose(order).reshape(expected.shape))
    for order in orders if failure.quantity == "grad_input" and cotangent is not None and _only_reshaped(cotangent, expected) else ():
        assert cotangent is not None
        unflattened = cotangent.reshape([x.shape[axis] for axis in order]).transpose(np.argsort(order))
        yield Candidate(name, f"the axes are unflattened in the order {order[1:]}", unflattened)
    if expected.ndim == 2 and failure.quantity != "output":
        for one, other in _factors(expected.shape[1]):
            words = f"the columns stand as {other} groups of {one}, where {one} groups of {other} are due: another order of flattening"
            yield moved(failure, name, words, partial(_regrouped, groups=one))
    for parameter, weight in weights(failure.call):
        if weight.ndim == 2 and failure.quantity == "output" and not parameter.endswith("kernel"):
            for one, other in _factors(weight.shape[1]):
                words = (
                    f"the columns of the {parameter} meet {other} groups of {one} inputs, where {one} groups of {other} are due: another flattening"
                )
                yield recomputed(failure, name, words, with_param(failure.call, parameter, _regrouped(weight, one)))


def _only_reshaped(array: Array, other: Array) -> bool:
    return array.size == other.size and np.array_equal(array.ravel(), other.ravel())


def _factors(size: int) -> Iterator[tuple[int, int]]:
    yield from ((one, size // one) for one in range(2, size // 2 + 1) if size % one == 0)


def _regrouped(array: Array, groups: int) -> Array:
    rows, columns = array.shape
    return array.reshape(rows, groups, columns // groups).swapaxes(1, 2).reshape(rows, columns)


def axes_exchanged(failure: Failure) -> Iterator[Candidate]:
    """Exchange axes, in a result of which the shape allows it, or reshape where a transpose is due."""
    shape = failure.expected.shape
    if not 2 <= len(shape) <= 4:
        return
    for order in itertools.permutations(range(len(shape))):
        if list(order) == sorted(order):
            continue
        if [shape[axis] for axis in order] != list(shape):
            words = f"the numbers lie in memory as with the axes in the order {order}: reshaped where it has to be transposed"
        elif order == (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2):
            words = "rows and columns are exchanged"
        else:
            words = f"the axes stand in the order {order}"
        yield moved(failure, "transposed", words, partial(_rearranged, order=order))


def _rearranged(array: Array, order: tuple[int, ...]) -> Array:
    return array.transpose(order).reshape(array.shape)


def channels_permuted(failure: Failure) -> Iterator[Candidate]:
    """Put the slices along one axis into another order, whatever it is: found by matching them up one to one."""
    found = failure.found.astype(np.float64)
    tolerance = np.broadcast_to(failure.precision.tolerance(failure.bound), found.shape)
    for axis, length in enumerate(found.shape):
        if not 1 < length <= _LONGEST:
            continue
        order = _matched(*(_slices(array, axis) for array in (found, failure.expected, tolerance)))
        if order is not None:
            # The order is fitted, as a number may be: a fault model that predicts it says more.
            candidate = moved(failure, *_reordered(order, axis, found.ndim), partial(np.take, indices=order, axis=axis))
            yield replace(candidate, fitted=True)


def _slices(array: Array, axis: int) -> Array:
    """Return a few numbers of each slice along an axis, in rows."""
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    return rows[:, :: max(1, rows.shape[1] // _COMPARED)]


def _matched(found: Array, expected: Array, tolerance: Array) -> list[int] | None:
    """Return which expected slice stands at each place, if they can be matched up one to one; the same one where that is possible."""
    equal = np.asarray((np.abs(found[:, None] - expected) <= tolerance).all(axis=-1))
    order: list[int] = []
    for place, row in enumerate(equal):
        free = [int(other) for other in np.flatnonzero(row) if other not in order]
        if not free:
            return None
        order.append(place if place in free else free[0])
    return order


def _reordered(order: list[int], axis: int, ndim: int) -> tuple[str, str]:
    """Return name and words of an order."""
    step = order[0]
    across = ndim == 4 and axis >= 2
    what = "samples" if axis == 0 and ndim != 1 else "elements" if ndim == 1 else ("rows", "columns")[axis - 2] if across else "channels"
    if across and order == [(place + step) % len(order) for place in range(len(order))]:
        return "shifted", f"the {what} are rotated by {step}: what leaves on one side comes in on the other"
    if across and order == list(range(len(order)))[::-1]:
        return "mirrored", f"the {what} stand in reverse order"
    shown = ", ".join(map(str, order[:12])) + (", ..." if len(order) > 12 else "")
    return "channels permuted", f"the {what} (axis {axis}) stand in the order {shown}"


def border_lost(failure: Failure) -> Iterator[Candidate]:
    """End a loop one row or one column too early, or begin it one too late."""
    grad_output = failure.call.grad_output
    for axis, what in ((-2, "row"), (-1, "column")):
        for place, which in ((-1, "last"), (0, "first")):
            words = f"the {which} {what} is left out"
            lost = partial(_without, axis=axis, place=place)
            if failure.expected.ndim == 4:
                yield moved(failure, "border lost", words, lost)
            if grad_output is not None and grad_output.ndim == 4 and failure.quantity != "output":
                yield recomputed(failure, "border lost", f"{words} of the cotangent", replace(failure.call, grad_output=lost(grad_output)))


def shifted(failure: Failure) -> Iterator[Candidate]:
    """Everything lies one pixel off, as with a padding that is wrong by one."""
    if failure.expected.ndim != 4:
        return
    for axis, what in ((-2, "row"), (-1, "column")):
        for step, where in ((1, "later"), (-1, "earlier")):
            yield moved(failure, "shifted", f"everything lies one {what} {where}", partial(_shift, axis=axis, step=step))


def one_sample_only(failure: Failure) -> Iterator[Candidate]:
    """Keep one sample alone of a batch, of a sum over it or of the result itself."""
    call, name = failure.call, "one sample only"
    if not call.x.ndim or len(call.x) < 2:
        return
    for place, which in ((slice(-1, None), "last"), (slice(0, 1), "first")):
        if failure.quantity.endswith(".grad") and call.grad_output is not None and call.grad_output.ndim:
            one = replace(call, x=call.x[place], grad_output=call.grad_output[place])
            candidate = recomputed(failure, name, f"only the batch's {which} sample contributes: overwritten where it should be added up", one)
            yield replace(candidate, call=None)
        elif failure.quantity in ("output", "grad_input") and len(failure.expected.shape) and len(failure.expected) == len(call.x):
            yield moved(failure, name, f"only the batch's {which} sample is computed, the others are 0", partial(_only, place=place))


def _without(array: Array, axis: int, place: int) -> Array:
    result = array.copy()
    np.moveaxis(result, axis, 0)[place] = 0
    return result


def _only(array: Array, place: slice) -> Array:
    result = np.zeros_like(array)
    result[place] = array[place]
    return result


def _shift(array: Array, axis: int, step: int) -> Array:
    return _without(np.roll(array, step, axis), axis, 0 if step > 0 else -1)
