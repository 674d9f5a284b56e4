"""Pairs as tests: one test a check, under a stable name, that fails, passes or is skipped as the check says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import ways_in
from tests.support.suites import CONTRACTS, MOOT, VALUES, outcomes


def test_names_are_stable(suite: Any) -> None:
    result = suite("pair(), pair(name='other one')", "--collect-only", "-q")
    names = [line for line in result.outlines if "::" in line]
    assert names[0] == "test_mine.py::test_layers[Scale-values-float64-normal]"
    assert names[-1].startswith("test_mine.py::test_layers[other one-contract-")
    assert len(names) == len(set(names)) == 2 * (VALUES + CONTRACTS)


def test_check_that_does_not_apply_is_skipped_with_its_reason(suite: Any) -> None:
    result = suite("pair(dtypes=('float64',))", "-k", "values", "-rs")
    assert outcomes(result) == {"passed": VALUES // 2, "skipped": VALUES // 2, "deselected": CONTRACTS}
    result.stdout.fnmatch_lines(["SKIPPED*declared to compute in float64"])


def test_expected_difference_that_agrees_fails(suite: Any) -> None:
    result = suite("pair(expected={'contract-inputs_are_left_alone': 'saves memory'})", "-k", "contract")
    assert outcomes(result) == {"passed": CONTRACTS - MOOT - 1, "skipped": MOOT, "failed": 1, "deselected": VALUES}
    result.stdout.fnmatch_lines(["*declared to differ (saves memory), but it agrees*"])


def test_test_that_calls_no_check_fails(suite: Any) -> None:
    result = suite("pair()", body="pass")
    assert outcomes(result) == {"failed": VALUES + CONTRACTS}
    result.stdout.fnmatch_lines(["*the test has to call check(pair)*"])


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ("pair(), pair()", "two pairs are called 'Scale'; give one of them another name"),
        ("Scale()", "parametrize_with_checks got a Scale, expected pairs"),
        ("", "parametrize_with_checks got no pair"),
    ],
)
def test_wrong_declarations_are_named(suite: Any, pairs: str, error: str) -> None:
    result = suite(pairs)
    assert result.ret == 2
    result.stdout.fnmatch_lines([f"*{error}*"])


def test_every_kind_of_function_is_a_test(suite: Any, pytester: pytest.Pytester) -> None:
    """Several inputs and outputs, ids, masks, labels that are ignored: right code passes, wrong code fails in the quantity that is wrong."""
    pairs = f"*__import__('{ways_in.__name__}', fromlist=['few']).few()"
    chosen = "values-float64-normal or special-float64-some-labels-ignored"
    result = suite(pairs, "-k", chosen, "--crosscheck-no-shrink", "--crosscheck-report", "r.json")
    report = json.loads((pytester.path / "r.json").read_text())
    found = {pair["name"]: pair for pair in report["pairs"]}
    assert {name: pair["verdict"] for name, pair in found.items()} == {
        pair.title: "match" if pair.title.endswith("right") else "mismatch" for pair in ways_in.few()
    }
    for name, pair in found.items():
        wrong = [check for check in pair["checks"] if check["verdict"] == "mismatch"]
        assert {check["first_divergence"]["quantity"] for check in wrong} <= set(ways_in.KINDS[name.partition(", ")[0]].at)
    assert outcomes(result)["failed"] == len(ways_in.few()) // 2
