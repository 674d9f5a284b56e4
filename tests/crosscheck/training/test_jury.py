"""Three frameworks as a jury: the side that breaks a convention is named, and where the frameworks disagree no side is called wrong."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn
from training.run import Plan
from training.subjects import REFERENCES, Twins, layered

import scratch
from crosscheck.core.judge import Verdict
from crosscheck.references.pytorch.oracle import TorchOracle
from crosscheck.training.facts import disagreement
from crosscheck.training.jury import SUBJECT, Juror
from crosscheck.training.listened import TrainingComparison
from reference.pytorch import network
from scratch.networks import tutorial
from scratch.pooling import TieRule
from tests.support.networks import trained

pytestmark = pytest.mark.xdist_group("jury-verdicts")  # one process with --dist loadgroup, which trains once

PLAN = Plan(np.dtype(np.float64), 4, 2, 1, 2, 0)
"""Two steps, both of them checked."""


def twins_of(ties: TieRule = "first", references: tuple[str, ...] = tuple(REFERENCES)) -> Twins:
    """Return the tutorial's network, its pooling with a tie rule, beside references."""
    model = tutorial(np.random.default_rng(0), np.float64)
    model.layers["pool"].ties = ties  # type: ignore[attr-defined]
    return layered(model, scratch.SGD(model.trainable_params, lr=0.01), references)


@functools.cache
def right() -> TrainingComparison:
    return trained(twins_of(), PLAN)


def test_all_agree() -> None:
    comparison = right()
    assert comparison.jury is not None
    names = [juror.name for juror in comparison.jury.jurors]
    assert [name.split()[0] for name in names] == ["PyTorch", "JAX", "Keras"]
    assert set(comparison.jury.tallies) == {(judge, side) for judge in names for side in (SUBJECT, *names)}
    assert {tally.verdict for tally in comparison.jury.tallies.values()} == {Verdict.MATCH}
    assert comparison.verdict is Verdict.MATCH


def test_fault_that_no_link_shows_stays_a_mismatch() -> None:
    """No other reference can see what changes between steps: that it says nothing does not mean that it disagrees."""
    twins = twins_of()
    weight = twins.subject.model.params["conv.weight"]  # type: ignore[attr-defined]
    plan = dataclasses.replace(PLAN, perturbed=0)
    assert trained(twins, plan, between=lambda step: np.add(weight, 1e-9, out=weight)).verdict is Verdict.MISMATCH


@pytest.mark.slow("Keras compiles a training with momentum; test_optimizers follows Keras' momentum beside scratch's")
def test_momentum_in_another_form_is_no_difference() -> None:
    """Keras keeps momentum as a velocity; its conversion does not count as a difference."""
    model = tutorial(np.random.default_rng(0), np.float64)
    comparison = trained(layered(model, scratch.SGD(model.trainable_params, lr=0.01, momentum=0.9), ("torch", "keras")), PLAN)
    assert comparison.jury is not None
    assert {tally.verdict for tally in comparison.jury.tallies.values()} == {Verdict.MATCH}
    assert comparison.verdict is Verdict.MATCH


def test_every_quantity_is_judged_by_everyone() -> None:
    """The traces of all references have the same length."""
    comparison = right()
    assert comparison.jury is not None
    assert len({(tally.steps, tally.compared) for tally in comparison.jury.tallies.values()}) == 1


def test_all_against_the_subject() -> None:
    """A tie rule that no framework has is a mismatch, and each of them says where."""
    comparison = trained(twins_of("all"), PLAN)
    assert comparison.jury is not None
    assert comparison.verdict is Verdict.MISMATCH
    found = {side: {tally.first for tally in comparison.jury.tallies.values() if tally.side == side} for side in (SUBJECT, "JAX")}
    assert {str(first.place) for first in found[SUBJECT] if first is not None} == {"step 1, pool.grad_input"}


class LastWinner(nn.Module):  # type: ignore[misc]
    """Max pooling that hands the gradient to the last winner."""

    def forward(self, x: Any) -> Any:
        return nn.functional.max_pool2d(x.flip(-1, -2), 2).flip(-1, -2)


def with_last_winner(juror: Juror) -> Juror:
    pool = TorchOracle(LastWinner(), juror.architecture.layers["pool"].rounding)
    architecture = dataclasses.replace(juror.architecture, layers={**juror.architecture.layers, "pool": pool})
    alike = network(tutorial(np.random.default_rng(0)).layers, scratch.SoftmaxCrossEntropy(), juror.architecture.update.settings)
    trained_alike = dataclasses.replace(alike, layers={**alike.layers, "pool": LastWinner()})
    return Juror("last winner", architecture, trained_alike.training)


@pytest.mark.parametrize(("ties", "for_it"), [("first", "PyTorch"), ("last", "last winner")])
def test_references_that_part(ties: TieRule, for_it: str) -> None:
    """The subject follows the one convention or the other: undecided, with the sides named."""
    twins = twins_of(ties, ("torch",))
    twins = dataclasses.replace(twins, jurors=(*twins.jurors, with_last_winner(twins.jurors[0])))
    comparison = trained(twins, PLAN)
    assert comparison.jury is not None
    assert comparison.verdict is Verdict.UNDECIDED
    sides: dict[str, Callable[[str], bool]] = {"match": lambda name: name.startswith(for_it), "mismatch": lambda name: not name.startswith(for_it)}
    names = [juror.name for juror in comparison.jury.jurors]
    words = ", ".join(f"{verdict} by {' and '.join(filter(sides[verdict], names))}" for verdict in ("match", "mismatch"))
    assert disagreement(comparison) == f"the references do not agree: {words}"
    others = {side: comparison.jury.tallies[judge, side].verdict for judge in names[:1] for side in names[1:]}
    assert others == {"last winner": Verdict.MISMATCH}
