"""Why a training step went wrong."""

from __future__ import annotations

from training.subjects import ScratchNetwork

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
    assert {place: d.cause.words if d.cause else "" for place, d in comparison.divergences.items()} == {
        ("conv2", "weight.grad"): "the weight gradient has the wrong sign",
        ("conv1", "weight.grad"): "the weight gradient has the wrong sign",
    }
