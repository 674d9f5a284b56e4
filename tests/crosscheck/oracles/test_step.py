"""A whole training step in float64: a right one in single precision ends within its bounds, one at another rate outside of them."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from crosscheck.core.judge import Verdict
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.oracles.step import oracle_step
from crosscheck.references.resolve import TrainingReference, resolved_training
from tests.support.model_pairs import mlp
from tests.support.one_step import LABELS, PRECISION, START, UPDATED, X, stepped, verdicts


def reference(frozen: frozenset[str] = frozenset()) -> TrainingReference:
    return resolved_training(mlp(), nn.CrossEntropyLoss(), SgdSettings(0.5), frozen)


def test_right_step_in_single_precision() -> None:
    step = oracle_step(reference().architecture, START, X, LABELS, PRECISION, {})
    assert list(step.expected)[-4:] == UPDATED
    assert set(verdicts(step, stepped(reference())).values()) == {Verdict.MATCH}


def test_step_at_another_rate_ends_elsewhere() -> None:
    step = oracle_step(reference().architecture, START, X, LABELS, PRECISION, {})
    wrong = {key for key, verdict in verdicts(step, stepped(reference(), 1.01)).items() if verdict is Verdict.MISMATCH}
    assert wrong == {*UPDATED}


@pytest.mark.parametrize(("frozen", "updated"), [((), 4), (("second",), 2), (("first", "second"), 0)])
def test_frozen_layers_end_where_they_started(frozen: tuple[str, ...], updated: int) -> None:
    """Of a network that does not train at all there is no backward pass."""
    step = oracle_step(reference(frozenset(frozen)).architecture, START, X, LABELS, PRECISION, {})
    assert sum(quantity in ("weight", "bias") for _, quantity in step.expected) == updated
    assert any(quantity == "grad_input" for _, quantity in step.expected) is bool(updated)


def test_decisions_are_imposed() -> None:
    """A ReLU that is made to let everything pass is the identity."""
    step = oracle_step(reference().architecture, START, X, LABELS, PRECISION, {"relu": np.ones((4, 4), bool)})
    assert np.array_equal(step.expected["relu", "output"][0], step.expected["first", "output"][0])
