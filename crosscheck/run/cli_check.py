"""``crosscheck check``: check the pairs of files one after another."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crosscheck.checks import Settings
from crosscheck.checks.facts import PairRun, check_facts, collect, pair_facts
from crosscheck.core.files import NotWritableError
from crosscheck.core.judge import Facts
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.load import LoadingError, declared
from crosscheck.report.write import expected_reports
from crosscheck.run.check import run_checks, why_not
from crosscheck.run.cli import UsageError
from crosscheck.run.cli_output import deliver, terminal
from crosscheck.run.select import Selection, full_name, selected


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Check the pairs, report, and return the exit status."""
    console = terminal()
    try:
        reports = expected_reports(options.html, options.json)
        selections = selected(_declared(options.files, console), options.only, options.dtype)
    except (LoadingError, NotWritableError) as error:
        raise UsageError(str(error)) from None
    if options.list:
        for selection in selections:
            for check in selection.checks:
                console.print(full_name(selection.pair, check), markup=False, soft_wrap=True)
        return 0
    settings = Settings(options.seed, options.timeout, not options.no_shrink, tuple(options.dtype), options.strict, options.explain)
    asked, left_out = (sum(counts) for counts in zip(*((len(s.checks), s.left_out) for s in selections), strict=True))
    outcome = PairRun(shlex.join(["crosscheck", *arguments]), options.seed, asked, left_out)
    started = time.monotonic()
    pairs = _checked(selections, settings, outcome, _without_selection(options), console)
    outcome.seconds = time.monotonic() - started
    return deliver(collect(pairs, outcome), reports, console)


def _declared(files: Sequence[Path], console: Console) -> list[Declaration]:
    notes: list[str] = []
    with console.status("importing"):
        pairs = list(chain.from_iterable(declared(path, notes.append) for path in files))
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    titles = [pair.title for pair in pairs]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise LoadingError(f"two of the files declare a pair called {twice[0]!r}; check the files one by one, or give one of the pairs another name")
    return pairs


def _checked(selections: Sequence[Selection], settings: Settings, outcome: PairRun, command: str, console: Console) -> list[Facts]:
    """Run every check and return the facts of the pairs; an interruption ends the run and is recorded in ``outcome``."""
    pairs: list[Facts] = []
    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=outcome.asked)
        try:
            for selection in selections:
                progress.update(task, description=selection.pair.title)
                error = why_not(selection.pair, settings)
                pairs.append(pair_facts(selection.pair, error))
                if error:
                    outcome.asked -= len(selection.checks)
                    continue
                for check, result, seconds in run_checks(selection.pair, selection.checks, settings):
                    reproduce = f"{command} --only {shlex.quote(full_name(selection.pair, check))}"
                    pairs[-1]["checks"].append(check_facts(check, result, reproduce, seconds))
                    progress.advance(task)
        except KeyboardInterrupt:
            outcome.interrupted = True
    return pairs


def _without_selection(options: argparse.Namespace) -> str:
    """Return the command line without the selection of checks, for commands that repeat a single check."""
    seed = [] if not options.seed else ["--seed", str(options.seed)]
    return shlex.join(["crosscheck", "check", *map(str, options.files), *seed, *(["--strict"] if options.strict else [])])
