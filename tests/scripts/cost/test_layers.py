"""The seconds that checking a layer takes are those of checks whose verdict is right."""

from __future__ import annotations

import pytest
from cost.layers import WRONG, seconds


def test_right_and_wrong_layer_have_their_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert seconds("Linear(12, 7)", 1.0) > 0
    assert seconds("Linear(12, 7)", WRONG) > 0
    assert capsys.readouterr().err == ""


def test_verdict_that_is_not_the_expected_one_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    seconds("Linear(12, 7)", 1 + 2**-52)  # a factor of one rounding, which no check may see
    assert capsys.readouterr().err.endswith("mismatches in no check\n")
