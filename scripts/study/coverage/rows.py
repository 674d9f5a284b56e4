"""The tests' tables of layers and of optimizers as rows of the coverage matrix, and their runs. Importing this module imports every framework."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

import scratch
from crosscheck.core.judge import Facts, Verdict
from crosscheck.references.jax import optimizers as jax_optimizers
from crosscheck.references.keras import oracle as keras
from crosscheck.references.pytorch import oracle as pytorch
from crosscheck.run.cli import UsageError
from study import command
from study.coverage.matrix import Key, Matrix, matrix
from study.state import fingerprint, opened
from study.workers import FAILED
from tests.support import cases, layer_runs, optimizer_cases, optimizer_runs
from tests.support.findings import Finding

torch.set_num_threads(1)  # the arrays of a check are far too small for more

ELSEWHERE = cases.ELSEWHERE
"""For each layer without a row, where it is judged."""

NAMES = {"torch": pytorch.NAME, "jax": jax_optimizers.NAME, "keras": keras.NAME}
"""The version of each reference."""

COLUMNS: list[Key] = [(reference, dtype) for reference in layer_runs.REFERENCES for dtype in layer_runs.DTYPES]


@dataclass(frozen=True)
class TableRow:
    """A row of the table of layers or of the table of optimizers."""

    name: str  # the row's name, which is also part of the ids of tests
    subject: str  # the class of the layer or optimizer
    quantities: tuple[str, ...]
    findings: Callable[[str], Iterator[Finding]]  # yields all findings of the row with this name

    @property
    def key(self) -> str:
        """The name of the row's result."""
        return self.name

    def matches(self, pattern: str) -> bool:
        """Return whether a pattern matches the name of the row, or of its layer or optimizer."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for name in (self.name, self.subject))


def table() -> list[TableRow]:
    """Return all rows: first the layers, then the optimizers."""
    layers = [TableRow(name, type(layer_runs.made(name)).__name__, layer_runs.quantities_of(name), layer_runs.findings) for name in cases.CASES]
    optimizers = [
        TableRow(name, row.kind.__name__, optimizer_runs.quantities_of(name), optimizer_runs.findings)
        for name, row in optimizer_cases.OPTIMIZERS.items()
    ]
    return layers + optimizers


def selected(only: Sequence[str]) -> list[TableRow]:
    """Return the rows that match at least one pattern, or all rows without a pattern; raise UsageError if a pattern matches no row."""
    rows = table()
    for pattern in only:
        if not any(row.matches(pattern) for row in rows):
            known = ", ".join(dict.fromkeys(row.subject for row in rows))
            raise UsageError(
                f"--only {pattern}: no layer, optimizer or row of tests/support/cases.py and tests/support/optimizer_cases.py; there are {known}"
            )
    return [row for row in rows if not only or any(row.matches(pattern) for pattern in only)]


def quantities(rows: Iterable[TableRow], everything: bool) -> list[tuple[str, str]]:
    """Return (layer or optimizer, quantity) for everything that can be compared, in the order of the rows.

    ``everything`` adds the output of each class that scratch exports without a row; its cells are holes.
    """
    places = list(dict.fromkeys((row.subject, quantity) for row in rows for quantity in row.quantities))
    if everything:
        exported = [name for name in scratch.__all__ if name not in ("Layer", "Optimizer", *ELSEWHERE)]
        places += [(name, "output") for name in exported if name not in dict(places)]
    order = list(dict.fromkeys(subject for subject, _ in places))
    return sorted(places, key=lambda place: order.index(place[0]))


def run(row: TableRow) -> Facts:
    """Return the findings of a row as plain data."""
    return {"findings": [plain(finding) for finding in row.findings(row.name)]}


def plain(finding: Finding) -> Facts:
    """Return a finding as plain data: its place in the matrix, its outcome, and the words about it in the cell."""
    judgement, outcome, words = finding.judgement, "match", ""
    if judgement is None:
        outcome, words = "hole", finding.hole
    elif finding.wrong:
        outcome, words = "undecided" if judgement.verdict is Verdict.UNDECIDED else "wrong", f"{finding.run}: {finding.wrong}"
    elif finding.declared is not None:
        outcome, words = "declared", finding.declared.reason
    fraction = judgement.fraction if judgement is not None and outcome == "match" else 0.0
    place = {"row": [finding.subject, finding.quantity], "column": [finding.reference, finding.dtype]}
    return {**place, "outcome": outcome, "words": words, "fraction": fraction}


def measured(options: argparse.Namespace) -> Matrix:
    """Run the rows that the options select and return the matrix; raise UsageError if a row could not be run."""
    rows = selected(options.only)
    state = opened(options.state, options.resume, {"only": options.only, "versions": NAMES, "code": fingerprint()})
    results = command.carry_out(run, rows, state, here=options.jobs == 1, jobs=options.jobs)
    if failed := [f"{row.name}: {result[FAILED]}" for row, result in zip(rows, results, strict=True) if FAILED in result]:
        raise UsageError("; ".join(failed))
    return matrix(COLUMNS, quantities(rows, everything=not options.only), (finding for result in results for finding in result["findings"]))
