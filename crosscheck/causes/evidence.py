"""Decide whether a fault model, or a pair of them, explains a mismatch, and keep the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.precision import Array
from crosscheck.oracles.wrapped import limited

_CLOSER = 16
"""A candidate must be this many times closer to the numbers found than the correct numbers are."""

_ROOM = 4
"""A candidate is also close if its distance is below this multiple of the correct result's tolerance; its own tolerance may be larger."""

_CALLS = 200
"""Largest number of oracle calls in the search for a second fault. Fault models that only move numbers need none."""

_FEWEST = 4
"""Two faults are looked for only if the result has at least this many numbers. With fewer, one of the many pairs could fit by chance."""

_MOST = 1 << 14
"""Two faults are looked for only if result and input have at most this many numbers, to save time. The checks of a single layer use fewer."""


@dataclass(frozen=True)
class Cause:
    """A fault model that explains a mismatch, with its evidence.

    The evidence is the largest error before and after the fault is taken into account.
    """

    name: str
    words: str
    units_before: float  # largest difference from the correct result, in error units
    units_after: float  # largest difference from the result with this fault, in error units
    fraction_after: float  # the same difference as a fraction of its tolerance
    fitted: bool = False

    def __str__(self) -> str:
        left = f"; the error left is {self.fraction_after:.2g} of the tolerance" if self.units_after else " exactly"
        return f"{self.words} (with this undone, the result agrees{left})"


@dataclass(frozen=True)
class Explanation:
    """A candidate that agrees with the numbers found within its own ``tolerance``, and the cause to report for it."""

    cause: Cause
    candidate: Candidate
    tolerance: Array

    def like(self, other: Explanation) -> bool:
        """Return whether the results of two candidates agree on this call, so that it cannot tell the faults apart."""
        return bool((np.abs(self.candidate.expected - other.candidate.expected) <= np.minimum(self.tolerance, other.tolerance)).all())


@dataclass(frozen=True)
class Evidence:
    """A mismatch against which fault models are tested."""

    failure: Failure

    @cached_property
    def found(self) -> Array:
        """The numbers found, in float64."""
        return self.failure.found.astype(np.float64)

    @cached_property
    def tolerance(self) -> Array:
        """The largest difference from the correct numbers that rounding explains."""
        return np.broadcast_to(self.failure.precision.tolerance(self.failure.bound), self.found.shape)

    @cached_property
    def exceeding(self) -> npt.NDArray[np.bool_]:
        """Mask of the elements whose error exceeds the tolerance."""
        return np.asarray(np.abs(self.found - self.failure.expected) > self.tolerance)

    @cached_property
    def _reach(self) -> float:
        """Largest distance at which a candidate's own bound is computed; distances are summed over the elements that exceed the tolerance."""
        away = float(np.abs(self.found - self.failure.expected)[self.exceeding].sum())
        return min(away, max(away / _CLOSER, _ROOM * float(self.tolerance[self.exceeding].sum())))

    def candidates(self, fault_model: FaultModel) -> Iterator[Candidate]:
        """Yield the candidates of a fault model until it raises an error.

        A recorded oracle refuses calls that were not recorded, a finite-difference oracle computes one quantity only, and a fault model may fail in
        other ways. No such error may prevent the verdict.
        """
        with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            yield from fault_model(self.failure)

    def explained(self, candidate: Candidate) -> Explanation | None:
        """Return a candidate as an explanation; None if the numbers found deviate from it, or if its tolerance is so wide that it proves nothing."""
        failure, expected = self.failure, candidate.expected
        if expected.shape != self.found.shape or not self.exceeding.any():
            return None
        with np.errstate(invalid="ignore"):
            distance = float(np.abs(self.found - expected)[self.exceeding].sum())
        if not candidate.shown and not distance < self._reach:
            return None
        bound = candidate.limits(failure)
        tolerance = np.broadcast_to(failure.precision.tolerance(bound), expected.shape)
        after = judge(failure.judgement.place, Kind.LAYER, failure.found, expected, bound, failure.precision)
        if after.verdict is not Verdict.MATCH or not np.isfinite(tolerance[self.exceeding]).all():
            return None
        # A candidate explains nothing if its tolerance covers the correct numbers, too, at all elements where the subject is wrong.
        if not candidate.shown and not (np.abs(expected - failure.expected) > tolerance)[self.exceeding].any():
            return None
        cause = Cause(candidate.name, candidate.words, failure.judgement.units, after.units, after.fraction, candidate.fitted)
        return Explanation(cause, candidate, tolerance)

    def explanations(self, fault_models: Sequence[FaultModel]) -> list[Explanation]:
        """Return all explanations in the order of the fault models, the closest candidate of each first; those with a fitted number come last."""
        tested = [
            (place, explanation)
            for place, fault_model in enumerate(fault_models)
            for candidate in self.candidates(fault_model)
            if (explanation := self.explained(candidate)) is not None
        ]
        return [one for _, one in sorted(tested, key=lambda found: (found[1].candidate.fitted, found[0], found[1].cause.fraction_after))]


def two_at_once(failure: Failure, fault_models: Sequence[FaultModel], on_top: Sequence[FaultModel]) -> Cause | None:
    """Return the first pair of fault models that explains a mismatch together; None if no pair does.

    The first is one of ``fault_models``. The second is one of ``on_top``; it is tested as if the result with the first fault were correct.
    """
    if failure.found.size < _FEWEST or max(failure.found.size, failure.call.x.size) > _MOST:
        return None
    evidence, oracle = Evidence(failure), limited(failure.oracle, _CALLS)
    for one in fault_models:
        for first in evidence.candidates(one):
            if not _may_be_first(first, evidence):
                continue
            with np.errstate(all="ignore"):
                changed = replace(failure, expected=first.expected, bound=first.limits(failure), call=first.call or failure.call, oracle=oracle)
            for second in Evidence(changed).explanations(on_top):
                # The pair is tested against the correct numbers, too: two faults that cancel each other explain nothing.
                both = evidence.explained(replace(second.candidate, bound=second.candidate.limits(changed)))
                if both is not None and not second.candidate.fitted:
                    words = f"two faults: {first.words}; and {second.cause.words}"
                    return replace(both.cause, name=f"{first.name} + {second.cause.name}", words=words)
    return None


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether to look for a second fault: ``first`` has no fitted number and, if most numbers already match, makes more of them match."""
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))
