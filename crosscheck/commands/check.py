"""``crosscheck check``: the pairs of a file, checked one after another."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax

from crosscheck.checking import run_checks, why_not
from crosscheck.checks import Settings
from crosscheck.command import RefusedError
from crosscheck.declaration import Declaration
from crosscheck.files import NotWritableError, expect_writable
from crosscheck.loading import LoadingError, declared
from crosscheck.report.findings import Facts
from crosscheck.report.pair_facts import PairRun, check_facts, collect, first_mismatch, pair_facts
from crosscheck.report.pair_files import SUFFIXES, write
from crosscheck.report.pair_terminal import show
from crosscheck.selection import Selection, SelectionError, full_name, selected


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Check, report; return the exit status."""
    console = Console(highlight=False, file=sys.stdout)
    reports = [path for path in (options.html, options.json) if path is not None]
    try:
        for path in reports:
            expect_writable(path, SUFFIXES)
        selections = selected(_declared(options.files, console), options.only, options.dtype)
    except (LoadingError, SelectionError, NotWritableError) as error:
        raise RefusedError(str(error)) from None
    if options.list:
        for selection in selections:
            for check in selection.checks:
                console.print(full_name(selection.pair, check), markup=False, soft_wrap=True)
        return 0
    settings = Settings(options.seed, options.timeout, not options.no_shrink, tuple(options.dtype))
    asked, left_out = (sum(counts) for counts in zip(*((len(s.checks), s.left_out) for s in selections), strict=True))
    outcome = PairRun(shlex.join(["crosscheck", *arguments]), options.seed, asked, left_out)
    started = time.monotonic()
    pairs = _checked(selections, settings, outcome, _without_selection(options), console)
    outcome.seconds = time.monotonic() - started
    facts = collect(pairs, outcome)
    write(facts, reports)
    show(facts, console)
    if reports:
        console.print(f"\nreport: {' and '.join(map(str, reports))}", markup=False, soft_wrap=True)
    else:
        _show_scripts(facts, console)
    return int(facts["exit_status"])


def _declared(files: Sequence[Path], console: Console) -> list[Declaration]:
    with console.status("importing"):
        pairs = list(chain.from_iterable(declared(path) for path in files))
    titles = [pair.title for pair in pairs]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise LoadingError(f"two of the files declare a pair called {twice[0]!r}; check them one by one, or give one of them another name")
    return pairs


def _checked(selections: Sequence[Selection], settings: Settings, outcome: PairRun, command: str, console: Console) -> list[Facts]:
    """Run every check and return the facts of the pairs; an interruption ends the run and is noted."""
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
    """Return the command line up to what selects the checks: for repeating a single one."""
    seed = [] if not options.seed else ["--seed", str(options.seed)]
    return shlex.join(["crosscheck", "check", *map(str, options.files), *seed])


def _show_scripts(facts: Facts, console: Console) -> None:
    """Print the small case of each pair's first mismatch, where no report keeps it."""
    for pair in facts["pairs"]:
        first = first_mismatch(pair)
        if first and first["reproduction"]:
            console.print(
                f"\n{pair['name']}: a small case that shows it, as a script (saved beside a report where --html or --json names one)\n", markup=False
            )
            console.print(Syntax(first["reproduction"]["script"], "python", theme="ansi_light", background_color="default", word_wrap=True))
