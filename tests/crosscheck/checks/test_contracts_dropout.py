"""Masks that are never drawn, always alike, or drawn with another probability: each is said, and a mask that is drawn is right."""

from __future__ import annotations

import pytest

from crosscheck.core.judge import Verdict
from tests.support.contract_checks import of_contract
from tests.support.faults import FAULTS
from tests.support.faults.dropout import DROPOUT

CONTRACT = "draws_new_masks"
FAULTY = [name for name, fault in FAULTS.items() if fault.at == f"contract-{CONTRACT}"]


@pytest.mark.parametrize("name", FAULTY)
def test_mask_that_is_not_drawn(name: str) -> None:
    result = of_contract(CONTRACT, FAULTS[name].pair())
    assert result.verdict is Verdict.MISMATCH
    assert any(words in result.reason for words in ("elements were kept so far; expected ", "the same mask"))


def test_each_way_of_not_drawing_is_said() -> None:
    reasons = " ".join(of_contract(CONTRACT, FAULTS[name].pair()).reason for name in FAULTY)
    assert all(words in reasons for words in ("were kept so far", "in each of", "for every sample of a batch"))


def test_mask_that_is_drawn() -> None:
    assert of_contract(CONTRACT, DROPOUT.pair(DROPOUT.right)).verdict is Verdict.MATCH
