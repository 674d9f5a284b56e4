"""Digits that were cut off at a fixed place: whole numbers, decimals, what is left of a sum with a large number that was taken off again.

Unlike those of a lower precision such numbers lie equally far apart, whatever their size. That all of them lie on such a grid, where the right ones
do not, is no accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from crosscheck.arithmetic import Array, Bound
from crosscheck.causes.candidate import Candidate
from crosscheck.failure import Failure

LOWER = {np.dtype(np.float64): (np.float32, np.float16), np.dtype(np.float32): (np.float16,)}
"""The precisions below one."""

NAME = "digits cut off"

_DECIMALS = 12
"""The finest decimal grid that is looked for: code that rounds to more decimals than these has other mistakes."""

_LEAST = 4
"""How many numbers have to lie on a grid of powers of two: any single one does by chance, as often as not, where the grid is twice as wide."""

_COARSER = 2.0**6
"""How much wider than the distance of floating-point numbers a grid of powers of two is, at the largest number, if it is more than an accident."""


def digits_cut_off(failure: Failure) -> Iterator[Candidate]:
    """Keep only the digits in front of a fixed place."""
    found = failure.found.astype(np.float64)
    if not found.any() or not np.isfinite(found).all() or _whole(failure.expected):
        return
    if _whole(found):
        # Where each term of a sum is cut off, not the sum, as many ones are lost as there are terms.
        yield _within(failure, 1.0 + failure.bound.roundings, "every number is a whole number: the array holds integers, or something is made one")
        return
    binary = _binary_step(found)
    for decimals in range(1, _DECIMALS + 1):
        step = 10.0**-decimals
        if np.array_equal(np.round(found, decimals), found) and binary < step:
            yield _within(failure, step, f"every number is rounded to {decimals} decimals")
            return
    if any(held(failure, np.dtype(lower)) for lower in LOWER.get(failure.arithmetic.dtype, ())):
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


def _within(failure: Failure, room: float | Array, words: str) -> Candidate:
    """Return the right numbers with room for what is cut off."""
    arithmetic = failure.arithmetic
    room = (room + arithmetic.tolerance(failure.bound)) / (arithmetic.unit * arithmetic.sides)
    return Candidate(NAME, words, failure.expected, Bound(np.broadcast_to(room, failure.expected.shape), 1.0), shown=True)
