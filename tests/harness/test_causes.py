"""Hypotheses judged: each explains the fault that it is there for, and leaves what only looks like it unknown."""

from __future__ import annotations

import pytest
from cause_cases import CAUSES
from layer_runs import Run, check, divergence, twin_of
from planted import Planted


@pytest.mark.parametrize("fault", CAUSES)
def test_cause(fault: str) -> None:
    """The fault has its cause, the near miss none."""
    row = CAUSES[fault]
    found = divergence(check(Planted(twin_of(row.case)[0], row.change), Run(row.case, 3, row.family, row.dtype, 0)), row.wrong[0])
    assert found.judgement.verdict == "mismatch"
    assert (found.cause.name if found.cause else None) == row.cause, found.cause
