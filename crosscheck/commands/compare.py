"""``crosscheck compare``: one recorded trace judged by another."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from crosscheck.command import RefusedError
from crosscheck.files import NotWritableError, expect_writable
from crosscheck.report.pair_facts import PairRun, collect
from crosscheck.report.pair_files import SUFFIXES, write
from crosscheck.report.pair_terminal import show
from crosscheck.traces.comparison import compared
from crosscheck.traces.file import TraceFileError
from crosscheck.traces.reading import read


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Judge, report; return the exit status."""
    console, started = Console(highlight=False, file=sys.stdout), time.monotonic()
    command = shlex.join(["crosscheck", *arguments])
    reports = [path for path in (options.html, options.json) if path is not None]
    try:
        for path in reports:
            expect_writable(path, SUFFIXES)
        pairs = compared(options.subject, options.reference, command)
        seed = read(options.subject).seed
    except (TraceFileError, NotWritableError) as error:
        raise RefusedError(str(error)) from None
    outcome = PairRun(command, seed, sum(len(pair["checks"]) for pair in pairs), seconds=time.monotonic() - started)
    facts = collect(pairs, outcome)
    write(facts, reports)
    show(facts, console)
    if reports:
        console.print(f"\nreport: {' and '.join(map(str, reports))}", markup=False, soft_wrap=True)
    return int(facts["exit_status"])
