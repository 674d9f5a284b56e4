"""What a fault model answers, and the usual ways to make it: from another call, by moving the right numbers about, or by a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from crosscheck.core.check_layer import Failure, with_reading
from crosscheck.core.operation import Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.running_error import Tracked


@dataclass(frozen=True)
class Candidate:
    """What the layer would have computed with one fault.

    Attributes
    ----------
    name : str
        A stable key, such as ``"tie rule"``.
    words : str
        The fault as a sentence for the person who made it.
    bound : Bound or callable, optional
        Where it differs from that of the right result. A callable returns it, and is called only where the numbers come close.
    fitted : bool
        Whether a number in it was chosen to come as close as possible to what was found.
    call : Call, optional
        The call from which a right layer computes these numbers, where it is another one than the layer got: a second fault is then looked for in it.
    shown : bool
        Whether the fault itself shows in the numbers that were found. Any other candidate has to differ from the right result where the subject does.
    """

    name: str
    words: str
    expected: Array
    bound: Bound | Callable[[], Bound] | None = None
    fitted: bool = False
    call: Call | None = None
    shown: bool = False

    def limits(self, failure: Failure) -> Bound:
        """Return the bound of these numbers; the failure's own where they have none."""
        bound = self.bound() if callable(self.bound) else self.bound
        return failure.bound if bound is None else bound


FaultModel = Callable[[Failure], Iterator[Candidate]]
"""Yields what a right layer with one fault would have computed; nothing where the fault cannot be."""

Move = Callable[[Array], Array]
"""Puts the elements of an array into other places, or zero into some."""


def recomputed(failure: Failure, name: str, words: str, call: Call, oracle: Oracle | None = None, fitted: bool = False) -> Candidate:
    """Return what the operation itself, or another one, makes of a call, with the bound that belongs to that call."""
    operation, quantity = oracle or failure.oracle, failure.quantity
    result = operation.vjp(call)

    def bound() -> Bound:
        return as_read(failure, operation.rounding.bounds(operation, call, result, failure.precision)[quantity])

    return Candidate(name, words, result[quantity], bound, fitted, call if oracle is None else None)


def moved(failure: Failure, name: str, words: str, move: Move) -> Candidate:
    """Return a candidate that is the right result with its elements moved, their bounds with them."""
    return Candidate(name, words, move(failure.expected), lambda: moved_bound(failure.bound, failure.expected.shape, move))


def moved_bound(bound: Bound, shape: tuple[int, ...], move: Move) -> Bound:
    """Return the bound of an array of a shape, moved as its elements are."""
    return Bound(*(move(np.broadcast_to(np.asarray(part), shape)) for part in (bound.abs_sum, bound.n_roundings)))


def room(failure: Failure, size: float | Array) -> Bound:
    """Return the bound that tolerates errors up to a size."""
    return Bound(size / (failure.precision.unit * failure.precision.sides), 1.0)


def theory_of(failure: Failure) -> Rounding:
    """Return the error theory of the reference, without what a framework puts around it."""
    theory: Rounding = getattr(failure.oracle.rounding, "theory", failure.oracle.rounding)
    return theory


def formula(failure: Failure, name: str, words: str, tracked: Tracked) -> Candidate:
    """Return a candidate that a formula gives, with the errors of its own steps."""
    return Candidate(name, words, tracked.value, lambda: as_read(failure, tracked.bound))


def as_read(failure: Failure, bound: Bound) -> Bound:
    """Return a bound to which the error of reading the subject's quantity is added."""
    return with_reading(bound, failure.subject.reading(failure.quantity, failure.call, failure.found), failure.precision)
