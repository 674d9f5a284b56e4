"""The coverage matrix as facts for machines, as a table for the terminal, and as one self-contained HTML file, every text escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts, number
from crosscheck.report.html import environment
from crosscheck.report.terminal import COLOURS
from crosscheck.report.words import fraction_in_words
from study.coverage.matrix import Cell, Matrix

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"

_STYLES = {"match": COLOURS["match"], "mismatch": f"bold {COLOURS['mismatch']}", "empty": f"bold {COLOURS['mismatch']}"}


def facts_of(matrix: Matrix, names: dict[str, str], elsewhere: dict[str, str], command: str, seconds: float) -> Facts:
    """Return the matrix as plain data.

    Parameters
    ----------
    matrix : Matrix
    names : dict of str to str
        The version of each reference.
    elsewhere : dict of str to str
        Layers that have no row, and where they are judged.
    command : str
    seconds : float
        That it took.
    """
    notes = matrix.footnotes
    return {
        "verdict": matrix.verdict.value,
        "headline": matrix.headline,
        "references": names,
        "columns": [{"reference": reference, "dtype": dtype} for reference, dtype in matrix.columns],
        "rows": [
            {"subject": row.subject, "quantity": row.quantity, "cells": [_cell_facts(row.cells[column], notes) for column in matrix.columns]}
            for row in matrix.rows
        ],
        "largest": [number(fraction) for fraction in matrix.largest().values()],
        "faults": matrix.faults,
        "footnotes": notes,
        "elsewhere": elsewhere,
        "command": command,
        "seconds": round(seconds, 1),
    }


def _cell_facts(cell: Cell, notes: list[str]) -> Facts:
    return {
        "verdict": cell.verdict,
        "text": cell.text,
        "compared": cell.compared,
        "fraction_of_tolerance": number(cell.fraction),
        "wrong": cell.wrong,
        "hole": cell.hole,
        "footnotes": [{"number": notes.index(reason) + 1, "runs": runs} for reason, runs in cell.reasons.items()],
    }


def show(facts: Facts, console: Console) -> None:
    """Print the matrix, what is wrong, and the footnotes."""
    console.print(Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}"), soft_wrap=True)
    for line in facts["faults"]:
        console.print(Text(f"  {line}"), soft_wrap=True)
    table = Table(title="largest error as a fraction of its tolerance: below 1, rounding explains it", title_justify="left")
    for heading in ("layer or optimizer", "quantity"):
        table.add_column(heading, no_wrap=True)
    for column in facts["columns"]:
        table.add_column(f"{column['reference']}\n{column['dtype']}", justify="right", overflow="fold")
    before = ""
    for row in facts["rows"]:
        if before and row["subject"] != before:
            table.add_section()
        table.add_row(row["subject"] if row["subject"] != before else "", row["quantity"], *map(_shown, row["cells"]))
        before = row["subject"]
    table.add_section()
    table.add_row("largest", "", *(fraction_in_words(fraction) if fraction else "equal" for fraction in facts["largest"]))
    console.print(table)
    for place, reason in enumerate(facts["footnotes"], start=1):
        console.print(Text(f"[{place}] {reason}"), soft_wrap=True)
    for name, where in facts["elsewhere"].items():
        console.print(Text(f"{name}: {where}"), soft_wrap=True)


def _shown(cell: Facts) -> Text:
    notes = "".join(f" [{note['number']}]" for note in cell["footnotes"])
    return Text(cell["text"], style=_STYLES.get(cell["verdict"], COLOURS["skipped"])) + Text(notes, style="dim")


@cache
def templates() -> jinja2.Environment:
    """Return the reports' own environment, with the templates of this folder besides."""
    own = environment()
    assert own.loader is not None
    return own.overlay(loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(TEMPLATES), own.loader]))


def render(facts: Facts) -> str:
    """Return the page."""
    return templates().get_template("coverage.html").render(facts=facts)
