"""Running statistics that start elsewhere are reported once, and compared from equal starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Pair, Verdict
from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.match_buffers import other_starts
from tests.support.naming.of_parts import BatchNorm
from tests.support.unshrunk import check

STARTS: list[tuple[Any, Any, str]] = [
    (np.zeros(3), np.ones(3), "mv starts at 0, the reference's running_var at 1; they are compared from equal starts"),
    (np.full(3, 0.5), np.ones(3), "mv starts at 0.5, the reference's running_var at 1; they are compared from equal starts"),
    (np.ones(3), np.ones(3), ""),
    (1.0, np.ones(3), ""),
    (None, np.ones(3), ""),
    (np.arange(3.0), np.ones(3), ""),
    (np.zeros(3), None, ""),
]


@pytest.mark.parametrize(("ours", "theirs", "sentence"), STARTS)
def test_starts(ours: Any, theirs: Any, sentence: str) -> None:
    reference = {} if theirs is None else {"running_var": theirs}
    assert other_starts({"mv": ours}, {"mv": Parameter("running_var", Layout())}, reference) == [sentence] * bool(sentence)


def test_start_is_reported_and_no_mismatch() -> None:
    layer = BatchNorm(3)
    layer.params["running_var"] = np.zeros(3)
    result = check(Pair(layer, nn.BatchNorm1d(3), [(4, 3)]), only=lambda name: name == "values-float64-normal")
    assert (result.error, result.verdict) == ("", Verdict.MATCH)
    assert "running_var starts at 0, the reference's running_var at 1; they are compared from equal starts" in result.inferred
