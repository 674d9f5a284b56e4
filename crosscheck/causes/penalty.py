"""A penalty of the weights that nobody declared: a multiple of the weight within its gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crosscheck.arithmetic import Array, Bound
from crosscheck.causes.candidate import Candidate
from crosscheck.failure import Failure

_DIGITS = 3
"""People choose constants of few digits."""

_NEAR = 1e-4
"""How near a fitted constant has to be to one of few digits, relatively, to be taken for it."""


def weight_decay(failure: Failure) -> Iterator[Candidate]:
    """Add a multiple of the parameter to its gradient."""
    param = failure.call.params.get(failure.quantity.removesuffix(".grad"))
    if param is None or not failure.quantity.endswith(".grad") or param.shape != failure.found.shape:
        return
    decay = multiple_of(param, failure.found.astype(np.float64) - failure.expected)
    if not decay:
        return
    part, chosen = decay * param, chosen_by_people(decay)
    words = f"{decay:.6g} times the parameter is in it: weight decay that was not declared, or that the optimizer adds as well"
    bound = Bound(failure.bound.terms + np.abs(part), failure.bound.roundings + np.float64(2))
    yield Candidate("weight decay", words, failure.expected + part, bound, fitted=not chosen)


def multiple_of(direction: Array, difference: Array) -> float:
    """Return how many times a direction a difference is, as nearly as possible, of few digits if it can be; 0 where nobody can say.

    Of a single number any other one is a multiple.
    """
    energy = float((direction * direction).sum())
    if not energy or not np.isfinite(energy) or not np.isfinite(difference).all() or np.count_nonzero(direction) < 2:
        return 0.0
    factor = float((direction * difference).sum()) / energy
    return _of_few_digits(factor) if chosen_by_people(factor) else factor


def chosen_by_people(factor: float) -> bool:
    """Return whether a number is as good as one of few digits."""
    return abs(_of_few_digits(factor) - factor) <= _NEAR * abs(factor)


def _of_few_digits(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
