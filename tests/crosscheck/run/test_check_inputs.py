"""Functions of several inputs (labels, ids, targets, masks, two arrays): right ones match, and mistakes that their further inputs show are seen."""

from __future__ import annotations

import pytest

from crosscheck import Settings, Verdict
from tests.support.faults.outcome import as_outcome, up_to_the_first
from tests.support.several_inputs import CASES, Wrong
from tests.support.unshrunk import check

WRONG = [(name, wrong) for name, case in CASES.items() for wrong in case.wrong]


@pytest.mark.parametrize("name", CASES)
def test_right_code_matches(name: str) -> None:
    """On normal inputs, which are tried in all sizes and with labels that are ignored, and in all contracts."""
    case = CASES[name]
    outcome = as_outcome(check(case.pair(case.right), only=lambda check: check.endswith("-normal") or check.startswith("contract-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


@pytest.mark.slow("the test above tries labels, ids, targets and masks; other families change the real numbers alone", default=("ranking",))
@pytest.mark.parametrize("name", CASES)
def test_right_code_matches_on_every_family(name: str) -> None:
    case = CASES[name]
    outcome = as_outcome(check(case.pair(case.right), only=lambda check: check.startswith("values-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=[f"{name}-{wrong.kind.__name__}" for name, wrong in WRONG])
def test_mistake_is_seen(name: str, wrong: Wrong) -> None:
    outcome = up_to_the_first(CASES[name].pair(wrong.kind), Settings(shrink=False))
    assert outcome.verdict is Verdict.MISMATCH, outcome.words
    assert outcome.place in wrong.at, outcome.words
