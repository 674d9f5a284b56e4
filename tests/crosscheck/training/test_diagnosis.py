"""Why a training step went wrong."""

from __future__ import annotations

import pytest
from training.subjects import ScratchNetwork

from tests.support.faults.fault import FAULTS
from tests.support.faults.outcome import first_outcome_of
from tests.support.networks import trained
from tests.support.training_runs import ConvSign, of_kind, plan, twins_of


def test_each_of_two_faults_is_examined() -> None:
    """The first divergence is the one to mend first; the cause of the other one is known, too."""
    twins = twins_of()
    assert isinstance(twins.subject, ScratchNetwork)
    for name in ("conv1", "conv2"):
        of_kind(name, ConvSign)(twins.subject)
    comparison = trained(twins, plan())
    assert comparison.first is comparison.divergences["conv2", "weight.grad"]
    assert {place: d.cause.name if d.cause else "" for place, d in comparison.divergences.items()} == {
        ("conv2", "weight.grad"): "edit: sign",
        ("conv1", "weight.grad"): "edit: sign",
    }


@pytest.mark.parametrize("seed", range(4))
def test_constant_whose_digits_rounding_hides_is_not_named(seed: int) -> None:
    """A decay of 0.00005 moves weights by half a unit in their last place; 0.0000435 would explain a step, too."""
    assert not first_outcome_of(FAULTS["training-decay-below-rounding"], seed).cause
