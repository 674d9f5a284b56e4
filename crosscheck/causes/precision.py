"""Lost digits: something is computed in a lower precision (float32 within float64, or float16 within either), or digits are cut off at a fixed place.

An error as large as a float32 rounding error does not prove a computation in float32: a factor of 1 + 1e-9 causes an error of this size, too. There
are three proofs: float32 holds every result exactly; the result agrees if the inputs are rounded to float32; the result does not change if the inputs
change by less than float32 resolves. If all results are whole numbers, decimals or multiples of a power of two, digits were cut off instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.causes.candidate import Candidate, bound_of_size, in_words, recomputed
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound, Precision

NAME = "lower precision"

DIGITS = "digits cut off"

LOWER = {np.dtype(np.float64): (np.float32, np.float16), np.dtype(np.float32): (np.float16,)}
"""For each precision, the lower precisions that are tested."""

_WIDTHS = 64
"""The inputs are changed by this many spacings of the lower precision's numbers, to see whether the results change at all."""

_DECIMALS = 12
"""Rounding to more decimals than this is not looked for: it is hardly a mistake in code."""

_LEAST = 4
"""At least this many numbers must be multiples of a power of two: by chance, half of all multiples of one power are multiples of the next."""

_COARSER = 2.0**6
"""The power of two must be this many times the floating-point spacing at the largest number, so that chance does not explain it."""


def inputs_rounded(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the input, the parameters or the upstream gradient, or several of these, are rounded to a lower precision."""
    call, given = failure.call, {"the input": "inputs", "the parameters": "params", "the upstream gradient": "cotangents"}
    for lower in LOWER.get(failure.precision.dtype, ()):
        with np.errstate(over="ignore"):
            rounded = call.astype(lower).astype(np.float64)
        changed = {words: part for words, part in given.items() if not all(map(np.array_equal, _arrays(call, part), _arrays(rounded, part)))}
        for count in range(1, len(changed) + 1 if rounded.finite() else 0):
            for chosen in itertools.combinations(changed, count):
                words = f"{' and '.join(chosen)} {'are' if count > 1 or 'the parameters' in chosen else 'is'} rounded to {np.dtype(lower)}"
                yield recomputed(failure, NAME, words, replace(call, **{changed[one]: getattr(rounded, changed[one]) for one in chosen}))


def lower_precision(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the result is computed in a lower precision."""
    if any(digits_cut_off(failure)):
        # If digits are cut off at a fixed place, the results do not follow small changes of the inputs either; this is not a lower precision.
        return
    for lower in LOWER.get(failure.precision.dtype, ()):
        dtype = np.dtype(lower)
        low = Precision(dtype, failure.precision.elements, failure.precision.false_alarms)
        # Two more roundings, one when a number is read and one when it is stored: even an exact operation has these.
        bound = bound_of_size(failure, low.tolerance(Bound(failure.bound.abs_sum, failure.bound.n_roundings + np.float64(2))))
        if not (np.abs(failure.found - failure.expected) <= failure.precision.tolerance(bound)).all():
            continue
        on_grid = held(failure, dtype)
        if on_grid or _frozen(failure, dtype):
            name = in_words(failure.quantity)
            why = f"{dtype} holds each of its numbers exactly" if on_grid else f"it stays the same if its inputs change by less than {dtype} resolves"
            yield Candidate(NAME, f"{name} is computed in {dtype}: {why}", failure.expected, bound, shown=True)
            return


def _arrays(call: Call, part: str) -> list[Any]:
    """Return the arrays of one part of a call: the input, the parameters, or the upstream gradient, which may be None."""
    given = getattr(call, part)
    return list(given.values()) if isinstance(given, Mapping) else [given]


def _frozen(failure: Failure, lower: np.dtype[Any]) -> bool:
    """Return whether results stay the same while the input or the upstream gradient changes by less than the spacing of a lower precision.

    Results that stay the same even for a change by many spacings are cut off. They prove nothing.
    """
    dtype, call = failure.precision.dtype, failure.call
    width = float(np.finfo(lower).eps)
    # A change between the unit roundoffs of the two precisions: the higher precision resolves it, the lower one does not.
    less, more = 1 + math.sqrt(width * float(np.finfo(dtype).eps)), 1 + _WIDTHS * width
    moves: list[Callable[[float], Call]] = [lambda factor: call.with_x(call.x * factor).astype(dtype)]
    if (grad_output := call.grad_output) is not None and failure.quantity != "output":
        moves.append(lambda factor: call.with_grad_output(grad_output * factor).astype(dtype))
    return any(_stays(failure, move(less)) and not _stays(failure, move(more)) for move in moves)


def _stays(failure: Failure, moved: Call) -> bool:
    """Return whether most numbers stay bit for bit the same, of those that should change by more than rounding explains."""
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
    """Simulate a fault: all digits after a fixed place are cut off."""
    found = failure.found.astype(np.float64)
    if not found.any() or not np.isfinite(found).all() or _whole(failure.expected):
        return
    if _whole(found):
        # If each term of a sum is cut off, instead of the sum, the error is up to 1 for each term.
        words = "every number is a whole number: the array holds integers, or something is converted to an integer"
        yield _within(failure, 1.0 + failure.bound.n_roundings, words)
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
        words = f"every number is a multiple of {binary:.3g}: a large number was added and subtracted again"
        yield _within(failure, 2 * binary, words)


def held(failure: Failure, lower: np.dtype[Any]) -> bool:
    """Return whether a lower precision holds all numbers found exactly, and not all of them are 0."""
    with np.errstate(over="ignore"):
        return bool(failure.found.any()) and np.array_equal(failure.found.astype(lower).astype(failure.found.dtype), failure.found)


def _whole(numbers: Array) -> bool:
    return np.array_equal(np.rint(numbers), numbers)


def _binary_step(numbers: Array) -> float:
    """Return the largest power of two that divides all numbers."""
    mantissas, exponents = np.frexp(numbers[numbers != 0])
    digits = np.abs(mantissas * 2.0**53).astype(np.int64)
    trailing = np.log2((digits & -digits).astype(np.float64))
    return float(np.exp2((exponents - 53 + trailing).min()))


def _within(failure: Failure, lost: float | Array, words: str) -> Candidate:
    """Return the correct numbers as a candidate; ``lost``, the largest number that may be cut off, is added to the tolerance."""
    return Candidate(DIGITS, words, failure.expected, bound_of_size(failure, lost + failure.precision.tolerance(failure.bound)), shown=True)
