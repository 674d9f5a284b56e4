"""A lower precision inside: float32 within float64, float16 within either.

That an error is of the size of the lower precision's roundings proves nothing: a factor of 1 + 1e-9 is of that size, too. What proves it is that the
lower precision's grid shows: in the results, in the inputs as they are used, or in a result that stays as it is while its inputs move less than the
grid's width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.arithmetic import Arithmetic, Bound
from crosscheck.causes.candidate import Candidate, recomputed
from crosscheck.causes.grids import LOWER, digits_cut_off, held
from crosscheck.containment import SubjectError
from crosscheck.failure import Failure
from crosscheck.operation import Call

NAME = "lower precision"

_WIDTHS = 64
"""By how many widths of the lower precision's grid inputs are moved to see that the numbers can move at all."""


def inputs_rounded(failure: Failure) -> Iterator[Candidate]:
    """Round what the layer is given to a lower precision: input, parameters and cotangent, one of them or several."""
    call, given = failure.call, {"the input": "x", "the parameters": "params", "the cotangent": "grad_output"}
    for lower in LOWER.get(failure.arithmetic.dtype, ()):
        with np.errstate(over="ignore"):
            rounded = call.astype(lower).astype(np.float64)
        changed = {words: part for words, part in given.items() if not _same(getattr(call, part), getattr(rounded, part))}
        for count in range(1, len(changed) + 1 if rounded.finite() else 0):
            for chosen in itertools.combinations(changed, count):
                words = f"{' and '.join(chosen)} {'are' if count > 1 or 'the parameters' in chosen else 'is'} rounded to {np.dtype(lower)}"
                yield recomputed(failure, NAME, words, replace(call, **{changed[one]: getattr(rounded, changed[one]) for one in chosen}))


def lower_precision(failure: Failure) -> Iterator[Candidate]:
    """Compute in a lower precision."""
    if any(digits_cut_off(failure)):
        # Numbers that lie equally far apart are those of no lower precision, although they do not move with their inputs either.
        return
    for lower in LOWER.get(failure.arithmetic.dtype, ()):
        dtype = np.dtype(lower)
        room = _room(failure, dtype)
        if not (np.abs(failure.found - failure.expected) <= failure.arithmetic.tolerance(room)).all():
            continue
        on_grid = held(failure, dtype)
        if on_grid or _frozen(failure, dtype):
            grid = (
                f"each of its numbers is one that {dtype} can hold"
                if on_grid
                else f"it does not change when its inputs move by less than {dtype} can show"
            )
            yield Candidate(NAME, f"computed in {dtype}: {grid}", failure.expected, room, shown=True)
            return


def _room(failure: Failure, lower: np.dtype[Any]) -> Bound:
    """Return the bound of the right result were it computed in a lower precision and stored in it."""
    low = Arithmetic(lower, failure.arithmetic.elements, failure.arithmetic.false_alarms)
    # Two more roundings: what rounds nothing is rounded all the same where it is read and where it is stored.
    tolerance = low.tolerance(Bound(failure.bound.terms, failure.bound.roundings + np.float64(2)))
    return Bound(tolerance / (failure.arithmetic.unit * failure.arithmetic.sides), 1.0)


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return all(np.array_equal(value, other[name]) for name, value in one.items())
    return one is other


def _frozen(failure: Failure, lower: np.dtype[Any]) -> bool:
    """Return whether the grid of a lower precision shows: numbers that stay as they are while input or cotangent moves by less than its width.

    Numbers that stay when it moves by many widths as well are cut off, and show nothing.
    """
    dtype, call = failure.arithmetic.dtype, failure.call
    width = float(np.finfo(lower).eps)
    # Between the units of both precisions: far more than the one rounds to, far less than the other one can show.
    less, more = 1 + math.sqrt(width * float(np.finfo(dtype).eps)), 1 + _WIDTHS * width
    moves: list[Callable[[float], Call]] = [lambda factor: replace(call, x=call.x * factor).astype(dtype)]
    if (grad_output := call.grad_output) is not None and failure.quantity != "output":
        moves.append(lambda factor: replace(call, grad_output=grad_output * factor).astype(dtype))
    return any(_stays(failure, move(less)) and not _stays(failure, move(more)) for move in moves)


def _stays(failure: Failure, moved: Call) -> bool:
    """Return whether most of the numbers stay as they are, bit for bit, of those that would have to move by more than rounding explains."""
    right = failure.oracle.vjp(moved.astype(np.float64)).get(failure.quantity)
    try:
        before, after = (failure.subject.vjp(one).get(failure.quantity) for one in (failure.call.astype(moved.x.dtype), moved))
    except SubjectError:
        return False
    if right is None or before is None or after is None or not before.shape == after.shape == right.shape:
        return False
    moves = np.abs(right - failure.expected) > failure.arithmetic.tolerance(failure.bound)
    kept = (before == after) & moves
    return bool(2 * np.count_nonzero(kept) > np.count_nonzero(moves) > 0)
