"""The tests' two tables as one list of rows for the coverage matrix; importing this imports every framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

import scratch
from crosscheck.references.jax import optimizers as jax_optimizers
from crosscheck.references.keras import oracle as keras
from crosscheck.references.pytorch import oracle as pytorch
from study.coverage.matrix import Key
from tests.support import cases, layer_runs, optimizer_cases, optimizer_runs
from tests.support.findings import Finding

torch.set_num_threads(1)  # the arrays of a check are far too small for more

ELSEWHERE = cases.ELSEWHERE
"""Layers that have no row, and where they are judged."""

NAMES = {"torch": pytorch.NAME, "jax": jax_optimizers.NAME, "keras": keras.NAME}
"""The version of each reference."""

COLUMNS: list[Key] = [(reference, dtype) for reference in layer_runs.REFERENCES for dtype in layer_runs.DTYPES]


class UnknownRowError(ValueError):
    """Nothing has the name that was asked for."""


@dataclass(frozen=True)
class TableRow:
    """A row of either table.

    Attributes
    ----------
    name : str
        As it stands in the ids of tests.
    subject : str
        The class of the layer or optimizer.
    quantities : tuple of str
    findings : callable
        Gets the name, yields everything that is found.
    """

    name: str
    subject: str
    quantities: tuple[str, ...]
    findings: Callable[[str], Iterator[Finding]]

    def matches(self, pattern: str) -> bool:
        """Return whether a pattern names the row or its layer or optimizer."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for name in (self.name, self.subject))


def table() -> list[TableRow]:
    """Return all rows: layers, then optimizers."""
    layers = [TableRow(name, type(layer_runs.made(name)).__name__, layer_runs.quantities_of(name), layer_runs.findings) for name in cases.CASES]
    optimizers = [
        TableRow(name, row.kind.__name__, optimizer_runs.quantities_of(name), optimizer_runs.findings)
        for name, row in optimizer_cases.OPTIMIZERS.items()
    ]
    return layers + optimizers


def selected(only: str) -> list[TableRow]:
    """Return the rows that a pattern names; all of them where it is empty.

    Raises
    ------
    UnknownRowError
        If it names none.
    """
    rows = table()
    found = [row for row in rows if not only or row.matches(only)]
    if not found:
        known = ", ".join(dict.fromkeys(row.subject for row in rows))
        raise UnknownRowError(
            f"--only {only}: no layer, optimizer or row of tests/support/cases.py and tests/support/optimizer_cases.py; there are {known}"
        )
    return found


def quantities(rows: Iterable[TableRow], everything: bool) -> list[tuple[str, str]]:
    """Return (layer or optimizer, quantity) for all that there is to compare, in the order of the rows.

    Parameters
    ----------
    rows : iterable of TableRow
    everything : bool
        Whether what scratch exports and no row is of belongs to it: its output, which nobody compares.
    """
    places = list(dict.fromkeys((row.subject, quantity) for row in rows for quantity in row.quantities))
    if everything:
        exported = [name for name in scratch.__all__ if name not in ("Layer", "Optimizer", *ELSEWHERE)]
        places += [(name, "output") for name in exported if name not in dict(places)]
    order = list(dict.fromkeys(subject for subject, _ in places))
    return sorted(places, key=lambda place: order.index(place[0]))
