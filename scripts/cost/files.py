"""Measure the cost of checking the README's first file and the examples: lines of adapting code, seconds, size of the small cases."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.pages import Sheet

from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.load import declared
from crosscheck.run.check import run_checks

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "# --- adapting ---", "# --- end ---"


@dataclass(frozen=True)
class Row:
    """The figures of one file."""

    name: str
    adapting_lines: int | None  # lines between the markers without blank ones; None for a file without markers
    pairs: int
    checks: int
    quantities: int
    seconds: float  # of all checks of all pairs; the median of the runs
    seconds_a_pair: float  # of the slowest pair; the median of the runs
    small_cases: list[int]  # input elements of each small case of a fault


def adapting_lines(path: Path) -> int | None:
    """Return how many lines of a file adapt its code to crosscheck."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if BEGIN not in lines:
        return None
    return sum(bool(line) for line in lines[lines.index(BEGIN) + 1 : lines.index(END)])


def checked(pairs: Sequence[Declaration]) -> tuple[list[float], list[CheckResult]]:
    """Run all checks of pairs; return the seconds that each pair took, and all results."""
    seconds, results = [], []
    for pair in pairs:
        started = time.perf_counter()
        results += [result for _, result, _ in run_checks(pair, checks_of(pair), Settings())]
        seconds.append(time.perf_counter() - started)
    return seconds, results


def measured(name: str, path: Path, runs: int) -> Row:
    """Check a file's pairs several times and return the medians; each run makes the pairs again."""
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
    """Write the README's first file of pairs into a folder and return its path."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own code")[2]
    found = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert found is not None
    path = folder / "mine.py"
    path.write_text(found[1], encoding="utf-8")
    return path


def sheet(rows: Sequence[Row]) -> Sheet:
    """Return the rows as a table."""
    title = "medians; lines: adapting code; elements: input elements of the small cases of faults, median and largest"
    cells = []
    for row in rows:
        lines = "-" if row.adapting_lines is None else str(row.adapting_lines)
        small = f"{statistics.median(row.small_cases):g}, {max(row.small_cases)}" if row.small_cases else "-"
        cells.append((row.name, lines, str(row.pairs), str(row.checks), f"{row.seconds:.2f}", f"{row.seconds_a_pair:.2f}", small))
    return Sheet(title, ("file", "lines", "pairs", "checks", "seconds", "slowest pair", "elements"), cells)
