"""The candidates that fault models yield, and helpers that compute them: from a changed call, by moving the correct numbers, or from a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from crosscheck.core.check_layer import Failure, with_reading
from crosscheck.core.operation import Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.running_error import Tracked


@dataclass(frozen=True)
class Candidate:
    """The result that the layer would have computed with one fault."""

    name: str  # a stable key, such as ``"tie rule"``
    words: str  # the fault as a sentence for the user; the same on every call, because it is compared between calls
    expected: Array
    # The rounding error bound of ``expected``; None: the correct result's bound. A callable is called only if the numbers are close to those found.
    bound: Bound | Callable[[], Bound] | None = None
    fitted: bool = False  # whether the fault has a constant that was fitted to the numbers found
    # The call from which a correct layer computes ``expected``, if it is not the original call. The search for a second fault starts from it.
    call: Call | None = None
    # Whether the numbers found prove the fault by themselves, as numbers that float32 holds exactly do. Any other candidate must differ from the
    # correct result at the elements where the subject differs.
    shown: bool = False
    note: str = ""  # what is true of this call alone, such as the number of ties; added to ``words`` in a report
    # Yields the same fault on another call, with the numbers that were fitted on this one; None: the fault model itself, which fits nothing.
    again: FaultModel | None = None
    dtype: np.dtype[Any] | None = None  # the precision of the array that the layer returns with this fault, if it is not the expected one
    # Further calls that tell the fault from faults that look alike on the failing call; None if there are none.
    probes: Callable[[Call], Iterator[Call]] | None = None

    def limits(self, failure: Failure) -> Bound:
        """Return the rounding error bound of ``expected``: the candidate's own, or the correct result's bound if the candidate has none."""
        bound = self.bound() if callable(self.bound) else self.bound
        return failure.bound if bound is None else bound


FaultModel: TypeAlias = Callable[[Failure], Iterator[Candidate]]
"""A function that yields what a layer with one fault would have computed; it yields nothing if the operation cannot have this fault."""

Move = Callable[[Array], Array]
"""A function that moves the elements of an array to other places, or sets some of them to zero."""


def in_words(quantity: str) -> str:
    """Return what messages call a quantity: "the weight gradient" for ``weight.grad``."""
    known = {"output": "the output", "grad_input": "the input gradient"}
    return known.get(quantity) or (f"the {quantity.removesuffix('.grad')} gradient" if quantity.endswith(".grad") else quantity)


def recomputed(failure: Failure, name: str, words: str, call: Call, oracle: Oracle | None = None, fitted: bool = False) -> Candidate:
    """Return the result of a changed call, with its rounding error bound, computed by the reference or by another ``oracle``."""
    operation, quantity = oracle or failure.oracle, failure.quantity
    result = operation.vjp(call)

    def bound() -> Bound:
        return as_read(failure, operation.rounding.bounds(operation, call, result, failure.precision)[quantity])

    return Candidate(name, words, result[quantity], bound, fitted, call if oracle is None else None)


def moved(failure: Failure, name: str, words: str, move: Move) -> Candidate:
    """Return the correct result after its elements were moved; their error bounds move with them."""
    return Candidate(name, words, move(failure.expected), lambda: moved_bound(failure.bound, failure.expected.shape, move))


def moved_bound(bound: Bound, shape: tuple[int, ...], move: Move) -> Bound:
    """Return the error bound of an array of the given shape after its elements were moved."""
    return Bound(*(move(np.broadcast_to(np.asarray(part), shape)) for part in (bound.abs_sum, bound.n_roundings)))


def bound_of_size(failure: Failure, size: float | Array) -> Bound:
    """Return the bound that tolerates errors up to the given size."""
    return Bound(size / (failure.precision.unit * failure.precision.sides), 1.0)


def theory_of(failure: Failure) -> Rounding:
    """Return the reference's error theory, the object that computes its rounding error bounds, without the framework's wrapper around it."""
    theory: Rounding = getattr(failure.oracle.rounding, "theory", failure.oracle.rounding)
    return theory


def formula(failure: Failure, name: str, words: str, tracked: Tracked) -> Candidate:
    """Return the result of a formula, with the bound of the formula's rounding errors."""
    return Candidate(name, words, tracked.value, lambda: as_read(failure, tracked.bound))


def as_read(failure: Failure, bound: Bound) -> Bound:
    """Return a bound plus the error made in reading the quantity from the subject."""
    return with_reading(bound, failure.subject.reading(failure.quantity, failure.call, failure.found), failure.precision)
