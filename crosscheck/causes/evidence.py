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
"""A candidate must come this many times closer to the numbers found than the right numbers do."""

_ROOM = 4
"""Or it must come this close, in multiples of the right result's tolerance: the candidate's own tolerance may be larger."""

_CALLS = 200
"""Oracle calls that the search for a second fault may make. Fault models that only move numbers need none."""

_FEWEST = 4
"""Two faults are looked for only among at least this many numbers: with so many pairs, one of them fits a single number by chance."""

_MOST = 1 << 14
"""And among at most this many, to save time: the checks of a layer have fewer, and a layer of a network can be checked alone."""


@dataclass(frozen=True)
class Cause:
    """A fault model that explains a mismatch, with its evidence.

    That is the largest error in error units, from the right result and from that with this fault, and the latter as a fraction of its tolerance.
    """

    name: str
    words: str
    units_before: float
    units_after: float
    fraction_after: float
    fitted: bool = False

    def __str__(self) -> str:
        left = f"; the error left is {self.fraction_after:.2g} of the tolerance" if self.units_after else " exactly"
        return f"{self.words} (with this undone, the result agrees{left})"


@dataclass(frozen=True)
class Explanation:
    """A candidate that agrees with the numbers found within its own ``tolerance``, and the cause that it stands for."""

    cause: Cause
    candidate: Candidate
    tolerance: Array

    def like(self, other: Explanation) -> bool:
        """Return whether this call cannot tell two candidates apart."""
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
        """The largest difference from the right numbers that rounding explains."""
        return np.broadcast_to(self.failure.precision.tolerance(self.failure.bound), self.found.shape)

    @cached_property
    def exceeding(self) -> npt.NDArray[np.bool_]:
        """Mask of the elements whose error exceeds the tolerance."""
        return np.asarray(np.abs(self.found - self.failure.expected) > self.tolerance)

    @cached_property
    def _reach(self) -> float:
        """How close a candidate must come before its own bound is computed: the distance, summed over the elements that exceed the tolerance."""
        away = float(np.abs(self.found - self.failure.expected)[self.exceeding].sum())
        return min(away, max(away / _CLOSER, _ROOM * float(self.tolerance[self.exceeding].sum())))

    def candidates(self, fault_model: FaultModel) -> Iterator[Candidate]:
        """Yield the candidates of a fault model up to its first error.

        A recorded oracle refuses calls that were not recorded, difference quotients give one quantity only, and a fault model may fail in other
        ways: no such error may prevent the verdict.
        """
        with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            yield from fault_model(self.failure)

    def explained(self, candidate: Candidate) -> Explanation | None:
        """Return a candidate as an explanation; None if it does not agree with the numbers found, or is so vague that most numbers would agree."""
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
        # A tolerance that covers the right numbers as well, wherever the subject's are wrong, explains nothing.
        if not candidate.shown and not (np.abs(expected - failure.expected) > tolerance)[self.exceeding].any():
            return None
        cause = Cause(candidate.name, candidate.words, failure.judgement.units, after.units, after.fraction, candidate.fitted)
        return Explanation(cause, candidate, tolerance)

    def explanations(self, fault_models: Sequence[FaultModel]) -> list[Explanation]:
        """Return all explanations: those with a fitted number last, else in the order of the fault models, each one's closest candidate first."""
        tested = [
            (place, explanation)
            for place, fault_model in enumerate(fault_models)
            for candidate in self.candidates(fault_model)
            if (explanation := self.explained(candidate)) is not None
        ]
        return [one for _, one in sorted(tested, key=lambda found: (found[1].candidate.fitted, found[0], found[1].cause.fraction_after))]


def two_at_once(failure: Failure, fault_models: Sequence[FaultModel], on_top: Sequence[FaultModel]) -> Cause | None:
    """Return the first pair of fault models that explains a mismatch together; None if no pair does.

    The first of the pair is one of ``fault_models``. The second is one of ``on_top``, and is tested as if the first were the right result.
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
                # The pair is tested against the right numbers, too: two faults that cancel each other explain nothing.
                both = evidence.explained(replace(second.candidate, bound=second.candidate.limits(changed)))
                if both is not None and not second.candidate.fitted:
                    words = f"two faults: {first.words}; and {second.cause.words}"
                    return replace(both.cause, name=f"{first.name} + {second.cause.name}", words=words)
    return None


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether to look for a second fault: the candidate is definite and, if most numbers are right already, makes more of them right."""
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))
