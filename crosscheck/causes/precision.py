"""Lost digits: something is computed in a lower precision (float32 within float64, float16 or bfloat16 within either), or digits are cut off.

An error as large as a float32 rounding error does not prove a computation in float32: a factor of 1 + 1e-9 causes an error of this size, too. There
are three proofs: float32 holds every result exactly; the result agrees if the inputs are rounded to float32; the result does not change if the inputs
change by less than float32 resolves. If all results are whole numbers, decimals or multiples of a power of two, digits were cut off instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from crosscheck.causes.candidate import Candidate, bound_of_size, in_words, recomputed
from crosscheck.core.check_layer import Failure
from crosscheck.core.formats import INPUTS, LOWER, Format
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound

NAME = "lower precision"

DIGITS = "digits cut off"

_WIDTHS = 64
"""The inputs are changed by this many spacings of the lower precision's numbers, to see whether the results change at all."""

_TRIES = 4
"""The number of random changes of the input. In some of them, a number may cross the boundary between two numbers of the lower precision."""

_HARDLY = 16
"""A result hardly changes if its relative change is this many times smaller than that of the input."""

_DECIMALS = 12
"""Rounding to more decimals than this is not looked for: it is hardly a mistake in code."""

_LEAST = 4
"""At least this many numbers must be multiples of a power of two: by chance, half of all multiples of one power are multiples of the next."""

_COARSER = 2.0**6
"""The power of two must be this many times the floating-point spacing at the largest number, so that chance does not explain it."""


def inputs_rounded(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the input, the parameters or the upstream gradient, or several of these, are rounded to a lower precision."""
    call, given = failure.call, {"the input": "inputs", "the parameters": "params"}
    if failure.quantity in call.variables():
        given["the upstream gradient"] = "cotangents"
    for lower in INPUTS.get(failure.precision.dtype, ()):
        rounded = call.each(lower.rounded)
        changed = {words: part for words, part in given.items() if not all(map(np.array_equal, _arrays(call, part), _arrays(rounded, part)))}
        # NumPy's own formats may be used for some of the arrays, the others are those of a unit that rounds whatever it multiplies.
        counts = range(1, len(changed) + 1) if not lower.bits else sorted({1, len(changed)} - {0})
        for chosen in itertools.chain.from_iterable(itertools.combinations(changed, count) for count in counts if rounded.finite()):
            words = f"{' and '.join(chosen)} {'are' if len(chosen) > 1 or 'the parameters' in chosen else 'is'} {lower.in_words}"
            yield recomputed(failure, NAME, words, replace(call, **{changed[one]: getattr(rounded, changed[one]) for one in chosen}))


def lower_precision(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the result is computed in a lower precision."""
    if any(digits_cut_off(failure)):
        # If digits are cut off at a fixed place, the results do not follow small changes of the inputs either; this is not a lower precision.
        return
    within = [
        lower
        for lower in LOWER.get(failure.precision.dtype, ())
        for candidate in _within_lower(failure, lower)
        if (np.abs(failure.found - failure.expected) <= failure.precision.tolerance(candidate.limits(failure))).all()
    ]
    # The format with the fewest bits that holds all numbers: a format with more bits holds them as well.
    coarse = next((lower for lower in reversed(within) if held(failure, lower)), None)
    if coarse is not None:
        yield from _within_lower(failure, coarse, f"{coarse.name} holds each of its numbers exactly")
        return
    # The errors of 8 bits leave room for other faults whose results stay the same, such as a clipped one.
    frozen = next((lower for lower in within if not lower.bits and _frozen(failure, lower)), None)
    if frozen is not None:
        why = f"it stays the same if its inputs change by less than {frozen.name} resolves"
        # Whether numbers stay the same is a matter of chance on each call, but errors of this size are left on every call.
        yield from (replace(one, again=partial(_within_lower, lower=frozen, why=why)) for one in _within_lower(failure, frozen, why))


def _within_lower(failure: Failure, lower: Format, why: str = "") -> Iterator[Candidate]:
    """Yield the correct numbers, with the rounding errors of a lower precision, for the reason ``why``."""
    # Two more roundings, one when a number is read and one when it is stored: even an exact operation has these.
    allowed = lower.tolerance(Bound(failure.bound.abs_sum, failure.bound.n_roundings + np.float64(2)), failure.precision)
    words = f"{in_words(failure.quantity)} is computed in {lower.name}: {why}"
    yield Candidate(NAME, words, failure.expected, bound_of_size(failure, allowed), shown=True)


def _arrays(call: Call, part: str) -> list[Any]:
    """Return the arrays of one part of a call: the input, the parameters, or the upstream gradient, which may be None."""
    given = getattr(call, part)
    return list(given.values()) if isinstance(given, Mapping) else [given]


def _frozen(failure: Failure, lower: Format) -> bool:
    """Return whether results stay the same while the input or the upstream gradient changes by less than the spacing of a lower precision.

    Results that stay the same even for a change by many spacings are cut off. They prove nothing.
    """
    dtype, call = failure.precision.dtype, failure.call
    width = lower.spacing
    # A change between the unit roundoffs of the two precisions: the higher precision resolves it, the lower one does not.
    less, more = math.sqrt(width * float(np.finfo(dtype).eps)), _WIDTHS * width
    moves: list[Callable[[float], Call]] = [lambda factor: call.with_x(call.x * factor).astype(dtype)]
    moves += [partial(_by_signs, call, dtype, seed) for seed in range(_TRIES)]
    if (grad_output := call.grad_output) is not None and failure.quantity != "output":
        moves.append(lambda factor: call.with_grad_output(grad_output * factor).astype(dtype))
    return any(_stays(failure, move(1 + less), less) and not _stays(failure, move(1 + more), more) for move in moves)


def _by_signs(call: Call, dtype: np.dtype[Any], seed: int, factor: float) -> Call:
    """Return a call in which each number of the input is multiplied or divided by a factor, at random."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], call.x.shape)
    return call.with_x(call.x * factor**signs).astype(dtype)


def _stays(failure: Failure, moved: Call, part: float) -> bool:
    """Return whether most numbers stay bit for bit the same, of those that should change by more than rounding explains.

    They should also change by about as much as the input, which changes by ``part`` of itself: a normalised row hardly changes if its input is
    multiplied by a number, in any precision.
    """
    right = failure.oracle.vjp(moved.astype(np.float64)).get(failure.quantity)
    try:
        before, after = (failure.subject.vjp(one).get(failure.quantity) for one in (failure.call.astype(moved.x.dtype), moved))
    except SubjectError:
        return False
    if right is None or before is None or after is None or not before.shape == after.shape == right.shape:
        return False
    change = np.abs(right - failure.expected)
    moves = (change > failure.precision.tolerance(failure.bound)) & (change > part / _HARDLY * np.abs(failure.expected))
    kept = (before == after) & moves
    return bool(2 * np.count_nonzero(kept) > np.count_nonzero(moves) > 0)


def wider_array(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: right numbers are returned in an array of a wider precision than the layer was given, which was made without a dtype."""
    found, expected = failure.found, failure.precision.dtype
    if found.dtype.kind != "f" or found.dtype.itemsize <= expected.itemsize:
        return
    if np.array_equal(found, found.astype(expected)):
        words = f"the numbers are right, but in a {found.dtype} array, such as np.zeros(shape) makes: write np.zeros(shape, dtype=x.dtype)"
    else:
        what = "an array made without a dtype, as np.zeros(shape) is, or a constant"
        words = f"the numbers are right, but computed in {found.dtype}: {what} takes part that is not {expected}; give it dtype=x.dtype"
    yield Candidate("array without dtype", words, failure.expected, shown=True, dtype=found.dtype)


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
    if any(held(failure, lower) for lower in LOWER.get(failure.precision.dtype, ())):
        return
    if np.count_nonzero(found) >= _LEAST and binary >= _COARSER * float(np.spacing(np.abs(found).max())):
        words = "a large number was added and subtracted again, and the last digits are lost"
        yield replace(_within(failure, 2 * binary, words), note=f"; every number is a multiple of {binary:.3g}")


def held(failure: Failure, lower: Format) -> bool:
    """Return whether a lower precision holds all numbers found exactly, and not all of them are 0.

    One that NumPy lacks needs several numbers as evidence: of the numbers of float16, every eighth is also one of bfloat16.
    """
    enough = not lower.bits or len(np.unique(failure.found[failure.found != 0])) >= _LEAST
    return enough and lower.holds(failure.found)


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
