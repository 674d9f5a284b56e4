"""Facts to where they were asked for: the terminal, and a page and a file for machines where these are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from crosscheck.core.judge import Facts
from crosscheck.report.write import write_json, write_text
from crosscheck.run.cli_output import terminal


def deliver(
    facts: Facts, show: Callable[[Facts, Console], None], render: Callable[[Facts], str], html: Path | None, json: Path | None, width: int
) -> None:
    """Show facts on standard output and write them.

    Parameters
    ----------
    facts : dict
    show, render : callable
        How they look in a terminal, and as a page.
    html, json : Path, optional
    width : int
        Columns where standard output is no terminal.
    """
    console = terminal()
    if not console.is_terminal:
        console.width = width
    show(facts, console)
    if html:
        write_text(html, render(facts))
    if json:
        write_json(json, facts)
