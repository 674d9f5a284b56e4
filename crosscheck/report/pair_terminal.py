"""Checked pairs as a text for the terminal: the verdict of each, and of what does not match place, size, cause and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from crosscheck.checks.check import CONTRACT
from crosscheck.report.findings import Facts, fraction_in_words
from crosscheck.report.pair_facts import first_mismatch
from crosscheck.report.pair_words import check_rows, mismatch_rows, pair_line, quantity_name, reproduce_rows
from crosscheck.report.terminal import COLOURS, grid


def show(facts: Facts, console: Console) -> None:
    """Print the report."""
    console.print(Group(*_parts(facts)))


def _parts(facts: Facts) -> Iterator[RenderableType]:
    yield Text(facts["headline"], style=f"bold {COLOURS[facts['verdict']]}")
    for pair in facts["pairs"]:
        yield Text()
        yield from _pair(pair)


def _pair(pair: Facts) -> Iterator[RenderableType]:
    verdict = Text(pair["verdict"].upper(), style=f"bold {COLOURS[pair['verdict']]}")
    yield verdict + Text(f"  {pair['name']}", style="bold") + Text(f"  {pair_line(pair)}", style="not bold")
    rows = [("inferred", text) for text in pair["inferred"]]
    if (first := first_mismatch(pair)) is not None:
        rows += mismatch_rows(pair, first)
    for check in pair["checks"]:
        if check["counted"] not in ("match", "mismatch") and not _is_moot(check):
            rows += _passed_over(check)
    if moot := [check["check"].removeprefix(CONTRACT) for check in pair["checks"] if _is_moot(check)]:
        rows.append(("not applicable", f"{len(moot)} {'contract' if len(moot) == 1 else 'contracts'}: {', '.join(moot)}"))
    if largest := largest_fraction(pair):
        rows.append(("largest error", largest))
    yield Padding(grid(rows), (0, 0, 0, 2))


def _is_moot(check: Facts) -> bool:
    """Return whether a check is a contract that says nothing about this subject."""
    return bool(check["check"].startswith(CONTRACT) and check["verdict"] == "skipped")


def _passed_over(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield why a check did not match, short."""
    if check["expected_difference"]:
        yield "expected", f"{check['check']}: {check['expected_difference']}"
    elif check["verdict"] == "skipped":
        yield "skipped", f"{check['check']}: {check['reason']}"
    else:
        yield "undecided", f"{check['check']}: " + "; ".join(text for _, text in check_rows(check))
        yield from reproduce_rows(check)


def largest_fraction(pair: Facts) -> str:
    """Return the largest error of those that rounding explains, in words; empty where nothing was compared or everything is equal."""
    matching = [q for check in pair["checks"] for q in check["quantities"] if q["verdict"] == "match" and q["fraction_of_tolerance"]]
    if not matching:
        return ""
    worst = max(matching, key=lambda quantity: quantity["fraction_of_tolerance"])
    return f"{fraction_in_words(worst['fraction_of_tolerance'])} of its tolerance: {quantity_name(pair, worst)}, {worst['shape']}"
