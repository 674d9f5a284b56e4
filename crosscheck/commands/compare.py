"""``crosscheck compare``: one recorded trace judged by another."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence

from crosscheck.command import RefusedError
from crosscheck.commands.delivery import deliver
from crosscheck.commands.output import terminal
from crosscheck.files import NotWritableError
from crosscheck.report.pair_facts import PairRun, collect
from crosscheck.report.pair_files import expected_reports
from crosscheck.traces.comparison import compared
from crosscheck.traces.file import TraceFileError


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Judge, report; return the exit status."""
    started = time.monotonic()
    command = shlex.join(["crosscheck", *arguments])
    try:
        reports = expected_reports(options.html, options.json)
        pairs, seed = compared(options.subject, options.reference, command, options.strict)
    except (TraceFileError, NotWritableError) as error:
        raise RefusedError(str(error)) from None
    outcome = PairRun(command, seed, sum(len(pair["checks"]) for pair in pairs), seconds=time.monotonic() - started)
    return deliver(collect(pairs, outcome), reports, terminal())
