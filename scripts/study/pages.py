"""The output of the studies: tables in a terminal and in Markdown, and pages from the templates in ``scripts/templates``. Every text is escaped."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts
from crosscheck.report.html import environment
from crosscheck.report.terminal import COLOURS

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_WIDTH = 150
"""The width of generated Markdown in characters."""

Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Sheet:
    """A table."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]  # cells as text
    texts: Collection[int] = (0,)  # the numbers of the columns that hold words and are aligned left; the others hold numbers and are aligned right


def print_headline(facts: Facts, lines: Iterable[str], console: Console) -> None:
    """Print the verdict, and below it what is wrong or missing."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)


def table(sheet: Sheet) -> Table:
    """Return a table for the terminal."""
    result = Table(title=sheet.title, title_justify="left")
    for place, heading in enumerate(sheet.headings):
        result.add_column(heading, justify="left" if place in sheet.texts else "right", overflow="fold")
    for row in sheet.rows:
        result.add_row(*map(Text, row))
    return result


def markdown(sheet: Sheet) -> str:
    """Return a table in Markdown, without its title."""
    sides = ["---" if place in sheet.texts else "---:" for place in range(len(sheet.headings))]
    lines: list[Sequence[str]] = [sheet.headings, sides, *sheet.rows]
    return "\n".join("|" + "".join(f" {escaped(cell)} |" if cell else " |" for cell in line) for line in lines)


def escaped(text: str) -> str:
    """Return a text escaped for Markdown."""
    for sign in "|*_":
        text = text.replace(sign, rf"\{sign}")
    return text.replace("<", "&lt;").replace("\n", " ")


def wrapped(text: str) -> str:
    """Return a paragraph broken into lines."""
    return "\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False))


def title(text: str) -> str:
    """Return a text with its first letter capitalised."""
    return text[:1].upper() + text[1:]


def measured_with(facts: Facts) -> str:
    """Return the versions, the seed and the command of a study as a sentence."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return f"Measured with {versions}, seed {facts['seed']}; `{facts['command']}` measures it again."


def percent(part: int, whole: int) -> str:
    """Return a part of a whole in percent, with two significant digits; a dash if the whole is 0."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{share:.{max(0, 1 - math.floor(math.log10(share)))}f} %" if share else "0"


@cache
def templates() -> jinja2.Environment:
    """Return the Jinja environment of the harness's own reports, with the templates of the studies added."""
    own = environment()
    assert own.loader is not None
    return own.overlay(loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(TEMPLATES), own.loader]))
