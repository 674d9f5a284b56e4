"""Cancellation: large numbers are subtracted, and the small result keeps their rounding errors.

``(exp(x) - exp(-x)) / (exp(x) + exp(-x))`` has the rounding error of numbers of size 1, however small ``tanh(x)`` is. A small error alone proves
nothing: an added epsilon or a small relative error may cause an error of the same size. An experiment proves the cancellation: if the input is scaled
until the result is small, a rounding error keeps its size, and it changes whenever the input changes a little.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, bound_of_size
from crosscheck.causes.evidence import Evidence
from crosscheck.causes.precision import digits_cut_off
from crosscheck.core.check_layer import Failure, check_layer
from crosscheck.core.precision import ELEMENTARY, Array, Bound

NAME = "cancellation"

_ROUNDINGS = 2 * ELEMENTARY
"""Number of roundings in the large numbers: those of two elementary functions, because their results are subtracted."""

_MOVES = tuple(1 + step / 61 for step in range(-8, 9))
"""The input is multiplied by these factors. They change every rounding error, but hardly change the error of a wrong formula."""

_SEEN = 2.0**10
"""The input is scaled until the result is this many rounding errors large. An error proportional to such a result is much smaller."""

_LOST = 64
"""Results smaller than this many rounding errors are left out: their error hardly changes with the input."""

_FAR = 128
"""The input is doubled or halved at most this many times."""

_MUCH_LARGER = 64
"""If the input is this many times larger than the result, its own digits may cancel. The input is then not scaled."""


def nothing_left(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: every digit cancels, and all numbers found are 0."""
    if not failure.found.any():
        yield from digits_cancel(failure)


def digits_cancel(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: digits cancel, so that the error is a rounding error of numbers of size 1, or of numbers as large as the input."""
    precision, expected, call = failure.precision, failure.expected, failure.call
    error, tolerance = np.abs(failure.found - expected), precision.tolerance(failure.bound)
    exceeding = error > tolerance
    if any(Evidence(failure).explained(one, digits_cut_off) for one in digits_cut_off(failure)):
        return
    one = 1.0 if call.grad_output is None or failure.quantity == "output" else float(np.abs(call.grad_output).max(initial=0.0))
    largest = one * float(np.abs(call.x).max(initial=0.0))
    small = np.abs(expected[exceeding]).max(initial=0.0)
    for size, least in ((one, 2), (largest, _MUCH_LARGER)):
        limit = tolerance + precision.tolerance(Bound(size, _ROUNDINGS))
        if small < size / least and (error <= limit).all() and _are_roundings(failure, exceeding, size, made_small=size == one):
            result = small if failure.judgement.worst is None else abs(failure.judgement.worst.oracle)
            words = "digits cancel: large numbers are subtracted, and their rounding errors are left in a small result"
            note = f"; the error is a rounding error of numbers of size {size:.3g}, while the result is {result:.2g}"
            yield Candidate(NAME, words, expected, bound_of_size(failure, limit), shown=True, note=note)
            return


def _are_roundings(failure: Failure, exceeding: npt.NDArray[np.bool_], size: float, made_small: bool) -> bool:
    """Return whether the errors are rounding errors of numbers of the given size: no larger, and different each time the input changes."""
    precision, quantity, errors = failure.precision, failure.quantity, list[Array]()
    unit = precision.unit * size
    x = failure.call.x * (_factor(failure, exceeding, _SEEN * unit) if made_small else 1.0)
    for move in _MOVES:
        checked = check_layer(failure.subject, failure.oracle, failure.call.with_x(x * move), precision, "layer", only=[quantity], witness={})
        errors.append(checked.found[quantity] - checked.expected[quantity])
        if not (np.abs(errors[-1]) <= precision.tolerance(checked.bounds[quantity]) + precision.tolerance(Bound(size, _ROUNDINGS))).all():
            return False
    seen = np.array(errors)[:, exceeding & (np.abs(checked.expected[quantity]) > _LOST * unit)]
    return bool(np.abs(seen).max(initial=0.0) > unit / 8 and np.abs(np.diff(seen, axis=0)).mean() > np.abs(seen).mean() / 2)


def _factor(failure: Failure, exceeding: npt.NDArray[np.bool_], size: float) -> float:
    """Return the power of two by which the input is multiplied to get a result of about ``size``, if the result grows with the input."""
    low, high = -_FAR, _FAR
    while high - low > 1:
        middle = (low + high) // 2
        result = failure.oracle.vjp(failure.call.with_x(failure.call.x * 2.0**middle))[failure.quantity]
        low, high = (middle, high) if np.abs(result[exceeding]).max() < size else (low, middle)
    return 2.0**high
