"""The facts of checks in words: what each form of the report, and a failing test's message, say about them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

from crosscheck.report.findings import Facts, rows

WIDTH = 120


def check_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a check that did not match, each with its heading."""
    first = check["first_divergence"]
    if first:
        yield from rows(first)
    if check["reason"] and not (first and first["reason"]):
        yield "found", check["reason"]
    if check["check"].startswith("contract-"):
        yield "the contract", check["about"]
    if check["expected_difference"]:
        yield "expected", check["expected_difference"]
    yield from (("note", note) for note in check["notes"])


def mismatch_rows(pair: Facts, check: Facts) -> Iterator[tuple[str, str]]:
    """Yield what is known about a pair's first mismatch, where else it shows, and how to repeat it."""
    yield "first in", check["check"]
    yield from check_rows(check)
    yield from (("also wrong", text) for text in also_wrong(pair, check))
    yield from reproduce_rows(check)


def reproduce_rows(check: Facts) -> Iterator[tuple[str, str]]:
    """Yield how to repeat a check, and the small case where there is one."""
    yield "reproduce", check["reproduce"]
    if check["reproduction"] and check["reproduction"]["file"]:
        yield "small case", f"python {check['reproduction']['file']}  ({check['reproduction']['input_elements']} input elements)"


def also_wrong(pair: Facts, first: Facts) -> Iterator[str]:
    """Yield the other mismatches of a pair, value checks by quantity, contracts one by one."""
    others = [check for check in pair["checks"] if check["counted"] == "mismatch" and check is not first]
    values = [check for check in others if check["first_divergence"]]
    by_quantity = sorted(values, key=lambda check: str(check["first_divergence"]["quantity"]))
    for quantity, group in groupby(by_quantity, key=lambda check: check["first_divergence"]["quantity"]):
        names = [check["check"] for check in group]
        yield f"{quantity} in {len(names):,} other checks: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    for check in others:
        if not check["first_divergence"]:
            yield f"{check['check']}: {check['reason']}"


def pair_line(pair: Facts) -> str:
    """Return what a pair's verdict rests on, in one line."""
    if pair["error"]:
        return str(pair["error"])
    quantities = [quantity for check in pair["checks"] for quantity in check["quantities"]]
    compared = [quantity for quantity in quantities if quantity["verdict"] in ("match", "mismatch")]
    parts = [f"{len(pair['checks']):,} checks", f"{len(compared):,} quantities compared"]
    if pair["references"]:
        parts.append("beside " + " and ".join(pair["references"]))
    return "; ".join(parts)


def summary_line(pair: Facts) -> str:
    """Return what a pair's verdict says in one line: where and why it differs, or what it rests on."""
    first = next((check for check in pair["checks"] if check["counted"] == "mismatch"), None)
    if first is None:
        return pair_line(pair)
    found = first["first_divergence"]
    return f"{found['quantity']} in {first['check']}: {found['cause_in_words']}" if found else f"{first['check']}: {first['reason']}"


def message(check: Facts, name: str) -> str:
    """Return all that is known about a failed check as one text, read from the top down."""
    lines = [f"{check['verdict'].upper()}: {name}"]
    for heading, text in (*check_rows(check), *reproduce_rows(check)):
        wrapped = [
            part
            for line in text.splitlines() or [""]
            for part in textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False, drop_whitespace=False) or [""]
        ]
        lines += [f"  {heading:<14}{wrapped[0]}", *(" " * 16 + line for line in wrapped[1:])]
    if check["reproduction"]:
        lines += ["", "the small case as a script:", "", textwrap.indent(check["reproduction"]["script"], "    ")]
    return "\n".join(lines)
