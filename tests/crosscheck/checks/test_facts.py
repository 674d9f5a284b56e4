"""Verdicts on pairs and on runs."""

from __future__ import annotations

from typing import Any

import pytest

from crosscheck.checks.facts import pair_verdict, run_verdict
from crosscheck.core.judge import Verdict
from tests.support import plain
from tests.support.pages import checked, made, report

MATCH, MISMATCH, UNDECIDED, SKIPPED = Verdict.MATCH, Verdict.MISMATCH, Verdict.UNDECIDED, Verdict.SKIPPED


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([("values-a", MATCH), ("contract-b", MATCH)], MATCH),
        ([("values-a", MATCH), ("values-b", SKIPPED)], MATCH),
        ([("values-a", MATCH), ("contract-b", MISMATCH)], MISMATCH),
        ([("values-a", UNDECIDED), ("contract-b", MISMATCH)], MISMATCH),
        ([("values-a", MATCH), ("values-b", UNDECIDED)], UNDECIDED),
        ([("values-a", SKIPPED), ("contract-b", MATCH)], SKIPPED),
        ([("contract-a", MATCH)], MATCH),
        ([("contract-a", SKIPPED)], SKIPPED),
        ([], SKIPPED),
    ],
    ids=lambda value: "+".join(f"{name[0]}:{verdict}" for name, verdict in value) if isinstance(value, list) else str(value),
)
def test_verdict_on_a_pair(checks: list[tuple[str, Verdict]], verdict: Verdict) -> None:
    facts = {"error": "", "checks": [{"check": name, "counts_as": own.value, "dtype": "", "quantities": []} for name, own in checks]}
    assert pair_verdict(facts) is verdict
    assert pair_verdict(facts | {"error": "not ready"}) is UNDECIDED


@pytest.mark.parametrize(
    ("pairs", "complete", "verdict"),
    [
        ([MATCH, MATCH], True, MATCH),
        ([MATCH, MATCH], False, UNDECIDED),
        ([MATCH, SKIPPED], True, UNDECIDED),
        ([MATCH, UNDECIDED], True, UNDECIDED),
        ([UNDECIDED, MISMATCH], False, MISMATCH),
        ([SKIPPED, SKIPPED], True, SKIPPED),
        ([], True, SKIPPED),
    ],
    ids=str,
)
def test_verdict_on_a_run(pairs: list[Verdict], complete: bool, verdict: Verdict) -> None:
    assert run_verdict(pairs, complete) is verdict


@pytest.mark.parametrize(
    ("outcome", "beginning"),
    [
        ({}, "MATCH: rounding explains every difference of Scale; 1 check, "),
        ({"asked": 5}, "UNDECIDED: only 1 of 5 checks were run; no mismatch"),
        ({"asked": 5, "interrupted": True}, "UNDECIDED: interrupted after 1 of 5 checks; no mismatch"),
    ],
    ids=["whole", "short", "interrupted"],
)
def test_headline_says_what_was_left_undone(outcome: dict[str, Any], beginning: str) -> None:
    facts = report(made(), **outcome)
    assert facts["headline"].startswith(beginning)
    assert facts["exit_status"] == (2 if outcome else 0)


def test_facts_hold_nothing_that_a_terminal_obeys() -> None:
    facts = report(made(reason="a\ud800\x1b[31m\x00b", notes=["\x07"]) | {"inferred": ["\x9b"]})
    assert facts["pairs"][0]["checks"][0]["reason"] == "a\\ud800\\x1b[31m\\x00b"
    assert facts["pairs"][0]["checks"][0]["notes"] == ["\\x07"]
    assert facts["pairs"][0]["inferred"] == ["\\x9b"]


def test_headline_says_that_differences_were_expected() -> None:
    """Rounding does not explain them."""
    pair = plain.pair(plain.WritesToInput, expected={"contract-inputs*": "saves memory"})
    assert " except the declared ones; " in report(checked(pair, ""), made())["headline"]


def test_facts_of_a_pair_that_differs() -> None:
    """Of the check its first divergence and every quantity, of the pair what it is beside."""
    found = checked(plain.pair(plain.Negated), "values-float64-normal")
    (check,) = found["checks"]
    assert (check["verdict"], check["first_divergence"]["quantity"], check["first_divergence"]["cause"]) == (
        "mismatch",
        "weight.grad",
        "constant factor",
    )
    assert {one["quantity"]: one["verdict"] for one in check["quantities"]} == {"output": "match", "grad_input": "match", "weight.grad": "mismatch"}
    assert (found["name"], found["references"]) == ("Negated", ["NumPy"])
    assert report(found)["headline"].startswith("MISMATCH: 1 of 1 pair differs: Negated")
