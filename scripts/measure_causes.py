"""Measure what the search for causes costs: seconds for a mismatch, and for a whole check of a wrong layer beside a check of the right one.

Each common mistake of tests/support/edited/mistakes.py is planted in a right layer. The right layer, the wrong one, and the wrong one with only the
mistakes that are known by name are checked in turn, so that the noise of the machine is the same for all three. The table shows medians. Examples::

    python scripts/measure_causes.py --only LSTM            some of them, in seconds
    python scripts/measure_causes.py --runs 3 --json causes.json
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cost.files import ROOT
from rich.console import Console
from rich.progress import Progress
from study import command
from study.pages import Sheet, table

from crosscheck.causes import Cause, diagnose, divergence, evidence
from crosscheck.checks import Settings
from crosscheck.pairs.pair import Pair
from crosscheck.run.check import check_pair

sys.path.append(str(ROOT))  # the mistakes are among the tests

from tests.support.edited.mistakes import MISTAKES
from tests.support.edited.table import LAYERS

EDIT, BY_NAME, NONE = "an edit", "by name", "none"


@dataclass(frozen=True)
class Row:
    """The figures of one mistake.

    Attributes
    ----------
    name, layer : str
    cause : str
        Whether its cause is an edit of the reference, a mistake that is known by name, or unknown.
    search : float
        Seconds from the first mismatch to its cause.
    right, wrong, by_name : float
        Seconds of all checks of the right layer, of the wrong one, and of the wrong one without the search for edits.
    """

    name: str
    layer: str
    cause: str
    search: float
    right: float
    wrong: float
    by_name: float


def rows(only: str, runs: int) -> Iterator[tuple[int, Row | None]]:
    """Yield the number of mistakes, and then the figures of each."""
    chosen = [one for one in MISTAKES if one.layer and (only in one.name or only in one.layer)]
    yield len(chosen), None
    for mistake in chosen:
        right = LAYERS[mistake.layer]
        plain, silent = Settings(shrink=False), Settings(shrink=False, explain=0)
        found = [(seconds(right.pair(right.layer), plain), seconds(mistake.pair(), plain), seconds(mistake.pair(), silent)) for _ in range(runs)]
        medians = [statistics.median(one[at][0] for one in found) for at in range(3)]
        searched = statistics.median(one[1][1] for one in found)
        yield len(chosen), Row(mistake.name, mistake.layer, found[0][1][2], searched, *medians)


def seconds(pair: Pair, settings: Settings) -> tuple[float, float, str]:
    """Return the seconds of all checks of a pair, those of the search for the cause of its first mismatch, and what kind of cause was found."""
    searches: list[tuple[float, str]] = []

    def timed(*given: Any) -> Cause | None:
        started = time.perf_counter()
        cause = diagnose(*given)
        searches.append((time.perf_counter() - started, NONE if cause is None else EDIT if cause.name.startswith(evidence.EDIT) else BY_NAME))
        return cause

    started = time.perf_counter()
    with mock.patch.object(divergence, "diagnose", timed):
        check_pair(pair, settings)
    first = searches[0] if searches else (0.0, NONE)
    return time.perf_counter() - started, *first


def sheet(found: Sequence[Row]) -> Sheet:
    """Return the figures as a table, and below it the medians and the worst."""
    lines = [(one.name, one.layer, one.cause, *(f"{value:.2f}" for value in figures(one))) for one in found]
    for word, summary in (("median", statistics.median), ("worst", max)):
        lines.append((word, "", "", *(f"{summary([figures(one)[at] for one in found]):.2f}" for at in range(5))))
    headings = ("mistake", "layer", "cause", "search s", "right s", "wrong s", "wrong - right", "wrong, by name s")
    return Sheet("seconds for causes", headings, lines, texts=(0, 1, 2))


def figures(row: Row) -> tuple[float, ...]:
    """Return the figures of a row in the order of the columns."""
    return row.search, row.right, row.wrong, row.wrong - row.right, row.by_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = command.parser("measure_causes.py", __doc__)
    parser.add_argument("--runs", type=int, default=1, help="how often each layer is checked (default 1)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only mistakes whose name or layer contains this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    console = Console() if Console().is_terminal else Console(width=150)
    found: list[Row] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("checking", total=None)
        for count, row in rows(options.only, options.runs):
            progress.update(task, total=count, completed=len(found))
            if row is not None:
                found.append(row)
    if not found:
        parser.error(f"--only {options.only}: no mistake has this in its name or its layer")
    console.print(table(sheet(found)))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
