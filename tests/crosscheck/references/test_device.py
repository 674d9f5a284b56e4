"""What is said of a device that a framework cannot use."""

from __future__ import annotations

import pytest

from crosscheck.references.device import unusable


@pytest.mark.parametrize(
    ("reason", "why"),
    [("no data! Use another.\nand more", "no data! Use another"), ("  not there. Try cuda:0  ", "not there")],
    ids=["lines", "sentences"],
)
def test_first_sentence_of_the_reason_is_given(reason: str, why: str) -> None:
    expected = f"PyTorch cannot compute in float64 on device 'cuda:9' ({why}); usable devices are cpu, cuda"
    assert str(unusable("PyTorch", "cuda:9", reason, ["cpu", "cuda"])) == expected
