"""Measure what it costs to have one's own code checked: lines of adapting code, seconds to a verdict, size of the cases that faults are reduced to.

Runs the README's first file and every example, three times each, and prints medians. The framework is imported before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.load import declared
from crosscheck.run.check import run_checks

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "# --- adapting ---", "# --- end ---"


@dataclass(frozen=True)
class Row:
    """What was measured of one file.

    Attributes
    ----------
    adapting_lines : int or None
        Lines between the markers, blank ones left out; None for a file without markers.
    seconds : float
        From the first check of the first pair to the last of the last one; the median of the runs.
    seconds_a_pair : float
        The slowest pair's; the median of the runs.
    small_cases : list of int
        Input elements of each case that a fault was reduced to.
    """

    name: str
    adapting_lines: int | None
    pairs: int
    checks: int
    quantities: int
    seconds: float
    seconds_a_pair: float
    small_cases: list[int]


def adapting_lines(path: Path) -> int | None:
    """Return how many lines of a file adapt its code to the harness."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if BEGIN not in lines:
        return None
    return sum(bool(line) for line in lines[lines.index(BEGIN) + 1 : lines.index(END)])


def checked(pairs: Sequence[Declaration]) -> tuple[list[float], list[CheckResult]]:
    """Return the seconds that each pair took, and all results."""
    seconds, results = [], []
    for pair in pairs:
        started = time.perf_counter()
        results += [result for _, result, _ in run_checks(pair, checks_of(pair), Settings())]
        seconds.append(time.perf_counter() - started)
    return seconds, results


def measured(name: str, path: Path, runs: int) -> Row:
    """Return the medians of a file over several runs, each of which makes its pairs anew."""
    totals, slowest, results = [], [], list[CheckResult]()
    pairs: list[Declaration] = []
    for _ in range(runs):
        pairs = declared(path)
        seconds, results = checked(pairs)
        totals.append(sum(seconds))
        slowest.append(max(seconds))
    quantities = sum(len(result.judgements) for result in results)
    small = [result.reproduction.elements for result in results if result.reproduction is not None]
    return Row(name, adapting_lines(path), len(pairs), len(results), quantities, statistics.median(totals), statistics.median(slowest), small)


def first_file(folder: Path) -> Path:
    """Return the README's first file of pairs, written into a folder."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own code")[2]
    found = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert found is not None
    path = folder / "mine.py"
    path.write_text(found[1], encoding="utf-8")
    return path


def table(rows: Sequence[Row]) -> Table:
    """Return the rows for the terminal."""
    title = "medians; lines: adapting code; elements: input elements of the cases that faults were reduced to, median and largest"
    result = Table(title=title, title_justify="left")
    for heading in ("file", "lines", "pairs", "checks", "seconds", "slowest pair", "elements"):
        result.add_column(heading, justify="left" if heading == "file" else "right", no_wrap=True)
    for row in rows:
        lines = "-" if row.adapting_lines is None else str(row.adapting_lines)
        small = f"{statistics.median(row.small_cases):g}, {max(row.small_cases)}" if row.small_cases else "-"
        result.add_row(row.name, lines, str(row.pairs), str(row.checks), f"{row.seconds:.2f}", f"{row.seconds_a_pair:.2f}", small)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often each file is checked (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    options = parser.parse_args(arguments)
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120)
    with console.status("importing PyTorch") as status, tempfile.TemporaryDirectory() as folder:
        import torch

        torch.set_num_threads(1)  # the arrays of a check are far too small for more
        files = [
            ("README: mine.py", first_file(Path(folder))),
            *((f"examples/{path.name}", path) for path in sorted((ROOT / "examples").glob("*.py"))),
        ]
        rows = []
        for name, path in files:
            status.update(f"checking {name}")
            rows.append(measured(name, path, options.runs))
    console.print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
