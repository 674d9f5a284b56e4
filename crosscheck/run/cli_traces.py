"""``crosscheck trace`` records the results of the subject or the reference; ``crosscheck compare`` judges the first by the second."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from safetensors import SafetensorError

from crosscheck.checks import Settings
from crosscheck.checks.facts import PairRun, collect
from crosscheck.core.files import NotWritableError, expect_writable
from crosscheck.pairs.load import LoadingError, declared
from crosscheck.references.recorded.file import TraceFile, TraceFileError, write
from crosscheck.report.write import expected_reports
from crosscheck.run.cli import COULD_NOT_BE_CHECKED, UsageError
from crosscheck.run.cli_output import deliver, terminal
from crosscheck.run.compare_traces import compared
from crosscheck.run.record_trace import record
from crosscheck.run.select import selected


def compare(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Compare two traces, report, and return the exit status."""
    started = time.monotonic()
    command = shlex.join(["crosscheck", *arguments])
    try:
        reports = expected_reports(options.html, options.json)
        pairs, seed = compared(options.subject, options.reference, command, options.strict)
    except (TraceFileError, NotWritableError) as error:
        raise UsageError(str(error)) from None
    outcome = PairRun(command, seed, sum(len(pair["checks"]) for pair in pairs), seconds=time.monotonic() - started)
    return deliver(collect(pairs, outcome), reports, terminal())


def trace(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Record the results of the subject or the reference, write the file, and return the exit status."""
    console, notes = terminal(), list[str]()
    try:
        expect_writable(options.out, (".safetensors",))
        selections = selected(declared(options.files[0], notes.append), options.only, options.dtype)
    except (LoadingError, NotWritableError) as error:
        raise UsageError(str(error)) from None
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    settings = Settings(options.seed, options.timeout, False, tuple(options.dtype))
    columns = (SpinnerColumn(), TextColumn("recording {task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        try:
            recorded = record(selections, options.side, settings, lambda name: progress.update(task, description=name))
            _write(recorded, options.out)
        except KeyboardInterrupt:
            doing = progress.tasks[0].description or options.files[0]
            raise UsageError(f"interrupted while recording {doing}; {options.out} was not written") from None
    for recording in recorded.recordings:
        found = recording.error.removeprefix(f"{recording.name}: ") or f"{len(recording.cases):,} cases of {recording.title}"
        console.print(f"{recording.name}: {found}", markup=False, style="yellow" if recording.error else "")
    console.print(f"the {options.side}'s trace is in {options.out}", markup=False, soft_wrap=True)
    return COULD_NOT_BE_CHECKED if any(recording.error for recording in recorded.recordings) else 0


def _write(trace: TraceFile, path: Path) -> None:
    try:
        write(trace, path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot be written ({error})") from None
