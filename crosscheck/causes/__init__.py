"""A cause, not only a place: fault models, each tested against the very numbers.

A fault model says what a right layer with just that fault would have computed. It is reported only if that removes the mismatch: the subject's
numbers then agree with it as closely as rounding allows, and would not agree with the right ones. What no fault model explains, and no two of them
one after the other, stays unknown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.causes.evidence import Cause, Evidence, Explanation, two_at_once
from crosscheck.causes.fault_models import FAULT_MODELS, ON_TOP, TOGETHER
from crosscheck.core.check_layer import Failure

__all__ = ["FAULT_MODELS", "Candidate", "Cause", "FaultModel", "diagnose"]


def diagnose(failure: Failure) -> Cause | None:
    """Return the fault model that explains a mismatch, or the two that do together; None where none does.

    Of several that this call cannot tell apart it is the first of the list, and the next one is named with it. One with a number fitted to the
    mismatch itself comes after all that have none: it nearly always lies closer and says less.
    """
    if failure.found.shape != failure.expected.shape or not np.isfinite(failure.found).all():
        return None
    failure = _in_one_precision(failure)
    if failure.found.dtype != failure.precision.dtype:
        return None
    explanations = Evidence(failure).explanations(FAULT_MODELS)
    return _first(explanations) if explanations else two_at_once(failure, TOGETHER, ON_TOP)


def _in_one_precision(failure: Failure) -> Failure:
    """Return a failure whose numbers have the precision that was due, where they came in a lower one: they can still be judged as numbers."""
    found, dtype = failure.found, failure.precision.dtype
    lower = found.dtype.kind == "f" and found.dtype.itemsize < dtype.itemsize
    return replace(failure, found=found.astype(dtype)) if lower else failure


def _first(explanations: list[Explanation]) -> Cause:
    first = explanations[0]
    others = (one.cause for one in explanations[1:] if one.candidate.fitted == first.candidate.fitted and one.like(first))
    another = next((cause for cause in others if cause.words != first.cause.words), None)
    return first.cause if another is None else replace(first.cause, words=f"{first.cause.words}; or {another.words}")
