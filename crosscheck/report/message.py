"""A divergence as one text for a test's failure: verdict, place, size, likely cause, worst element, and the command that repeats just this."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from crosscheck.divergence import Divergence
from crosscheck.report.findings import divergence_facts, rows

WIDTH = 120


def message(divergence: Divergence, command: str) -> str:
    """Return all of it as one text.

    Parameters
    ----------
    divergence : Divergence
    command : str
        What to type to repeat just this comparison.
    """
    facts = divergence_facts(divergence, command)
    return laid_out(facts["verdict"].upper(), [*rows(facts), ("reproduce", command)])


def laid_out(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a title and what is known about it, each under its heading; a text of several lines keeps them."""
    lines = [title]
    for heading, text in facts:
        begin = f"  {heading:<14}"
        for line in text.splitlines() or [""]:
            lines += textwrap.wrap(line, WIDTH, initial_indent=begin, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False)
            begin = " " * 16
    return "\n".join(lines)
