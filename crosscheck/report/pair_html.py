"""Checked pairs as one self-contained HTML file: the verdict first, then for each pair where, why and what was covered; every text escaped."""

from __future__ import annotations

from typing import Any

from crosscheck.checks.check import CONTRACT
from crosscheck.report.findings import Facts
from crosscheck.report.pages import environment
from crosscheck.report.pair_facts import first_mismatch, warnings
from crosscheck.report.pair_matrix import matrix
from crosscheck.report.pair_words import mismatch_rows, pair_line, witness_rows


def render(facts: Facts) -> str:
    """Return the page."""
    template = environment().get_template("pairs.html")
    return template.render(facts=facts, lines=[pair_line(pair) for pair in facts["pairs"]], described=[_described(pair) for pair in facts["pairs"]])


def _described(pair: Facts) -> dict[str, Any]:
    """Return what the page shows of a pair."""
    first = first_mismatch(pair)
    contracts = [check for check in pair["checks"] if check["check"].startswith(CONTRACT)]
    remarks = [("inferred", text) for text in pair["inferred"]]
    remarks += witness_rows(pair)
    remarks += [("warning", f"{check['check']}: {check['reason']}") for check in warnings(pair)]
    remarks += [("expected", f"{check['check']}: {check['expected_difference']}") for check in pair["checks"] if check["expected_difference"]]
    remarks += [
        (check["verdict"], f"{check['check']}: {check['reason']}")
        for check in pair["checks"]
        if check["verdict"] in ("skipped", "undecided") and check not in contracts
    ]
    remarks += [("note", f"{check['check']}: {note}") for check in pair["checks"] if check is not first for note in check["notes"]]
    return {
        "first": [] if first is None else list(mismatch_rows(pair, first)),
        "script": first["reproduction"]["script"] if first and first["reproduction"] else "",
        "matrix": matrix(pair),
        "contracts": contracts,
        "contracts_hold": all(check["verdict"] in ("match", "skipped") for check in contracts),
        "remarks": remarks,
    }
