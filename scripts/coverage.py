"""Print the coverage matrix: every layer and optimizer of scratch/ beside PyTorch, JAX and Keras, in both precisions, on all families of inputs.

It runs the tables that the tests run, tests/support/cases.py and tests/support/optimizer_cases.py. A cell holds the largest error of any run as a
fraction of its tolerance (below 1, rounding explains it), or "equal". A number in brackets leads to a reason below the table: why runs were not
compared there, or differ as they are declared to. A cell that is empty without a reason, because a reference has no entry for a layer, is a hole.

What the exit status says::

    0  every cell is filled, or has its reason
    1  something differs, or there is a hole
    2  something could not be decided, or not be run

How to call it::

    python scripts/coverage.py --jobs 2                 all of it: a few minutes
    python scripts/coverage.py --only BatchNorm2d       one layer
    python scripts/coverage.py --only 'conv2d-same*'    some rows of a table
    python scripts/coverage.py --html coverage.html --json coverage.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from study.coverage.delivery import deliver
from study.coverage.matrix import Matrix, matrix
from study.coverage.pages import facts_of, render, show

from crosscheck.core.files import NotWritableError
from crosscheck.report.write import expected_reports

if TYPE_CHECKING:
    from study.coverage.rows import TableRow

    from tests.support.findings import Finding

ROOT = Path(__file__).resolve().parent.parent
CANNOT = 2
_INTERRUPTED = 130
WIDTH = 132
"""Columns of the table where no terminal has a width of its own."""


def measured(only: str, jobs: int = 1) -> Matrix:
    """Run the rows that a pattern names, all of them where it is empty, in so many processes, and return their matrix."""
    from study.coverage.rows import COLUMNS, quantities, selected  # noqa: PLC0415 - frameworks are imported once the options are known to be right

    rows = selected(only)
    return matrix(COLUMNS, quantities(rows, everything=not only), _run(rows, jobs))


def _run(rows: Sequence[TableRow], jobs: int) -> Iterator[Finding]:
    """Run all rows, and show on standard error how far that is."""
    parts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*parts, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(rows[0].name, total=len(rows))
        for row, found in zip(rows, _found(rows, min(jobs, len(rows))), strict=True):
            yield from found
            progress.update(task, description=row.name, advance=1)


def _found(rows: Sequence[TableRow], jobs: int) -> Iterator[list[Finding]]:
    """Yield what is found of each row, in their order."""
    if jobs == 1:
        yield from map(_of, rows)
        return
    # New processes: a copy of one in which JAX runs its threads may stand still.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_of, rows)


def _of(row: TableRow) -> list[Finding]:
    return list(row.findings(row.name))


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; expected 1 or more")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="coverage.py", description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME", help="a layer, an optimizer or a row of a table; * and ? stand for any letters")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes to run the rows in (default 1)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the matrix as a page of its own, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the matrix for machines, too")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    started = time.monotonic()
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the tables are in tests/
    try:
        expected_reports(options.html, options.json)
        found = measured(options.only, options.jobs)
    except NotWritableError as error:
        return _refused(str(error))
    except ModuleNotFoundError as error:
        return _refused(f"{error.name} is not installed, which the matrix needs beside all references: pip install -e '.[all]'")
    except ValueError as error:
        if type(error).__name__ != "UnknownRowError":
            raise
        return _refused(str(error))
    except KeyboardInterrupt:
        print("coverage.py: interrupted, nothing was written", file=sys.stderr)  # noqa: T201
        return _INTERRUPTED
    from study.coverage.rows import ELSEWHERE, NAMES  # noqa: PLC0415 - as above

    command = shlex.join(["python", "scripts/coverage.py", *given])
    facts = facts_of(found, NAMES, {} if options.only else ELSEWHERE, command, time.monotonic() - started)
    deliver(facts, show, render, options.html, options.json, WIDTH)
    return found.status


def _refused(reason: str) -> int:
    print(f"coverage.py: {reason}", file=sys.stderr)  # noqa: T201
    return CANNOT


if __name__ == "__main__":
    sys.exit(main())
