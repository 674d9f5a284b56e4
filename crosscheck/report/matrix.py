"""The coverage matrix of a pair: the result for each quantity in each check, so that gaps are visible.

Rows are quantities and columns are checks of values; checks of the same kind and precision form a block. Contracts have no quantities. A cell holds
the worst result over all shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from crosscheck.core.judge import CONTRACT, Facts
from crosscheck.report.words import fraction_in_words, quantity_name

_ORDER = ("mismatch", "undecided", "match", "skipped")


@dataclass(frozen=True)
class Cell:
    """The result for one quantity in one check."""

    verdict: str = "empty"  # the worst verdict of all shapes; ``"empty"`` if the check has no such quantity
    text: str = "-"  # the largest error as a fraction of its tolerance, or a word
    reason: str = ""  # why the quantity was not compared, or what is wrong with it


@dataclass(frozen=True)
class Block:
    """The checks of one kind and precision: columns, and rows of cells."""

    name: str  # the common part of the checks' names: ``values-float64``
    columns: list[str]  # the rest of each check's name
    rows: list[tuple[str, list[Cell]]]


def matrix(pair: Facts) -> list[Block]:
    """Return the blocks of a pair's matrix."""
    values = [check for check in pair["checks"] if not check["check"].startswith(CONTRACT)]
    return [_block(pair, name, list(checks)) for name, checks in groupby(values, key=_kind)]


def _block(pair: Facts, kind: str, checks: Sequence[Facts]) -> Block:
    names = dict.fromkeys(quantity_name(pair, quantity) for check in checks for quantity in check["quantities"]) or {"": None}
    rows = [(name, [_cell(check, [q for q in check["quantities"] if quantity_name(pair, q) == name]) for check in checks]) for name in names]
    return Block(kind, [check["check"].removeprefix(kind).strip("-") for check in checks], rows)


def _kind(check: Facts) -> str:
    """Return a check's name up to and including its precision, such as ``values-float64``."""
    before, _, _ = check["check"].partition(check["dtype"])
    return f"{before}{check['dtype']}" if check["dtype"] else str(check["check"])


def _cell(check: Facts, quantities: Sequence[Facts]) -> Cell:
    if not quantities:
        verdict = check["verdict"]
        return Cell() if verdict == "match" else Cell(verdict, verdict, check["reason"])
    verdict = next(verdict for verdict in _ORDER if any(quantity["verdict"] == verdict for quantity in quantities))
    found = [quantity for quantity in quantities if quantity["verdict"] == verdict]
    reason = next((quantity["reason"] for quantity in found if quantity["reason"]), "")
    if verdict in ("skipped", "undecided"):
        return Cell(verdict, verdict, reason)
    fractions = [quantity["fraction_of_tolerance"] for quantity in found]
    if None in fractions:
        return Cell(verdict, "∞", reason)
    if not max(fractions):
        return Cell(verdict, "wrong" if verdict == "mismatch" else "equal", reason)
    return Cell(verdict, fraction_in_words(max(fractions)), reason)
