"""A check and what it found: the verdict on several, what counts for the pair, and what no check could judge."""

from __future__ import annotations

import pytest

from crosscheck.checks.check import OUT_OF_RANGE, CheckResult, Settings, never_judged, overall
from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.trace import Place

MATCH, MISMATCH, UNDECIDED, SKIPPED = Verdict.MATCH, Verdict.MISMATCH, Verdict.UNDECIDED, Verdict.SKIPPED


def test_pair_whose_values_were_all_skipped_is_no_match() -> None:
    assert overall([("values-float64-normal", SKIPPED), ("contract-dtype_is_kept", MATCH)]) is SKIPPED
    assert overall([("contract-dtype_is_kept", MATCH)]) is MATCH
    assert overall([("values-float64-normal", MATCH)], ["float64 output"]) is UNDECIDED


def test_quantity_that_overflowed_in_every_check_was_never_judged() -> None:
    moot = OUT_OF_RANGE + "the operation overflows"
    found = [("float64 output", SKIPPED, moot), ("float64 grad_input", SKIPPED, moot), ("float64 grad_input", MATCH, ""), ("x", SKIPPED, "else")]
    assert never_judged(found) == ["float64 output"]


@pytest.mark.parametrize(
    ("verdict", "expected", "warning", "counted"),
    [(MISMATCH, "", False, MISMATCH), (MISMATCH, "known", False, SKIPPED), (MISMATCH, "", True, MATCH), (MATCH, "known", False, MATCH)],
)
def test_what_counts(verdict: Verdict, expected: str, warning: bool, counted: Verdict) -> None:
    assert CheckResult("values-float64-normal", verdict, expected=expected, warning=warning).counted is counted


def test_verdict_and_reason_come_from_the_judgements() -> None:
    """The reason is that of a judgement of the verdict itself."""
    result, place = CheckResult("values-float64-normal", MATCH), Place(0, "layer", "output")
    for verdict, reason in ((UNDECIDED, "who knows"), (MISMATCH, "the shape is ()")):
        result.add("2x3", Judgement(place, Kind.ISOLATED, verdict, reason=reason))
    assert (result.conclude().verdict, result.reason) == (MISMATCH, "the shape is ()")
    assert result.divergence is not None


def test_precisions_that_are_asked_for() -> None:
    assert Settings().precisions(["float64", "float32"]) == ["float64", "float32"]
    assert Settings(dtypes=("float32",)).precisions(["float64", "float32"]) == ["float32"]
