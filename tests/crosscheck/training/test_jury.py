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
from crosscheck.causes.conventions import Convention
from crosscheck.core.judge import Kind, Verdict
from crosscheck.core.precision import Precision
from crosscheck.oracles.optimizers import SgdSettings, Update
from crosscheck.references.pytorch.oracle import TorchOracle
from crosscheck.training.facts import disagreement, other_conventions
from crosscheck.training.free_run import DistanceSample
from crosscheck.training.jury import SUBJECT, Juror, Jury
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


def parted(ties: TieRule, other: Callable[[Juror], Juror] = with_last_winner) -> TrainingComparison:
    """Return a comparison with PyTorch and another reference."""
    twins = twins_of(ties, ("torch",))
    return trained(dataclasses.replace(twins, jurors=(*twins.jurors, other(twins.jurors[0]))), PLAN)


def test_another_convention_of_another_reference_is_named() -> None:
    """The subject agrees with the first reference, and a known convention explains all that the other one objects to."""
    comparison = parted("first")
    assert comparison.jury is not None
    assert comparison.verdict is Verdict.MATCH
    assert {where: convention.name for where, convention in comparison.jury.conventions.items()} == {
        ("last winner", ("pool", "grad_input")): "max-pool-ties"
    }
    assert all(tally.explained == PLAN.steps for tally in comparison.jury.tallies.values() if tally.judge != tally.side and "last" in tally.judge)
    assert other_conventions(comparison) == ", except for another convention of last winner (max-pool-ties)"


def test_subject_that_follows_another_reference_is_undecided() -> None:
    comparison = parted("last")
    assert comparison.jury is not None
    assert comparison.verdict is Verdict.UNDECIDED
    first, other = (juror.name for juror in comparison.jury.jurors)
    assert disagreement(comparison) == f"the references do not agree: match by {other}, mismatch by {first}"
    assert comparison.jury.tallies[first, other].verdict is Verdict.MATCH


def with_momentum(juror: Juror) -> Juror:
    """Return a reference with another convention, and with a momentum that the subject does not have."""
    other = with_last_winner(juror)
    update = Update(SgdSettings(0.01, momentum=0.5))
    return dataclasses.replace(other, architecture=dataclasses.replace(other.architecture, update=update))


def test_convention_does_not_excuse_what_it_does_not_explain() -> None:
    comparison = parted("first", with_momentum)
    assert comparison.jury is not None
    assert comparison.verdict is Verdict.UNDECIDED
    tally = comparison.jury.tallies["last winner", SUBJECT]
    assert (tally.verdict, tally.explained > 0) == (Verdict.MISMATCH, True)
    assert tally.first is not None
    assert tally.first.kind is Kind.UPDATE


def test_fault_of_the_subject_is_no_convention() -> None:
    """The subject agrees with no reference, whatever their conventions are."""
    assert parted("all").verdict is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("references", "verdict", "words"),
    [
        pytest.param(("torch", "keras"), Verdict.MATCH, "divided by n (biased) instead of n - 1 (unbiased)", id="the subject follows the first"),
        pytest.param(("keras", "torch"), Verdict.UNDECIDED, "divided by n - 1 (unbiased) instead of n (biased)", id="the subject follows the second"),
    ],
)
def test_running_variance_is_named_from_both_sides(references: tuple[str, ...], verdict: Verdict, words: str) -> None:
    rng = np.random.default_rng(0)
    model = scratch.Sequential(flatten=scratch.Flatten(), linear=scratch.Linear(28 * 28, 10, rng=rng), norm=scratch.BatchNorm1d(10))
    comparison = trained(layered(model, scratch.SGD(model.trainable_params, lr=0.01), references), PLAN)
    assert comparison.jury is not None
    assert comparison.verdict is verdict
    ((_, place),) = comparison.jury.conventions
    (convention,) = comparison.jury.conventions.values()
    assert (place, convention.name) == (("norm", "running_var"), "batch-norm-running-variance")
    assert words in convention.words


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        pytest.param(("norm", "running_var"), ["norm.weight"], id="a running statistic"),
        pytest.param(("norm", "output"), [], id="a value that the training uses"),
    ],
)
def test_free_run_beside_another_convention(place: tuple[str, str], kept: list[str]) -> None:
    """A running statistic has no effect on the other arrays, so these are still compared."""
    architecture = dataclasses.replace(twins_of().architecture, buffers={"norm": ("running_var",)})
    jury = Jury([Juror("one", architecture, lambda *_: None)], Precision(np.dtype(np.float64), 1))  # type: ignore[arg-type]
    jury.conventions["other", place] = Convention("batch-norm-running-variance", "")
    jury.looks = {("other", name): DistanceSample(1, name, 1.0, 0.0, 0.0, 1.0) for name in ("norm.weight", "norm.running_var")}
    assert [look.parameter for look in jury.looks_at("other")] == kept
