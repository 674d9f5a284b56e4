"""Faults of single precision alone: every check in double precision agrees, and one in single precision differs."""

from __future__ import annotations

import warnings

import pytest

from crosscheck.checks import Settings
from crosscheck.core.judge import Verdict
from crosscheck.run.check import check_pair
from tests.support.faults import FAULTS

SINGLE = [name for name in FAULTS if name.startswith("single-")]
FEW = ("single-softmax-unshifted", "single-layer-one-pass", "single-products-added-up-in-half")


def test_there_are_enough() -> None:
    assert len(SINGLE) >= 20


@pytest.mark.slow("takes seconds for each fault; the default ones are of each kind", default=FEW)
@pytest.mark.parametrize("name", SINGLE)
def test_fault_is_seen_in_single_precision_alone(name: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        result = check_pair(FAULTS[name].pair(), Settings(shrink=False), only=lambda check: check.startswith(("values-", "updates-", "evaluation-")))
    assert result.error == ""
    double = {one.check: one.counted for one in result.results if one.dtype == "float64"}
    single = {one.check: one.counted for one in result.results if one.dtype == "float32"}
    assert Verdict.MISMATCH not in double.values()
    assert Verdict.MATCH in double.values()
    assert Verdict.MISMATCH in single.values()
