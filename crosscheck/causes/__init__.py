"""Find the likely cause of a mismatch by testing known mistakes ("fault models") on the numbers that your code returned.

A fault model computes what an otherwise correct layer with this one mistake would return. It is reported only if it explains the mismatch: the
numbers found agree with its result as closely as rounding allows, and the tolerance of this comparison is too small to cover the correct numbers as
well. It also has to explain another call, which took no part in the search, if your code can be called again (:mod:`crosscheck.causes.confirmation`).
If no fault model and no pair of fault models explains a mismatch, the cause remains unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.causes.confirmation import Confirmation
from crosscheck.causes.evidence import Cause, Evidence, Explanation, in_its_precision, two_at_once
from crosscheck.causes.fault_models import FAULT_MODELS, FIRST_FAULTS, GENERAL_FAULTS, NOT_FINITE, OTHER_DTYPES, SAY_LITTLE, SECOND_FAULTS
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import silenced

__all__ = ["FAULT_MODELS", "Candidate", "Cause", "Edits", "FaultModel", "NoEdits", "diagnose"]


class Edits(Protocol):
    """A search for an edit of the reference that explains all wrong quantities of a call."""

    @property
    def cause(self) -> Cause | None:
        """The edit; None if none was found."""

    @property
    def why_not(self) -> str:
        """Why none was found, if the search could not be carried out or finished."""


@dataclass(frozen=True)
class NoEdits:
    """Where there is no reference whose steps could be edited; ``why_not`` says so."""

    why_not: str
    cause: None = None


@silenced()  # a reference may warn of inputs that only this search shows it
def diagnose(failure: Failure, edits: Edits | None = None) -> Cause | None:
    """Return the fault model, the edit of the reference, or the pair of fault models that explains a mismatch; None if none does.

    If several fault models explain the mismatch and their results on this call agree, the first in the list is returned, and its message names the
    next one, too. Fault models that know only a factor, or a number that is fitted to the mismatch, come after edits of the reference: they nearly
    always agree more closely, but say less.

    A fault model that another call of the layer contradicts is passed over. If the layer cannot be called again, the failing call alone decides, and
    the cause is not marked as confirmed.
    """
    if failure.found.shape != failure.expected.shape:
        return None if edits is None else edits.cause
    confirmation = Confirmation(failure)
    failure = in_its_precision(failure)
    if failure.found.dtype != failure.precision.dtype:
        return _first(Evidence(failure).explanations(OTHER_DTYPES), confirmation)
    if not np.isfinite(failure.found).all():
        return _first(Evidence(failure).explanations(NOT_FINITE), confirmation)
    found = Evidence(failure).explanations(FAULT_MODELS if failure.call.simple else GENERAL_FAULTS)
    telling = [one for one in found if not one.candidate.fitted and one.model not in SAY_LITTLE]
    cause = _first(telling, confirmation) or (None if edits is None else edits.cause)
    cause = cause or _first((one for one in found if one not in telling), confirmation)
    return cause or (_first(two_at_once(failure, FIRST_FAULTS, SECOND_FAULTS), confirmation, alike=False) if failure.call.simple else None)


def _first(explanations: Iterable[Explanation], confirmation: Confirmation, alike: bool = True) -> Cause | None:
    """Return the first explanation that no other call contradicts; with ``alike``, also name the next one that this call cannot tell from it."""
    left = iter(explanations)
    first = next((one for one in left if not confirmation.refutes(one)), None)
    if first is None:
        return None
    cause = replace(first.cause, confirmed=confirmation.possible)
    others = (one for one in left if one.candidate.fitted == first.candidate.fitted and one.like(first) and one.cause.words != cause.words)
    another = next((one.cause for one in others if not confirmation.refutes(one)), None) if alike else None
    return cause if another is None else replace(cause, words=f"{cause.words}; or {another.words}")
