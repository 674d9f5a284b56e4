"""Judgements and divergences as plain data, and that data in words: read from the top down, where, how much, why, which element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from crosscheck.divergence import Divergence
from crosscheck.judgement import Judgement

Facts = dict[str, Any]


def number(value: float) -> float | None:
    """Return a number that JSON knows; None for infinity and NaN."""
    return float(value) if math.isfinite(value) else None


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun: ``1 check``, ``1,200 checks``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def judgement_facts(judgement: Judgement) -> Facts:
    """Return a judgement as data."""
    worst, heard = judgement.worst, judgement.heard
    return {
        "step": judgement.place.step,
        "layer": judgement.place.layer,
        "quantity": judgement.place.quantity,
        "kind": judgement.kind.value,
        "verdict": judgement.verdict.value,
        "error_units": number(judgement.units),
        "fraction_of_tolerance": number(judgement.fraction),
        "elements": judgement.elements,
        "exceeding": judgement.exceeding,
        "worst_element": None if worst is None else {"index": list(worst.index), "subject": number(worst.subject), "oracle": number(worst.oracle)},
        "reason": judgement.reason,
        "witness": None
        if heard is None
        else {"effect": heard.effect.value, "fraction_by_theory": number(heard.fraction), "own_fraction_by_theory": number(heard.own)},
    }


def divergence_facts(divergence: Divergence, reproduce: str) -> Facts:
    """Return a divergence as data.

    Parameters
    ----------
    divergence : Divergence
    reproduce : str
        What to type to repeat just this comparison.
    """
    cause = divergence.cause
    evidence = None if cause is None else {"units_before": number(cause.units_before), "units_after": number(cause.units_after)}
    return judgement_facts(divergence.judgement) | {
        "cause": "unknown" if cause is None else cause.name,
        "cause_in_words": "no known mistake explains it" if cause is None else str(cause),
        "cause_evidence": evidence,
        "source": divergence.source,
        "isolated": None if divergence.isolated is None else judgement_facts(divergence.isolated),
        "reproduce": reproduce,
    }


def rows(first: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a divergence, each with its heading."""
    step = f"step {first['step']}, " if first["step"] else ""
    yield "where", f"{step}{first['layer']}.{first['quantity']} ({first['kind']})"
    if first["source"]:
        yield "computed in", first["source"]
    if first["worst_element"] and first["error_units"] is not None:
        yield "size", size_in_words(first)
    if first["reason"]:
        yield "found", first["reason"]
    if first.get("witness") and first["witness"]["effect"] == "widened":
        yield "tolerance", f"widened: {witness_in_words(first)}"
    yield "likely cause", first["cause_in_words"]
    if worst := first["worst_element"]:
        yield "worst element", f"{worst['index']}: subject {_value(worst['subject'])}, oracle {_value(worst['oracle'])}"
    if first["isolated"]:
        yield "isolated", f"given the reference's own values: {first['isolated']['verdict']}"


def size_in_words(judgement: Facts) -> str:
    """Return how large an error is, in error units and beside its tolerance."""
    fraction = judgement["fraction_of_tolerance"]
    beyond = "none is tolerated" if fraction is None else f"{fraction_in_words(fraction, 3)} times the tolerance"
    return f"{judgement['error_units']:.3g} error units, {beyond}; {judgement['exceeding']:,} of {judgement['elements']:,} elements"


def witness_in_words(judgement: Facts) -> str:
    """Return why a tolerance was widened: where both sides stand beside what theory alone allows."""
    fractions = [judgement["witness"][side] for side in ("own_fraction_by_theory", "fraction_by_theory")]
    own, found = ("infinitely" if fraction is None else f"{fraction_in_words(fraction, 3)} times" for fraction in fractions)
    return f"the reference itself, in the subject's precision, is off by {own} what theory allows, the subject by {found}"


def fraction_in_words(fraction: float, digits: int = 2) -> str:
    """Return a fraction of a tolerance, with as many digits as it takes to tell on which side of 1 it lies."""
    text = f"{fraction:.{digits}g}"
    while float(text) == 1 and fraction != 1:
        digits += 1
        text = f"{fraction:.{digits}g}"
    return text


def consequence_in_words(consequence: Facts) -> str:
    """Return a consequence of a divergence: what is off, and by how much."""
    relative = consequence["relative_error"]
    off = f"off by {relative:.3g} of its size" if relative is not None else "off"
    return f"{consequence['layer']}.{consequence['quantity']} is {off} at step {consequence['step']}; right on the values that it got"


def ways_in_words(facts: Facts) -> str:
    """Return in how many of the checked steps layers were judged isolated, and the whole step; nothing where it was all of them."""
    steps = {
        kind: max((sum(q["verdicts"].values()) for q in facts["quantities"] if q["kind"] == kind), default=0) for kind in ("isolated", "whole step")
    }
    if min(steps.values()) == facts["steps_checked"]:
        return ""
    counts = " and ".join(f"{kind} in {count:,}" for kind, count in steps.items())
    return f"{counts} of {counted(facts['steps_checked'], 'checked step')}: while each layer is right in its step they say nothing new"


def decision_in_words(decision: Facts) -> str:
    """Return how a layer's choices at kinks differ from the oracle's, and whether rounding explains it; None is a margin without limit."""
    margin = decision["largest_margin"]
    text = f"decisions: {decision['layer']} chose differently from the oracle {decision['differing']:,} times"
    if margin is None:
        return f"{text}, where the oracle sees no tie at all"
    if not margin:
        return f"{text}, each between numbers that are equal for the oracle"
    return f"{text}, at most {fraction_in_words(margin)} of what rounding explains apart"


def _value(value: float | None) -> str:
    return "not finite" if value is None else repr(value)
