"""What was found, delivered: files, terminal, exit status."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax

from crosscheck.command import COULD_NOT_BE_CHECKED, say
from crosscheck.files import NotWritableError
from crosscheck.report.findings import Facts
from crosscheck.report.pair_facts import first_mismatch
from crosscheck.report.pair_files import write
from crosscheck.report.pair_terminal import show


def deliver(facts: Facts, reports: list[Path], console: Console) -> int:
    """Write the reports, show what they say, and return the exit status; an interruption does not change what was found."""
    refused = ""
    try:
        try:
            write(facts, reports)
        except NotWritableError as error:
            refused = str(error)
        show(facts, console)
        if not reports:
            _show_scripts(facts, console)
        elif not refused:
            console.print(f"\nreport: {' and '.join(map(str, reports))}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        say(f"interrupted while this was being reported: {facts['headline']}")
    if refused:
        say(refused)
    return COULD_NOT_BE_CHECKED if refused else int(facts["exit_status"])


def _show_scripts(facts: Facts, console: Console) -> None:
    """Print the small case of each pair's first mismatch, where no report keeps it."""
    for pair in facts["pairs"]:
        first = first_mismatch(pair)
        if first and first["reproduction"]:
            saved = "saved beside a report where --html or --json names one"
            console.print(f"\n{pair['name']}: a small case that shows it, as a script ({saved})\n", markup=False, soft_wrap=True)
            script = first["reproduction"]["script"]
            console.print(Syntax(script, "python", theme="ansi_light", background_color="default").highlight(script), soft_wrap=True)
