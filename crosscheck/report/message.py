"""A divergence as text, read from the top down: verdict, place, size, likely cause, worst element, and the command that repeats just this."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from crosscheck.divergence import Divergence

WIDTH = 120


def size_in_words(units: float, fraction: float, exceeding: int, elements: int) -> str:
    """Return how large an error is, in error units and beside its tolerance."""
    beyond = f"{fraction:.3g} times the tolerance" if math.isfinite(fraction) else "none is tolerated"
    return f"{units:.3g} error units, {beyond}; {exceeding:,} of {elements:,} elements"


def rows(divergence: Divergence) -> Iterator[tuple[str, str]]:
    """Yield what is known about a divergence, each with its heading."""
    judgement, isolated = divergence.judgement, divergence.isolated
    yield "where", f"{judgement.place} ({judgement.kind.value})"
    if divergence.source:
        yield "computed in", divergence.source
    if judgement.worst is not None and math.isfinite(judgement.units):
        yield "size", size_in_words(judgement.units, judgement.fraction, judgement.exceeding, judgement.elements)
    if judgement.reason:
        yield "found", judgement.reason
    yield "likely cause", "no known mistake explains it" if divergence.cause is None else str(divergence.cause)
    if judgement.worst is not None:
        yield "worst element", f"{list(judgement.worst.index)}: subject {judgement.worst.subject!r}, oracle {judgement.worst.oracle!r}"
    if isolated is not None:
        yield "isolated", f"given the reference's own values: {isolated.verdict.value}"


def message(divergence: Divergence, command: str) -> str:
    """Return all of it as one text.

    Parameters
    ----------
    divergence : Divergence
    command : str
        What to type to repeat just this comparison.
    """
    lines = [f"{divergence.judgement.verdict.value.upper()}"]
    for heading, text in [*rows(divergence), ("reproduce", command)]:
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {heading:<14}", subsequent_indent=" " * 16, break_long_words=False)
    return "\n".join(lines)
