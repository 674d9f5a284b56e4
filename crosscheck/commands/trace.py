"""``crosscheck trace``: what one side of the pairs of a file computes, recorded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from safetensors import SafetensorError

from crosscheck.checks import Settings
from crosscheck.command import COULD_NOT_BE_CHECKED, RefusedError
from crosscheck.commands.output import terminal
from crosscheck.files import NotWritableError, expect_writable
from crosscheck.loading import LoadingError, declared
from crosscheck.selection import SelectionError, selected
from crosscheck.traces.file import TraceFile, write
from crosscheck.traces.record import record


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Record, write; return the exit status."""
    console, notes = terminal(), list[str]()
    try:
        expect_writable(options.out, (".safetensors",))
        selections = selected(declared(options.files[0], notes.append), options.only, options.dtype)
    except (LoadingError, SelectionError, NotWritableError) as error:
        raise RefusedError(str(error)) from None
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    settings = Settings(options.seed, options.timeout, False, tuple(options.dtype))
    columns = (SpinnerColumn(), TextColumn("recording {task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        try:
            trace = record(selections, options.side, settings, lambda name: progress.update(task, description=name))
            _write(trace, options.out)
        except KeyboardInterrupt:
            doing = progress.tasks[0].description or options.files[0]
            raise RefusedError(f"interrupted while recording {doing}; {options.out} was not written") from None
    for recording in trace.recordings:
        found = recording.error or f"{len(recording.cases):,} cases of {recording.title}"
        console.print(f"{recording.name}: {found}", markup=False, style="yellow" if recording.error else "")
    console.print(f"the {options.side}'s trace is in {options.out}", markup=False, soft_wrap=True)
    return COULD_NOT_BE_CHECKED if any(recording.error for recording in trace.recordings) else 0


def _write(trace: TraceFile, path: Path) -> None:
    try:
        write(trace, path)
    except (OSError, SafetensorError) as error:
        raise RefusedError(f"{path}: cannot be written ({error})") from None
