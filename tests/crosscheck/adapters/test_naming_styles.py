"""The names people use: a right layer of each style matches by itself or with the line that the error suggests, and a wrong twin is a mismatch."""

from __future__ import annotations

import re
from typing import Any

import pytest

import crosscheck
from crosscheck import Verdict
from tests.support.naming import of_functions
from tests.support.naming.rows import ASKED, INFERRED, WRONG
from tests.support.unshrunk import check

CHEAP = ("values-float64-normal", "contract-params_are_left_alone")


@pytest.mark.parametrize("name", INFERRED)
def test_found_by_itself(name: str) -> None:
    result = check(INFERRED[name].pair(), only=CHEAP.__contains__)
    assert (result.error, [(one.check, one.reason) for one in result.results if one.verdict is Verdict.MISMATCH]) == ("", [])
    assert result.results[0].verdict is Verdict.MATCH


def pasted(line: str, layer: Any) -> dict[str, Any]:
    """Return what a suggested line declares: ``params={...}`` or ``subject=...``, with the names that a user's file would have."""
    adapters = {name: getattr(crosscheck, name) for name in ("Attributes", "Dicts", "Functions", "Layer", "Updating")}
    return dict(eval(f"dict({line})", {**adapters, **vars(of_functions), "layer": layer}))  # noqa: S307


@pytest.mark.parametrize("name", ASKED)
def test_right_with_the_suggested_line(name: str) -> None:
    """The error ends with lines to paste, one of which is right."""
    row, number = ASKED[name]
    first = check(row.pair(), only=CHEAP.__contains__)
    assert first.verdict is Verdict.UNDECIDED
    _, *lines = first.error.splitlines()
    assert all(re.match(r"    (params|subject)=", line) for line in lines)
    result = check(row.pair(**pasted(lines[number].strip(), row.subject())), only=CHEAP.__contains__)
    assert (result.error, result.verdict) == ("", Verdict.MATCH)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_twin(name: str) -> None:
    """What is wrong is wrong in the quantity that was changed, and in no other."""
    row, quantity = WRONG[name]
    result = check(row.pair(), only=lambda check_name: check_name == CHEAP[0])
    judgements = [judgement for _, judgement in result.results[0].judgements]
    assert {judgement.place.quantity for judgement in judgements if judgement.verdict is not Verdict.MATCH} == {quantity}
    assert result.verdict is Verdict.MISMATCH
