"""Correct numbers in the wrong places: axes exchanged, channels permuted, flattened in another order, shifted, or partly lost."""

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
"""Slices are matched only along axes up to this length."""

_MOST_AXES = 5
"""All orders of the axes are tried only for arrays with up to this many axes."""

OVERWRITTEN = "each part overwrites the one before instead of being added to it"

_COMPARED = 16
"""Two slices count as equal if about this many of their numbers agree."""


def flatten_order(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the input is flattened in another order of its axes, such as channels-last, or a weight's columns are in such an order."""
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
            words = f"the columns are in {other} groups of {one} instead of {one} groups of {other}: flattened in another order"
            yield moved(failure, name, words, partial(_regrouped, groups=one))
    for parameter, weight in weights(failure.call):
        if weight.ndim == 2 and failure.quantity == "output" and not parameter.endswith("kernel"):
            for one, other in _factors(weight.shape[1]):
                words = f"the columns of the {parameter} are for {other} groups of {one} inputs, not {one} of {other}: flattened in another order"
                yield recomputed(failure, name, words, with_param(failure.call, parameter, _regrouped(weight, one)))


def _only_reshaped(array: Array, other: Array) -> bool:
    return array.size == other.size and np.array_equal(array.ravel(), other.ravel())


def _factors(size: int) -> Iterator[tuple[int, int]]:
    yield from ((one, size // one) for one in range(2, size // 2 + 1) if size % one == 0)


def _regrouped(array: Array, groups: int) -> Array:
    rows, columns = array.shape
    return array.reshape(rows, groups, columns // groups).swapaxes(1, 2).reshape(rows, columns)


def axes_exchanged(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: axes of the result are exchanged, or the result is reshaped although it must be transposed."""
    shape = failure.expected.shape
    if not 2 <= len(shape) <= 4:
        return
    for order in itertools.permutations(range(len(shape))):
        if list(order) == sorted(order):
            continue
        if [shape[axis] for axis in order] != list(shape):
            words = f"reshaped instead of transposed: in memory the numbers are in the axis order {order}"
        elif order == (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2):
            words = "rows and columns are exchanged"
        else:
            words = f"the axes are in the order {order}"
        yield moved(failure, "transposed", words, partial(_rearranged, order=order))


def _rearranged(array: Array, order: tuple[int, ...]) -> Array:
    return array.transpose(order).reshape(array.shape)


def channels_permuted(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the slices along one axis are in another order, which is found by matching the slices one to one."""
    found = failure.found.astype(np.float64)
    tolerance = np.broadcast_to(failure.precision.tolerance(failure.bound), found.shape)
    for axis, length in enumerate(found.shape):
        if not 1 < length <= _LONGEST:
            continue
        order = _matched(*(_slices(array, axis) for array in (found, failure.expected, tolerance)))
        if order is not None:
            # The order is fitted to the numbers found; a fault model that predicts the order says more.
            yield from _in_order(failure, order, axis)


def _in_order(failure: Failure, order: list[int], axis: int) -> Iterator[Candidate]:
    candidate = moved(failure, *_reordered(order, axis, failure.found.ndim), partial(np.take, indices=order, axis=axis))
    yield replace(candidate, fitted=True, again=partial(_in_order, order=order, axis=axis))


def _slices(array: Array, axis: int) -> Array:
    """Return a few numbers from each slice along an axis, one row for each slice."""
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    return rows[:, :: max(1, rows.shape[1] // _COMPARED)]


def _matched(found: Array, expected: Array, tolerance: Array) -> list[int] | None:
    """For each slice found, return the index of an equal expected slice, its own index if possible; None if slices do not match one to one."""
    equal = np.asarray((np.abs(found[:, None] - expected) <= tolerance).all(axis=-1))
    order: list[int] = []
    for place, row in enumerate(equal):
        free = [int(other) for other in np.flatnonzero(row) if other not in order]
        if not free:
            return None
        order.append(place if place in free else free[0])
    return order


def _reordered(order: list[int], axis: int, ndim: int) -> tuple[str, str]:
    """Return the name and the message of the fault that puts slices into the given order."""
    step = order[0]
    across = ndim == 4 and axis >= 2
    what = "samples" if axis == 0 and ndim != 1 else "elements" if ndim == 1 else ("rows", "columns")[axis - 2] if across else "channels"
    if across and order == [(place + step) % len(order) for place in range(len(order))]:
        return "shifted", f"the {what} are rotated by {step}: those that leave on one side enter on the other"
    if across and order == list(range(len(order)))[::-1]:
        return "mirrored", f"the {what} are in reverse order"
    shown = ", ".join(map(str, order[:12])) + (", ..." if len(order) > 12 else "")
    return "channels permuted", f"the {what} (axis {axis}) are in the order {shown}"


def border_lost(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a loop ends one row or column too early, or starts one too late."""
    grad_output = failure.call.grad_output
    for axis, what in ((-2, "row"), (-1, "column")):
        for place, which in ((-1, "last"), (0, "first")):
            words = f"the {which} {what} is left out"
            lost = partial(_without, axis=axis, place=place)
            if failure.expected.ndim == 4:
                yield moved(failure, "border lost", words, lost)
            if grad_output is not None and grad_output.ndim == 4 and failure.quantity != "output":
                yield recomputed(failure, "border lost", f"{words} of the upstream gradient", failure.call.with_grad_output(lost(grad_output)))


def shifted(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: all pixels are shifted by one, as if the padding were wrong by one."""
    if failure.expected.ndim != 4:
        return
    for axis, step, where in ((-2, 1, "down by one row"), (-2, -1, "up by one row"), (-1, 1, "right by one column"), (-1, -1, "left by one column")):
        yield moved(failure, "shifted", f"everything is shifted {where}", partial(_shift, axis=axis, step=step))


def one_sample_only(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: only one sample of a batch contributes to a sum over the batch, or only one sample of the result is computed."""
    call, name = failure.call, "one sample only"
    if not call.x.ndim or len(call.x) < 2:
        return
    for place, which in ((slice(-1, None), "last"), (slice(0, 1), "first")):
        if failure.quantity.endswith(".grad") and call.grad_output is not None and call.grad_output.ndim:
            one = call.with_x(call.x[place]).with_grad_output(call.grad_output[place])
            candidate = recomputed(failure, name, f"only the batch's {which} sample contributes: {OVERWRITTEN}", one)
            yield replace(candidate, call=None)
        elif failure.quantity in ("output", "grad_input") and len(failure.expected.shape) and len(failure.expected) == len(call.x):
            yield moved(failure, name, f"only the batch's {which} sample is computed; the others are 0", partial(_only, place=place))


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
