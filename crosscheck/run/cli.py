"""The command line: ``crosscheck check FILE``, ``crosscheck trace FILE``, ``crosscheck compare A B``.

A command's module is imported only after its options were found valid.
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
"""The longest time limit in seconds; a timer overflows at much larger values."""

_CHECK_EPILOG = """\
The file says what to check, in a few lines:

    from torch import nn
    from crosscheck import Pair
    from my_code import Linear

    PAIRS = [Pair(Linear(12, 7), nn.Linear(12, 7), shapes=[(3, 12), (1, 12)])]

A Pair holds your code, the layer of a framework that it should agree with, and
the input shapes to try. Every pair at the top level of the file is checked, also
those in lists. You set no tolerance: a difference is wrong if rounding errors
cannot explain it.

Exit status: 0 everything agrees, 1 something differs, 2 something could not be checked.
"""


class UsageError(Exception):
    """The command line cannot be followed; the message says why, and what to do."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="crosscheck",
        description="Check whether hand-written neural-network code is right. Every output, gradient and updated weight is compared with those of "
        "PyTorch, JAX or Keras. Only differences that rounding errors cannot explain count as wrong.",
        epilog="Start with 'crosscheck check FILE.py'; 'crosscheck check --help' shows what such a file looks like. "
        "Exit status: 0 everything agrees, 1 something differs, 2 something could not be checked.",
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
        help="compare your code with a reference",
        description="Compare your code with the references that a Python file pairs it with.",
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE.py", help="a Python file that declares pairs; it is executed")
    _add_selection(check)
    check.add_argument("--list", action="store_true", help="list the names of the selected checks and run none of them")
    check.add_argument(
        "--explain",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="search for the cause of a pair's mismatches for at most this long (default 10), by single edits of the reference; "
        "0 tests only the mistakes that are known by name",
    )
    check.add_argument("--no-shrink", action="store_true", help="do not look for a smaller input that shows the same fault")
    _add_strict(check)
    _add_reports(check)


def _add_trace(commands: Any) -> None:
    trace = commands.add_parser(
        "trace",
        help="record your code's results, or the reference's, in a file",
        description="Record the results of your code, or of the reference, in a safetensors file, on the same inputs that 'crosscheck check' uses. "
        "The reference's file also holds the tolerances. With it, your code can be checked where the reference's framework is not installed: "
        "use crosscheck.recorded(FILE) as the reference of a pair, or record your code as well and run 'crosscheck compare'.",
        epilog="Exit status: 0 everything was recorded, 2 something could not be recorded.",
    )
    trace.add_argument("files", nargs=1, type=Path, metavar="FILE.py", help="a Python file that declares pairs; it is executed")
    trace.add_argument("--side", choices=("subject", "reference"), required=True, help="record your code (subject) or the reference")
    trace.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help="the file to write")
    _add_selection(trace)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare two recorded files",
        description="Compare the recorded results of your code with those of the reference, from two files of 'crosscheck trace' for the same pairs. "
        "This needs neither a framework nor your code.",
        epilog="Exit status: 0 everything agrees, 1 something differs, 2 something could not be compared.",
    )
    compare.add_argument("subject", type=Path, metavar="SUBJECT.safetensors", help="your code's results, from 'crosscheck trace --side subject'")
    compare.add_argument(
        "reference", type=Path, metavar="REFERENCE.safetensors", help="the reference's results, from 'crosscheck trace --side reference'"
    )
    _add_strict(compare)
    _add_reports(compare)


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="run only pairs or checks with a matching name, such as 'linear', 'values-float64-*' or 'linear/contract-*'; may be given several times",
    )
    command.add_argument("--dtype", choices=("float64", "float32"), action="append", default=[], help="run only this precision (default: both)")
    command.add_argument(
        "--seed", type=whole, default=0, help="seed of random inputs, weights and upstream gradients (default 0); the same seed repeats the same run"
    )
    command.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="SECONDS", help="stop a check that takes longer than this (default 60); 0 means no limit"
    )


def _add_strict(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--strict", action="store_true", help="count warnings as mismatches (a warning is a finding that correct code may have, too)"
    )


def _add_reports(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the report as one HTML page; scripts that show each fault are saved beside it"
    )


def whole(text: str) -> int:
    """Read a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value}: expected a whole number of at least 0")
    return value


def seconds(text: str) -> float:
    """Read a number of seconds."""
    value = float(text)
    if not 0 <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds, from 0 to {LONGEST:,}")
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
        say("interrupted before there were results")
    except Exception as error:  # noqa: BLE001 - Python would exit with 1, which means that something differs
        say(_unforeseen(error))
    return COULD_NOT_BE_CHECKED


def say(text: str) -> None:
    """Write one line to standard error."""
    from crosscheck.core.guard import printable  # noqa: PLC0415 - --help does not import NumPy

    # If standard error is closed, the exit status is enough.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"crosscheck: {printable(' '.join(text.split()))}\n")


def _unforeseen(error: Exception) -> str:
    """Return a message with an unforeseen error and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = "".join(traceback.format_exception_only(error))
    return f"stopped by an unforeseen error: {said} ({last.filename}:{last.lineno}, {last.name})"


_COMMANDS = {"check": ("cli_check", "run"), "trace": ("cli_traces", "trace"), "compare": ("cli_traces", "compare")}
"""Module and function of each command; the module is imported on use."""
