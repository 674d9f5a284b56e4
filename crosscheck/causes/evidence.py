"""Whether a hypothesis explains a mismatch, and what is then said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crosscheck.arithmetic import Array
from crosscheck.causes.candidate import Candidate, Hypothesis
from crosscheck.failure import Failure
from crosscheck.judgement import Kind, Verdict, judge

_CLOSER = 16
"""How many times closer than the right numbers."""

_ROOM = 4
"""How many times the right result's tolerance, which a candidate's own may exceed."""


@dataclass(frozen=True)
class Cause:
    """A hypothesis that removes a mismatch, with its evidence: the error in error units without it and with it."""

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

    Attributes
    ----------
    cause : Cause
    candidate : Candidate
    tolerance : array
        The candidate's.
    """

    cause: Cause
    candidate: Candidate
    tolerance: Array

    def like(self, other: Explanation) -> bool:
        """Return whether nobody can tell two candidates apart by this call."""
        return bool((np.abs(self.candidate.expected - other.candidate.expected) <= np.minimum(self.tolerance, other.tolerance)).all())


@dataclass(frozen=True)
class Evidence:
    """A mismatch as hypotheses are tested against it."""

    failure: Failure

    @cached_property
    def found(self) -> Array:
        """The subject's numbers in float64."""
        return self.failure.found.astype(np.float64)

    @cached_property
    def tolerance(self) -> Array:
        """What rounding explains of a difference from the right numbers."""
        return np.broadcast_to(self.failure.arithmetic.tolerance(self.failure.bound), self.found.shape)

    @cached_property
    def exceeding(self) -> npt.NDArray[np.bool_]:
        """Where rounding does not explain the subject's numbers."""
        return np.asarray(np.abs(self.found - self.failure.expected) > self.tolerance)

    @cached_property
    def _reach(self) -> float:
        """How close a candidate has to come, added up over what exceeds its tolerance, before its own bound is worth working out."""
        away = float(np.abs(self.found - self.failure.expected)[self.exceeding].sum())
        return min(away, max(away / _CLOSER, _ROOM * float(self.tolerance[self.exceeding].sum())))

    def candidates(self, hypothesis: Hypothesis) -> Iterator[Candidate]:
        """Yield what a hypothesis offers, as far as it gets.

        A recorded oracle refuses what it was not asked before; slopes in the place of one are those of a single quantity. Whatever else a
        hypothesis may run into, it must not cost anybody the verdict.
        """
        with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            yield from hypothesis(self.failure)

    def explained(self, candidate: Candidate) -> Explanation | None:
        """Return a candidate as an explanation if it agrees with the subject's numbers, and not because it is so vague that most would."""
        failure, expected = self.failure, candidate.expected
        if expected.shape != self.found.shape or not self.exceeding.any() or not (candidate.shown or self._near(candidate)):
            return None
        bound = candidate.limits(failure)
        tolerance = np.broadcast_to(failure.arithmetic.tolerance(bound), expected.shape)
        after = judge(failure.judgement.place, Kind.LAYER, failure.found, expected, bound, failure.arithmetic)
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

    def explanations(self, hypotheses: Sequence[Hypothesis]) -> list[Explanation]:
        """Return all explanations: those with a fitted number last, then in the order of the hypotheses, of each one the closest first."""
        tested = [
            (place, explanation)
            for place, hypothesis in enumerate(hypotheses)
            for candidate in self.candidates(hypothesis)
            if (explanation := self.explained(candidate)) is not None
        ]
        return [one for _, one in sorted(tested, key=lambda found: (found[1].candidate.fitted, found[0], found[1].cause.fraction_after))]
