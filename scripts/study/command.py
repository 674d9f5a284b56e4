"""Functions that the studies' commands share: options, reports, exit statuses, and resumable runs with a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from digits.files import DataError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from training.command_options import at_least
from training.interruption import between_steps

from crosscheck.core.files import NotWritableError
from crosscheck.core.judge import Facts
from crosscheck.report.write import expected_reports, write_json, write_text
from crosscheck.run.cli import UsageError
from crosscheck.run.cli_output import terminal
from study import workers
from study.state import ROOT, State

CANNOT, INTERRUPTED = 2, 130
"""Exit statuses: something could not be measured; Ctrl-C."""
WAYS = ("--jobs", "--state", "--resume", "--json", "--html")
"""Options that do not change what is measured."""
WIDTH = 150
"""The width of tables in characters, if standard output is not a terminal."""


class StoppedError(Exception):
    """Ctrl-C ended the run early; the message says how to continue."""


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Return the parser of a study's command line; ``text``, the docstring of the script, is its description."""
    return argparse.ArgumentParser(prog=name, description=(text or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter)


def add_jobs(options: argparse.ArgumentParser) -> None:
    """Add the option for the number of processes."""
    options.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="processes at a time (default 1)")


def add_files(options: argparse.ArgumentParser, html: bool = True) -> None:
    """Add the options for the reports and for the state file; ``html`` says whether the study has a page for a browser."""
    options.add_argument("--json", type=Path, metavar="FILE", help="also write all results as JSON")
    if html:
        options.add_argument("--html", type=Path, metavar="FILE", help="also write all results as a page, with pictures")
    else:
        options.set_defaults(html=None)
    options.add_argument("--state", type=Path, metavar="FILE", help="write results there as they arrive, so that an interrupted run can be continued")
    options.add_argument("--resume", action="store_true", help="continue from --state if it exists; needs the same options, and gives the same JSON")


def run(name: str, measure: Callable[[], int]) -> int:
    """Run a script's work and return the exit status; an error that ends the script becomes one line on standard error.

    ``measure`` does the work and returns the exit status. It imports frameworks itself, once the options are known to be right.
    """
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the catalogue of faults and the tables of layers are in tests/
    status = CANNOT
    try:
        return measure()
    except ModuleNotFoundError as error:
        words = f"{error.name} is not installed, and the study needs it: pip install -e '.[all]'"
    except (UsageError, DataError, NotWritableError) as error:
        words = str(error)
    except StoppedError as error:
        words, status = f"interrupted; {error}", INTERRUPTED
    except KeyboardInterrupt:
        words, status = "interrupted; with --state FILE and --resume the same command continues from what was kept", INTERRUPTED
    sys.stderr.write(f"{name}: {words}\n")
    return status


def carry_out(function: Callable[[Any], Facts], tasks: Sequence[Any], state: State, here: bool = False, **ways: Any) -> list[Facts]:
    """Carry out the tasks whose results are not in the state, and return the results of all tasks in order; standard error shows the progress.

    Each task has a ``key``, the name of its result in the state. With ``here`` the tasks run in this process; otherwise ``ways`` are more arguments
    of workers.results. After Ctrl-C the state is written and StoppedError is raised.
    """
    left = [task for task in tasks if task.key not in state.results]
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    words = TextColumn("{task.description}", markup=False)
    results = workers.here if here else workers.results
    with between_steps() as interruption, Progress(*columns, words, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("starting", total=len(tasks), completed=len(tasks) - len(left))
        try:
            for task, found in results(
                function, left, stopped=lambda: interruption.wanted, reported=lambda words: progress.update(bar, description=words), **ways
            ):
                state.add(task.key, found)
                progress.update(bar, description=task.key[: WIDTH // 2], advance=1)
        finally:
            state.save()
    if any(task.key not in state.results for task in tasks):
        raise StoppedError(state.how_to_go_on())
    return [state.results[task.key] for task in tasks]


def expect_reports(options: argparse.Namespace) -> None:
    """Make sure before the work begins that the reports can be written."""
    expected_reports(options.html, options.json)


def deliver(facts: Facts, options: argparse.Namespace, show: Callable[[Facts, Console], None], render: Callable[[Facts], str]) -> None:
    """Show facts on standard output, and write the reports that the options name; ``render`` returns the facts as a page."""
    console = terminal()
    if not console.is_terminal:
        console.width = WIDTH
    show(facts, console)
    if options.html:
        write_text(options.html, render(facts))
    if options.json:
        write_json(options.json, facts)
