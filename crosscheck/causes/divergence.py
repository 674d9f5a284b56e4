"""A mismatch, with the line of code that computed it, the likely cause, and the verdict on the layer tested alone."""

from __future__ import annotations

from dataclasses import dataclass

from crosscheck.causes import Cause, Edits, diagnose
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Facts, Judgement, judgement_facts, number


@dataclass(frozen=True)
class Divergence:
    """A mismatch that rounding cannot explain, with its cause and the file and line that computed it, if these are known.

    In a training step, ``isolated`` is the verdict on the same quantity when the layer is tested alone, on the reference's values.
    """

    judgement: Judgement
    cause: Cause | None = None
    source: str = ""
    isolated: Judgement | None = None
    why_not: str = ""  # why the cause is unknown, if the search for it could not be carried out or finished


def examined(failure: Failure, isolated: Judgement | None = None, edits: Edits | None = None) -> Divergence:
    """Return a mismatch with its likely cause and its line of code."""
    cause = diagnose(failure, edits)
    why_not = "" if cause is not None or edits is None else edits.why_not
    return Divergence(failure.judgement, cause, failure.subject.sources.get(failure.quantity, ""), isolated, why_not)


def divergence_facts(divergence: Divergence, reproduce: str) -> Facts:
    """Return a divergence as plain data; ``reproduce`` is the command that reruns just this comparison."""
    cause = divergence.cause
    evidence = None if cause is None else {"error_units_before": number(cause.units_before), "error_units_after": number(cause.units_after)}
    return judgement_facts(divergence.judgement) | {
        "cause": "unknown" if cause is None else cause.name,
        "cause_in_words": _unknown(divergence) if cause is None else str(cause),
        "cause_evidence": evidence,
        "source": divergence.source,
        "tested_alone": None if divergence.isolated is None else judgement_facts(divergence.isolated),
        "reproduce": reproduce,
    }


def _unknown(divergence: Divergence) -> str:
    return "no known mistake explains it" + (f"; {divergence.why_not}" if divergence.why_not else "")
