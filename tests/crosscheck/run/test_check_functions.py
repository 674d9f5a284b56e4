"""One hundred functions: right ones match, and a mistake in them is seen where it is."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable

import pytest

from crosscheck import Settings, Verdict
from tests.support import SUPPORT
from tests.support.functions import ROWS, TOPICS
from tests.support.unshrunk import check

FAULTY = [name for name, row in ROWS.items() if row.fault]


QUICK = ("values-float32-normal",)
"""Checks of the default suite; with normal numbers, other sizes are tried, too."""


def expect_match(name: str, only: Callable[[str], bool]) -> None:
    """Fail unless a function is right in all checks that are asked for."""
    result = check(ROWS[name].pair, only=only)
    wrong = [(found.check, found.reason) for found in result.results if found.verdict not in (Verdict.MATCH, Verdict.SKIPPED)]
    assert (result.error, wrong) == ("", [])
    assert result.verdict is Verdict.MATCH


@pytest.mark.parametrize("name", ROWS)
def test_right_function_matches(name: str) -> None:
    expect_match(name, QUICK.__contains__)


@pytest.mark.slow("checks all that test_right_function_matches leaves out: other families of inputs, contracts", default=["square", "batch norm"])
@pytest.mark.parametrize("name", ROWS)
def test_right_function_matches_in_every_check(name: str) -> None:
    expect_match(name, lambda check: check not in QUICK)


@pytest.mark.parametrize("name", FAULTY)
def test_fault_is_seen(name: str) -> None:
    row = ROWS[name]
    assert row.fault is not None
    result = check(row.faulty, Settings(), only={f"values-float64-{row.fault.family}"}.__contains__)
    assert (result.error, result.verdict) == ("", Verdict.MISMATCH)
    assert result.first is not None
    assert result.first.divergence is not None
    assert result.first.divergence.judgement.place.quantity == row.fault.quantity


def test_table_is_whole() -> None:
    """No two topics use the same name."""
    assert len(ROWS) == sum(len(topic.ROWS) for topic in TOPICS) == 100
    assert len(FAULTY) >= 60


def test_declarations_are_short() -> None:
    """No pair takes more than three lines."""
    found = Counter((call.end_lineno or 0) - call.lineno + 1 for call in declarations())
    assert found.total() == len(ROWS)
    assert max(found) <= 3


def declarations() -> list[ast.Call]:
    """Return the calls of ``Pair`` in the table."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in sorted((SUPPORT / "functions").glob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Pair"]
