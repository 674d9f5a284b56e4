"""The command: ``crosscheck check FILE``, ``crosscheck trace FILE``, ``crosscheck compare A B``.

This module reads the command line; the module of a command is imported once its options are known to be right.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosscheck.core import __version__

COULD_NOT_BE_CHECKED = 2

LONGEST = 1_000_000
"""The longest time limit in seconds: a timer that is set for much longer overflows."""

_CHECK_EPILOG = """\
A file declares what is to be checked, in a few lines:

    from torch import nn
    from crosscheck import Pair
    from my_code import Linear

    PAIRS = [Pair(Linear(12, 7), nn.Linear(12, 7), shapes=[(3, 12), (1, 12)])]

Every pair at the top level of the file is checked, alone or in lists. No tolerance is to be chosen: whatever rounding can explain is right.

Exit status: 0 everything agrees, 1 something differs, 2 something could not be checked.
"""


class UsageError(Exception):
    """The command line asks for something impossible; the message says why, and what to do."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="crosscheck",
        description="Says whether a hand-written neural network is right: every output, gradient and updated weight beside a reference framework's, "
        "with tolerances that follow from the theory of rounding errors.",
        epilog="Begin with 'crosscheck check FILE.py'; 'crosscheck check --help' shows what such a file looks like. "
        "Exit status: 0 agrees, 1 differs, 2 could not be checked.",
    )
    result.add_argument("--version", action="store_true", help="print the version and exit")
    commands = result.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_check(commands)
    _add_trace(commands)
    _add_compare(commands)
    return result


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check the pairs that a file declares",
        description="Check the pairs of subject and reference that Python files declare.",
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE.py", help="a file that declares pairs; it is executed")
    _add_selection(check)
    check.add_argument("--list", action="store_true", help="list the checks that would be run, and run none")
    check.add_argument("--no-shrink", action="store_true", help="do not look for a small case that shows the same fault")
    _add_strict(check)
    _add_reports(check)


def _add_trace(commands: Any) -> None:
    trace = commands.add_parser(
        "trace",
        help="record what one side of the pairs computes",
        description="Record what one side of the pairs in a file computes, on the inputs that 'crosscheck check' would give it, "
        "as a safetensors file. A reference's trace holds the tolerances, too: with crosscheck.recorded(FILE) in its place, "
        "or with 'crosscheck compare', a subject is judged where the reference's framework is not installed.",
        epilog="Exit status: 0 everything was recorded, 2 something could not be recorded.",
    )
    trace.add_argument("files", nargs=1, type=Path, metavar="FILE.py", help="a file that declares pairs; it is executed")
    trace.add_argument("--side", choices=("subject", "reference"), required=True, help="which side to record")
    trace.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help="the file to write")
    _add_selection(trace)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="judge one recorded trace by another",
        description="Judge what a subject's trace recorded by a reference's trace of the same pairs. "
        "No framework is needed, and none of the subject's code.",
        epilog="Exit status: 0 everything agrees, 1 something differs, 2 something could not be compared.",
    )
    compare.add_argument("subject", type=Path, metavar="SUBJECT.safetensors", help="from 'crosscheck trace --side subject'")
    compare.add_argument("reference", type=Path, metavar="REFERENCE.safetensors", help="from 'crosscheck trace --side reference'")
    _add_strict(compare)
    _add_reports(compare)


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only pairs or checks whose name matches, such as 'linear', 'values-float64-*' or 'linear/contract-*'; may be given several times",
    )
    command.add_argument("--dtype", choices=("float64", "float32"), action="append", default=[], help="only this precision; both if left out")
    command.add_argument("--seed", type=whole, default=0, help="of inputs, weights and cotangents (default 0); the same seed gives the same result")
    command.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="SECONDS", help="give a check up after so long (default 60); 0 for no limit"
    )


def _add_strict(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--strict", action="store_true", help="let warnings count as mismatches; without it, a contract that right code breaks as well only warns"
    )


def _add_reports(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, metavar="FILE", help="write the facts as JSON, too")
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="write the report as one HTML file, too; small cases are saved beside it as scripts"
    )


def whole(text: str) -> int:
    """Read a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value}: expected a whole number of at least 0")
    return value


def seconds(text: str) -> float:
    """Read a time limit."""
    value = float(text)
    if not 0 <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds of at most {LONGEST:,}, or 0 for no limit")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    read = parser()
    options = read.parse_args(arguments)
    if options.version:
        sys.stdout.write(f"crosscheck {__version__}\n")
        return 0
    if options.command is None:
        read.print_help()
        return COULD_NOT_BE_CHECKED
    try:
        module, function = _COMMANDS[options.command]
        return int(getattr(importlib.import_module(f"crosscheck.run.{module}"), function)(options, arguments))
    except UsageError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("interrupted before there was anything to report")
    except Exception as error:  # noqa: BLE001 - 1, which Python would end with, means that something differs
        say(_unforeseen(error))
    return COULD_NOT_BE_CHECKED


def say(text: str) -> None:
    """Write one line where errors are written."""
    from crosscheck.core.guard import printable  # noqa: PLC0415 - asking for help waits for no NumPy

    # A stream that was closed has no reader, and the exit status says enough.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"crosscheck: {printable(' '.join(text.split()))}\n")


def _unforeseen(error: Exception) -> str:
    """Return in words which unforeseen error occurred, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = "".join(traceback.format_exception_only(error))
    return f"could not go on: {said} ({last.filename}:{last.lineno}, {last.name})"


_COMMANDS = {"check": ("cli_check", "run"), "trace": ("cli_traces", "trace"), "compare": ("cli_traces", "compare")}
"""By the command's name: the module, which is imported on use, and the function."""
