"""Whether a fault model, or one on top of another, explains a mismatch, and what is then said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crosscheck.causes.budget import limited
from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.precision import Array

_CLOSER = 16
"""How many times closer than the right numbers a candidate has to come."""

_ROOM = 4
"""Or within how many times the right result's tolerance, which a candidate's own may exceed."""

_CALLS = 200
"""How many calls of the oracle the search for a second fault may take. Fault models that move numbers about need none."""

_FEWEST = 4
"""How many numbers a quantity has to have for two faults to be looked for: among so many pairs one fits a single number by chance."""

_MOST = 1 << 14
"""And how many it may have, because the search takes time: the checks of a layer have fewer, and a layer of a network can be checked alone."""


@dataclass(frozen=True)
class Cause:
    """A fault model that removes a mismatch, with its evidence: the error in error units without it and with it."""

    name: str
    words: str
    units_before: float
    units_after: float
    fraction_after: float
    fitted: bool = False

    def __str__(self) -> str:
        finite = math.isfinite(self.units_before)
        change = f"from {self.units_before:.3g} to {self.units_after:.3g} units" if finite else f"to {self.units_after:.3g} units"
        return f"{self.words} (taking this as given, the error falls {change})"


@dataclass(frozen=True)
class Explanation:
    """A candidate that agrees with the subject's numbers, and the cause that it is.

    ``tolerance`` is the candidate's.
    """

    cause: Cause
    candidate: Candidate
    tolerance: Array

    def like(self, other: Explanation) -> bool:
        """Return whether this call cannot tell two candidates apart."""
        return bool((np.abs(self.candidate.expected - other.candidate.expected) <= np.minimum(self.tolerance, other.tolerance)).all())


@dataclass(frozen=True)
class Evidence:
    """A mismatch as fault models are tested against it."""

    failure: Failure

    @cached_property
    def found(self) -> Array:
        """The subject's numbers in float64."""
        return self.failure.found.astype(np.float64)

    @cached_property
    def tolerance(self) -> Array:
        """What rounding explains of a difference from the right numbers."""
        return np.broadcast_to(self.failure.precision.tolerance(self.failure.bound), self.found.shape)

    @cached_property
    def exceeding(self) -> npt.NDArray[np.bool_]:
        """Where rounding does not explain the subject's numbers."""
        return np.asarray(np.abs(self.found - self.failure.expected) > self.tolerance)

    @cached_property
    def _reach(self) -> float:
        """How close a candidate has to come, added up over what exceeds its tolerance, before its own bound is worth working out."""
        away = float(np.abs(self.found - self.failure.expected)[self.exceeding].sum())
        return min(away, max(away / _CLOSER, _ROOM * float(self.tolerance[self.exceeding].sum())))

    def candidates(self, fault_model: FaultModel) -> Iterator[Candidate]:
        """Yield what a fault model offers, as far as it gets.

        A recorded oracle refuses calls that were not recorded, difference quotients give one quantity alone, and a fault model may fail in other
        ways: none of that may cost the verdict.
        """
        with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            yield from fault_model(self.failure)

    def explained(self, candidate: Candidate) -> Explanation | None:
        """Return a candidate as an explanation if it agrees with the subject's numbers, and not because it is so vague that most would."""
        failure, expected = self.failure, candidate.expected
        if expected.shape != self.found.shape or not self.exceeding.any() or not (candidate.shown or self._near(candidate)):
            return None
        bound = candidate.limits(failure)
        tolerance = np.broadcast_to(failure.precision.tolerance(bound), expected.shape)
        after = judge(failure.judgement.place, Kind.LAYER, failure.found, expected, bound, failure.precision)
        if after.verdict is not Verdict.MATCH or not np.isfinite(tolerance[self.exceeding]).all():
            return None
        # With room for the right numbers as well, wherever the subject's are not right, nothing is explained.
        if not candidate.shown and not (np.abs(expected - failure.expected) > tolerance)[self.exceeding].any():
            return None
        cause = Cause(candidate.name, candidate.words, failure.judgement.units, after.units, after.fraction, candidate.fitted)
        return Explanation(cause, candidate, tolerance)

    def _near(self, candidate: Candidate) -> bool:
        """Return whether a candidate comes close to the subject's numbers where the right ones do not."""
        with np.errstate(invalid="ignore"):
            return float(np.abs(self.found - candidate.expected)[self.exceeding].sum()) < self._reach

    def explanations(self, fault_models: Sequence[FaultModel]) -> list[Explanation]:
        """Return all explanations: those with a fitted number last, then in the order of the fault models, of each one the closest first."""
        tested = [
            (place, explanation)
            for place, fault_model in enumerate(fault_models)
            for candidate in self.candidates(fault_model)
            if (explanation := self.explained(candidate)) is not None
        ]
        return [one for _, one in sorted(tested, key=lambda found: (found[1].candidate.fitted, found[0], found[1].cause.fraction_after))]


def two_at_once(failure: Failure, fault_models: Sequence[FaultModel], on_top: Sequence[FaultModel]) -> Cause | None:
    """Return the first two fault models that explain a mismatch together, in the order in which they were made; None where no two do.

    The first one is of ``fault_models``, the second one of ``on_top``: it gets the failure as it is once the first one is taken for right.
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
                # Against the right numbers, too: two that cancel each other explain nothing.
                both = evidence.explained(replace(second.candidate, bound=second.candidate.limits(changed)))
                if both is not None and not second.candidate.fitted:
                    words = f"two faults: {first.words}; and {second.cause.words}"
                    return replace(both.cause, name=f"{first.name} + {second.cause.name}", words=words)
    return None


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether a candidate is worth a second one: it says something definite, and where most numbers are right, it makes more of them right."""
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))
