"""A cause, not only a place: hypotheses about what went wrong, each tested against the very numbers.

A hypothesis says what a right layer with just that fault would have computed. It is reported only if that removes the mismatch: the subject's
numbers then agree with it as closely as rounding allows. What no hypothesis explains stays unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from crosscheck.causes.candidate import Candidate, Hypothesis
from crosscheck.causes.hypotheses import HYPOTHESES
from crosscheck.failure import Failure
from crosscheck.judgement import Kind, Verdict, judge
from crosscheck.operation import RefusedError

__all__ = ["HYPOTHESES", "Candidate", "Cause", "Hypothesis", "diagnose"]


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


def diagnose(failure: Failure) -> Cause | None:
    """Return the hypothesis that explains a mismatch best, or None where none removes it.

    One with a number fitted to the mismatch itself comes after all that have none: it nearly always lies closer and says less.
    """
    if failure.found.shape != failure.expected.shape:
        return None
    causes = [cause for hypothesis in HYPOTHESES for candidate in _candidates(hypothesis, failure) if (cause := _tested(failure, candidate))]
    return min(causes, key=lambda cause: (cause.fitted, cause.fraction_after), default=None)


def _candidates(hypothesis: Hypothesis, failure: Failure) -> Iterator[Candidate]:
    """Yield what a hypothesis offers, as far as the oracle answers: a recorded one refuses what it was not asked before."""
    with suppress(RefusedError):
        yield from hypothesis(failure)


def _tested(failure: Failure, candidate: Candidate) -> Cause | None:
    """Return the cause if the candidate agrees with the subject's numbers."""
    if candidate.expected.shape != failure.found.shape:
        return None
    bound = candidate.bound or failure.bound
    after = judge(failure.judgement.place, Kind.LAYER, failure.found, candidate.expected, bound, failure.arithmetic)
    if after.verdict is not Verdict.MATCH:
        return None
    return Cause(candidate.name, candidate.words, failure.judgement.units, after.units, after.fraction, candidate.fitted)
