"""Digits that are lost: computed in a lower precision inside, float32 within float64 or float16 within either, or cut off at a fixed place.

That an error is of the size of the lower precision's roundings proves nothing: a factor of 1 + 1e-9 is of that size, too. What proves it is that the
grid of the numbers that are left shows: in the results, in the inputs as they are used, or in a result that stays as it is while its inputs move less
than the grid's width. A grid of decimals, of powers of two or of whole numbers is that of no lower precision: there, digits were cut off.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.causes.candidate import Candidate, recomputed, room
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound, Precision

NAME = "lower precision"

DIGITS = "digits cut off"

LOWER = {np.dtype(np.float64): (np.float32, np.float16), np.dtype(np.float32): (np.float16,)}
"""The precisions below one."""

_WIDTHS = 64
"""By how many widths of the lower precision's grid inputs are moved, to see that the numbers move at all."""

_DECIMALS = 12
"""The finest decimal grid that is looked for: code that rounds to more decimals than these has other mistakes."""

_LEAST = 4
"""How many numbers have to lie on a grid of powers of two: by chance, every second number on one grid lies on the grid twice as wide."""

_COARSER = 2.0**6
"""How many times the distance of floating-point numbers, at the largest number, a grid of powers of two has to be wide to be no accident."""


def inputs_rounded(failure: Failure) -> Iterator[Candidate]:
    """Round what the layer is given to a lower precision: input, parameters and cotangent, one of them or several."""
    call, given = failure.call, {"the input": "x", "the parameters": "params", "the cotangent": "grad_output"}
    for lower in LOWER.get(failure.precision.dtype, ()):
        with np.errstate(over="ignore"):
            rounded = call.astype(lower).astype(np.float64)
        changed = {words: part for words, part in given.items() if not all(map(np.array_equal, _arrays(call, part), _arrays(rounded, part)))}
        for count in range(1, len(changed) + 1 if rounded.finite() else 0):
            for chosen in itertools.combinations(changed, count):
                words = f"{' and '.join(chosen)} {'are' if count > 1 or 'the parameters' in chosen else 'is'} rounded to {np.dtype(lower)}"
                yield recomputed(failure, NAME, words, replace(call, **{changed[one]: getattr(rounded, changed[one]) for one in chosen}))


def lower_precision(failure: Failure) -> Iterator[Candidate]:
    """Compute in a lower precision."""
    if any(digits_cut_off(failure)):
        # Numbers that lie equally far apart belong to no lower precision, although they do not move with their inputs either.
        return
    for lower in LOWER.get(failure.precision.dtype, ()):
        dtype = np.dtype(lower)
        bound = _bound_in(dtype, failure)
        if not (np.abs(failure.found - failure.expected) <= failure.precision.tolerance(bound)).all():
            continue
        on_grid = held(failure, dtype)
        if on_grid or _frozen(failure, dtype):
            frozen = f"it does not change when its inputs move by less than {dtype} can show"
            grid = f"each of its numbers is one that {dtype} can hold" if on_grid else frozen
            yield Candidate(NAME, f"computed in {dtype}: {grid}", failure.expected, bound, shown=True)
            return


def _bound_in(lower: np.dtype[Any], failure: Failure) -> Bound:
    """Return the bound of the right result, were it computed in a lower precision and stored in it."""
    low = Precision(lower, failure.precision.elements, failure.precision.false_alarms)
    # Two more roundings: what rounds nothing is rounded all the same where it is read and where it is stored.
    return room(failure, low.tolerance(Bound(failure.bound.abs_sum, failure.bound.n_roundings + np.float64(2))))


def _arrays(call: Call, part: str) -> list[Any]:
    """Return what a call gives as its input, its parameters or its cotangent, which may be None."""
    given = getattr(call, part)
    return list(given.values()) if isinstance(given, Mapping) else [given]


def _frozen(failure: Failure, lower: np.dtype[Any]) -> bool:
    """Return whether the grid of a lower precision shows: numbers that stay as they are while input or cotangent moves by less than its width.

    Numbers that stay when it moves by many widths as well are cut off, and show nothing.
    """
    dtype, call = failure.precision.dtype, failure.call
    width = float(np.finfo(lower).eps)
    # Between the units of both precisions: far more than the one rounds to, far less than the other one can show.
    less, more = 1 + math.sqrt(width * float(np.finfo(dtype).eps)), 1 + _WIDTHS * width
    moves: list[Callable[[float], Call]] = [lambda factor: replace(call, x=call.x * factor).astype(dtype)]
    if (grad_output := call.grad_output) is not None and failure.quantity != "output":
        moves.append(lambda factor: replace(call, grad_output=grad_output * factor).astype(dtype))
    return any(_stays(failure, move(less)) and not _stays(failure, move(more)) for move in moves)


def _stays(failure: Failure, moved: Call) -> bool:
    """Return whether most numbers that would have to move by more than rounding explains stay as they are, bit for bit."""
    right = failure.oracle.vjp(moved.astype(np.float64)).get(failure.quantity)
    try:
        before, after = (failure.subject.vjp(one).get(failure.quantity) for one in (failure.call.astype(moved.x.dtype), moved))
    except SubjectError:
        return False
    if right is None or before is None or after is None or not before.shape == after.shape == right.shape:
        return False
    moves = np.abs(right - failure.expected) > failure.precision.tolerance(failure.bound)
    kept = (before == after) & moves
    return bool(2 * np.count_nonzero(kept) > np.count_nonzero(moves) > 0)


def digits_cut_off(failure: Failure) -> Iterator[Candidate]:
    """Keep only the digits in front of a fixed place."""
    found = failure.found.astype(np.float64)
    if not found.any() or not np.isfinite(found).all() or _whole(failure.expected):
        return
    if _whole(found):
        # Where each term of a sum is cut off, not the sum, as many ones are lost as there are terms.
        yield _within(failure, 1.0 + failure.bound.n_roundings, "every number is a whole number: the array holds integers, or something is made one")
        return
    binary = _binary_step(found)
    for decimals in range(1, _DECIMALS + 1):
        step = 10.0**-decimals
        if np.array_equal(np.round(found, decimals), found) and binary < step:
            yield _within(failure, step, f"every number is rounded to {decimals} decimals")
            return
    if any(held(failure, np.dtype(lower)) for lower in LOWER.get(failure.precision.dtype, ())):
        return
    if np.count_nonzero(found) >= _LEAST and binary >= _COARSER * float(np.spacing(np.abs(found).max())):
        words = f"every number is a multiple of {binary:.3g}: a large number was added and taken off again"
        yield _within(failure, 2 * binary, words)


def held(failure: Failure, lower: np.dtype[Any]) -> bool:
    """Return whether a lower precision holds each of the numbers that were found, some of them no zeros."""
    with np.errstate(over="ignore"):
        return bool(failure.found.any()) and np.array_equal(failure.found.astype(lower).astype(failure.found.dtype), failure.found)


def _whole(numbers: Array) -> bool:
    return np.array_equal(np.rint(numbers), numbers)


def _binary_step(numbers: Array) -> float:
    """Return the largest power of two of which all numbers are multiples."""
    mantissas, exponents = np.frexp(numbers[numbers != 0])
    digits = np.abs(mantissas * 2.0**53).astype(np.int64)
    trailing = np.log2((digits & -digits).astype(np.float64))
    return float(np.exp2((exponents - 53 + trailing).min()))


def _within(failure: Failure, lost: float | Array, words: str) -> Candidate:
    """Return the right numbers with room for what is cut off."""
    return Candidate(DIGITS, words, failure.expected, room(failure, lost + failure.precision.tolerance(failure.bound)), shown=True)
