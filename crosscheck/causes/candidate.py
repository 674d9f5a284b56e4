"""What a fault model yields, and the usual ways to compute it: from a changed call, by moving the right numbers, or by a formula."""

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
    """The result that the layer would have computed with one fault."""

    name: str  # a stable key, such as ``"tie rule"``
    words: str  # the fault as a sentence for the user
    expected: Array
    # The bound of its rounding errors, if it differs from that of the right result; a callable is called only if the numbers come close.
    bound: Bound | Callable[[], Bound] | None = None
    fitted: bool = False  # whether a number in it was fitted to the numbers found
    # The call from which a right layer computes these numbers, if not the layer's own: a second fault is then looked for in it.
    call: Call | None = None
    # Whether the numbers found prove the fault by themselves, as those of a lower precision do. Any other candidate must differ from the right result
    # where the subject does.
    shown: bool = False

    def limits(self, failure: Failure) -> Bound:
        """Return the bound of these numbers' rounding errors; without one of their own, that of the right result."""
        bound = self.bound() if callable(self.bound) else self.bound
        return failure.bound if bound is None else bound


FaultModel = Callable[[Failure], Iterator[Candidate]]
"""Yields what a right layer with one fault would have computed; nothing if the operation cannot have this fault."""

Move = Callable[[Array], Array]
"""Moves the elements of an array to other places, or sets some of them to zero."""


def in_words(quantity: str) -> str:
    """Return what messages call a quantity: "the weight gradient" for ``weight.grad``."""
    known = {"output": "the output", "grad_input": "the input gradient"}
    return known.get(quantity) or (f"the {quantity.removesuffix('.grad')} gradient" if quantity.endswith(".grad") else quantity)


def recomputed(failure: Failure, name: str, words: str, call: Call, oracle: Oracle | None = None, fitted: bool = False) -> Candidate:
    """Return what the operation, or another one, computes from a changed call, with the bound that belongs to that call."""
    operation, quantity = oracle or failure.oracle, failure.quantity
    result = operation.vjp(call)

    def bound() -> Bound:
        return as_read(failure, operation.rounding.bounds(operation, call, result, failure.precision)[quantity])

    return Candidate(name, words, result[quantity], bound, fitted, call if oracle is None else None)


def moved(failure: Failure, name: str, words: str, move: Move) -> Candidate:
    """Return the right result with its elements moved, and their bounds with them."""
    return Candidate(name, words, move(failure.expected), lambda: moved_bound(failure.bound, failure.expected.shape, move))


def moved_bound(bound: Bound, shape: tuple[int, ...], move: Move) -> Bound:
    """Return the bound of an array of the given shape after its elements were moved."""
    return Bound(*(move(np.broadcast_to(np.asarray(part), shape)) for part in (bound.abs_sum, bound.n_roundings)))


def bound_of_size(failure: Failure, size: float | Array) -> Bound:
    """Return the bound that tolerates errors up to the given size."""
    return Bound(size / (failure.precision.unit * failure.precision.sides), 1.0)


def theory_of(failure: Failure) -> Rounding:
    """Return the error theory of the reference, without the framework's wrapper around it."""
    theory: Rounding = getattr(failure.oracle.rounding, "theory", failure.oracle.rounding)
    return theory


def formula(failure: Failure, name: str, words: str, tracked: Tracked) -> Candidate:
    """Return the result of a formula, with the bound of its own rounding errors."""
    return Candidate(name, words, tracked.value, lambda: as_read(failure, tracked.bound))


def as_read(failure: Failure, bound: Bound) -> Bound:
    """Return a bound plus the error made in reading the quantity from the subject."""
    return with_reading(bound, failure.subject.reading(failure.quantity, failure.call, failure.found), failure.precision)
