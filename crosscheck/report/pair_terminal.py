"""Checked pairs as a text for the terminal: the verdict of each, and of what does not match place, size, cause and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from crosscheck.checks.check import CONTRACT
from crosscheck.report.findings import Facts, fraction_in_words
from crosscheck.report.pair_facts import first_mismatch, warnings
from crosscheck.report.pair_words import check_rows, folded, mismatch_rows, pair_line, quantity_name, reproduce_rows, witness_rows
from crosscheck.report.terminal import COLOURS, grid


def show(facts: Facts, console: Console) -> None:
    """Print the report."""
    for part in _parts(facts):
        # A line that is copied must not be broken: the terminal itself wraps it.
        console.print(part, soft_wrap=isinstance(part, Text))


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
    rows += (("warning", text) for text in folded((check["check"], check["reason"]) for check in warnings(pair)))
    passed_over = [check for check in pair["checks"] if check["counted"] not in ("match", "mismatch") and not _is_moot(check)]
    rows += _passed_over(passed_over)
    if moot := [check["check"].removeprefix(CONTRACT) for check in pair["checks"] if _is_moot(check)]:
        rows.append(("not applicable", f"{len(moot)} {'contract' if len(moot) == 1 else 'contracts'}: {', '.join(moot)}"))
    rows += witness_rows(pair)
    if largest := largest_fraction(pair):
        rows.append(("largest error", largest))
    yield Padding(grid(row for row in rows if row[0] not in _TO_COPY), (0, 0, 0, 2))
    width = max((len(name) for name, _ in rows), default=0) + 2
    yield from (Text(f"  {name:<{width}}", style="bold") + Text(text, style="not bold") for name, text in rows if name in _TO_COPY)


_TO_COPY = ("reproduce", "small case")
"""What is there to be copied as it stands: lines of their own."""


def _is_moot(check: Facts) -> bool:
    """Return whether a check is a contract that says nothing about this subject."""
    return bool(check["check"].startswith(CONTRACT) and check["verdict"] == "skipped")


def _passed_over(checks: Sequence[Facts]) -> Iterator[tuple[str, str]]:
    """Yield why checks did not match, short: those of one reason together, and how to repeat the first of them."""
    expected = [(check["check"], check["expected_difference"]) for check in checks if check["expected_difference"]]
    skipped = [(check["check"], check["reason"]) for check in checks if check["verdict"] == "skipped" and not check["expected_difference"]]
    undecided = [check for check in checks if check["verdict"] != "skipped" and not check["expected_difference"]]
    reasons = {check["check"]: "; ".join(text for _, text in check_rows(check)) for check in undecided}
    yield from (("expected", text) for text in folded(expected))
    yield from (("skipped", text) for text in folded(skipped))
    yield from (("undecided", text) for text in folded(reasons.items()))
    first = {reasons[check["check"]]: check for check in reversed(undecided)}
    yield from (row for check in undecided if first[reasons[check["check"]]] is check for row in reproduce_rows(check))


def largest_fraction(pair: Facts) -> str:
    """Return the largest error of those that rounding explains, in words; empty where nothing was compared or everything is equal."""
    matching = [q for check in pair["checks"] for q in check["quantities"] if q["verdict"] == "match" and q["fraction_of_tolerance"]]
    if not matching:
        return ""
    worst = max(matching, key=lambda quantity: quantity["fraction_of_tolerance"])
    return f"{fraction_in_words(worst['fraction_of_tolerance'])} of its tolerance: {quantity_name(pair, worst)}, {worst['shape']}"
