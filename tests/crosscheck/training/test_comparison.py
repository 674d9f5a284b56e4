"""The verdict on a whole run."""

from __future__ import annotations

from training.run import compared
from training.subjects import ScratchNetwork

from crosscheck.core.judge import Verdict
from tests.support.networks import digits, trained
from tests.support.training_runs import plan, twins_of


def test_drift_between_checks_is_seen_by_the_free_run() -> None:
    """What no check sees, because it happens between checked steps, drives the free run out of its spread."""
    twins = twins_of()
    assert isinstance(twins.subject, ScratchNetwork)
    weight = twins.subject.model.layers["conv1"].params["weight"]

    def between(step: int) -> None:
        if step == 2:
            weight[...] *= 1 + 1e-9

    comparison = trained(twins, plan(steps=6, check_every=100, perturbed=4), between=between)
    assert comparison.first is None
    assert comparison.free_verdict is Verdict.MISMATCH
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.left_at == 6


def test_nothing_checked_is_no_match() -> None:
    """A comparison that has done no step says so."""
    assert compared(twins_of(), plan(), digits()).verdict is Verdict.SKIPPED
