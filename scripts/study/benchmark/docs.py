"""The measured figures in docs/performance.md, made from the benchmark's JSON, so that none of them is anybody's memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosscheck.core.judge import Facts
from study import generated_text
from study.benchmark.pages import REACHED, complaints, figure, tables

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
"""Lines of the page between which the figures stand."""
BAR = r"\|"


def facts_in(path: Path) -> Facts:
    """Return the facts of a benchmark from its JSON.

    Raises
    ------
    PageError
        If it is none.
    """
    return generated_text.facts_in(path, "scripts/benchmark.py", measured)


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


def write(page: Path, source: Path) -> None:
    """Put the figures into the page.

    Raises
    ------
    PageError
    """
    generated_text.put_between(page, BEGIN, END, measured(facts_in(source)))
