"""Find the likely cause of a mismatch by testing known mistakes ("fault models") on the numbers that your code returned.

A fault model computes what an otherwise correct layer with this one mistake would return. It is reported only if it explains the mismatch: the
numbers found agree with its result as closely as rounding allows, and the tolerance of this comparison is too small to cover the correct numbers as
well. If no fault model and no pair of fault models explains a mismatch, the cause remains unknown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.causes.evidence import Cause, Evidence, Explanation, two_at_once
from crosscheck.causes.fault_models import FAULT_MODELS, FIRST_FAULTS, GENERAL_FAULTS, SECOND_FAULTS
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import silenced

__all__ = ["FAULT_MODELS", "Candidate", "Cause", "FaultModel", "diagnose"]


@silenced()  # a reference may warn of inputs that only this search shows it
def diagnose(failure: Failure) -> Cause | None:
    """Return the fault model, or the pair of fault models, that explains a mismatch; None if none does.

    If several fault models explain the mismatch and their results on this call agree, the first in the list is returned, and its message names the
    next one, too. Fault models with a number fitted to the mismatch come last: they nearly always agree more closely, but say less.
    """
    if failure.found.shape != failure.expected.shape or not np.isfinite(failure.found).all():
        return None
    found, dtype = failure.found, failure.precision.dtype
    if found.dtype.kind == "f" and found.dtype.itemsize < dtype.itemsize:
        # Numbers in a lower precision than expected are converted, so that they can be judged.
        failure = replace(failure, found=found.astype(dtype))
    elif found.dtype != dtype:
        return None
    if not failure.call.simple:
        explanations = Evidence(failure).explanations(GENERAL_FAULTS)
        return _first(explanations) if explanations else None
    explanations = Evidence(failure).explanations(FAULT_MODELS)
    return _first(explanations) if explanations else two_at_once(failure, FIRST_FAULTS, SECOND_FAULTS)


def _first(explanations: list[Explanation]) -> Cause:
    first = explanations[0]
    others = (one.cause for one in explanations[1:] if one.candidate.fitted == first.candidate.fitted and one.like(first))
    another = next((cause for cause in others if cause.words != first.cause.words), None)
    return first.cause if another is None else replace(first.cause, words=f"{first.cause.words}; or {another.words}")
