"""The measured figures in docs/performance.md, made from the benchmark's JSON, so that none of them is anybody's memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmark_pages import REACHED, complaints, figure, tables

from crosscheck.files import whole
from crosscheck.report.findings import Facts

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
"""Lines of the page between which the figures stand."""
BAR = r"\|"


class PageError(ValueError):
    """The figures cannot be put in their place; the message says why, and what to do."""


def facts_in(path: Path) -> Facts:
    """Return the facts of a benchmark from its JSON.

    Raises
    ------
    PageError
        If it is none.
    """
    try:
        facts: Facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PageError(f"{path}: cannot be read as JSON ({error}); write it with scripts/benchmark.py --json {path}") from None
    try:
        _ = measured(facts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PageError(f"{path}: is not what scripts/benchmark.py --json writes ({error!r}); write it anew") from None
    return facts


def measured(facts: Facts) -> str:
    """Return the figures in Markdown, the targets first."""
    parts = [facts["headline"] + "."]
    if lines := complaints(facts):
        parts.append("\n".join(f"- {line}" for line in lines))
    if facts["targets"]:
        rows = [(row["what"], row["target"], figure(row["measured"]), REACHED[row["reached"]][0]) for row in facts["targets"]]
        parts.append(_table(("figure", "target", "measured", ""), rows))
    for title, headings, own in tables(facts):
        parts += [f"### {title[0].upper()}{title[1:]}", _table(headings, own)]
    machine, versions = facts["machine"], ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    parts.append(
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}. `{facts['command']}` measures it again."
    )
    return "\n\n".join(parts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sides = ["---" if any(cell.lstrip("-")[:1].isalpha() for cell in column) else "---:" for column in zip(*rows, strict=True)]
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in (headings, sides, *rows))


def with_figures(page: str, facts: Facts) -> str:
    """Return a page with the figures between its two lines.

    Raises
    ------
    PageError
        If these lines are not there once each, in this order.
    """
    before, begin, rest = page.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end or BEGIN in rest or END in before + after:
        raise PageError(f"the page needs the line {BEGIN} and after it the line {END}, once each; between them the figures are put")
    return f"{before}{begin}{measured(facts)}\n{end}{after}"


def write(page: Path, source: Path) -> None:
    """Put the figures into the page.

    Raises
    ------
    PageError
    """
    facts = facts_in(source)
    try:
        text = with_figures(page.read_text(encoding="utf-8"), facts)
        with whole(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PageError(f"{page}: cannot be read or written ({error.strerror or error})") from None
