"""The coverage matrix as plain data, as a table for the terminal, and as one self-contained HTML file."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crosscheck.core.judge import Facts, number
from crosscheck.report.terminal import COLOURS
from crosscheck.report.words import fraction_in_words
from study.coverage.matrix import Cell, Matrix
from study.pages import print_headline, templates

_STYLES = {"match": COLOURS["match"], "mismatch": f"bold {COLOURS['mismatch']}", "empty": f"bold {COLOURS['mismatch']}"}


def facts_of(matrix: Matrix, names: dict[str, str], elsewhere: dict[str, str], command: str, seconds: float) -> Facts:
    """Return the matrix as plain data. ``names`` are the references' versions; ``elsewhere`` says where the layers without a row are judged."""
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
    print_headline(facts, facts["faults"], console)
    table = Table(title="largest error as a fraction of its tolerance: below 1, rounding explains it", title_justify="left")
    for heading in ("layer or optimizer", "quantity"):
        table.add_column(heading, no_wrap=True)
    for column in facts["columns"]:
        table.add_column(f"{column['reference']}\n{column['dtype']}", justify="right", overflow="fold")
    for subject, rows in groupby(facts["rows"], lambda row: row["subject"]):
        for place, row in enumerate(rows):
            table.add_row("" if place else subject, row["quantity"], *map(_shown, row["cells"]))
        table.add_section()
    table.add_row("largest", "", *(fraction_in_words(fraction) if fraction else "equal" for fraction in facts["largest"]))
    console.print(table)
    notes = (f"[{place}] {reason}" for place, reason in enumerate(facts["footnotes"], start=1))
    for line in [*notes, *(f"{name}: {where}" for name, where in facts["elsewhere"].items())]:
        console.print(Text(line), soft_wrap=True)


def _shown(cell: Facts) -> Text:
    notes = "".join(f" [{note['number']}]" for note in cell["footnotes"])
    return Text(cell["text"], style=_STYLES.get(cell["verdict"], COLOURS["skipped"])) + Text(notes, style="dim")


def render(facts: Facts) -> str:
    """Return the page."""
    return templates().get_template("coverage.html").render(facts=facts)
