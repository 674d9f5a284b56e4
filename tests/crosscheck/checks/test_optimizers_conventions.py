"""Conventions: where references answer differently, the question is named."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from crosscheck import Verdict
from crosscheck.pairs.optimizer_pair import OptimizerPair
from tests.support.optimizer_pairs import MOMENTUM, NESTEROV, SGD, holding, normal


def test_references_that_disagree_leave_it_undecided() -> None:
    """A learning rate is no convention: none is named."""
    result = normal(OptimizerPair(holding(), [SGD, functools.partial(torch.optim.SGD, lr=0.2)]))
    assert result.verdict is Verdict.UNDECIDED
    assert "convention" not in result.results[0].reason


@pytest.mark.slow("the rows show one setting that differs, and one left out", default=["nesterov", "dampening"])
@pytest.mark.parametrize(
    ("references", "convention"),
    [
        ([MOMENTUM, NESTEROV], "nesterov"),
        ([NESTEROV, MOMENTUM], "nesterov"),
        ([MOMENTUM, functools.partial(MOMENTUM, dampening=0.9)], "sgd-dampening"),
        ([functools.partial(torch.optim.Adam, weight_decay=0.1), functools.partial(torch.optim.AdamW, weight_decay=0.1)], "weight-decay"),
        ([functools.partial(torch.optim.AdamW, weight_decay=0.1), functools.partial(torch.optim.Adam, weight_decay=0.1)], "weight-decay"),
    ],
    ids=["nesterov", "no nesterov", "dampening", "decoupled", "coupled"],
)
def test_convention_that_references_answer_differently_is_named(references: list[Any], convention: str) -> None:
    result = normal(OptimizerPair(holding(), references))
    assert result.verdict is Verdict.UNDECIDED
    assert result.results[0].reason.endswith(f"; convention: {convention}")
