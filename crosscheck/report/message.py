"""A divergence as one text for a test's failure: verdict, place, size, likely cause, worst element, and the command that repeats just this."""

from __future__ import annotations

import textwrap

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
    lines = [facts["verdict"].upper()]
    for heading, text in [*rows(facts), ("reproduce", command)]:
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {heading:<14}", subsequent_indent=" " * 16, break_long_words=False)
    return "\n".join(lines)
