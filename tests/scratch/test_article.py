"""The tutorial's own code: right everywhere but in its pool, whose tie rule is named; right to the end where only the softmax trains."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from training.run import Plan
from training.subjects import Choice, chosen

from crosscheck.core.judge import Kind, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Bound
from crosscheck.training.listened import TrainingComparison
from tests.support.networks import trained

pytestmark = pytest.mark.xdist_group("article")  # one process with --dist loadgroup, which trains once

STEPS = 12
DTYPES = ("float64", pytest.param("float32", marks=pytest.mark.slow("trained anew; test_lockstep shows networks in both precisions")))
WRONG = {("pool", "grad_input")}
RIGHT = {
    ("conv", "output"),
    ("conv", "weight.grad"),
    ("conv", "weight"),
    ("pool", "output"),
    ("softmax", "output"),
    ("softmax", "grad_input"),
    ("softmax", "weight.grad"),
    ("softmax", "bias.grad"),
    ("softmax", "weight"),
    ("softmax", "bias"),
    ("loss", "output"),
    ("loss", "grad_input"),
}
TEST_DRIVE = RIGHT - {("conv", "weight.grad")}


def reading_after(scale: float) -> Bound:
    """Return the error of reading the filters' gradient, after the layer was asked about a cotangent of this scale."""
    twins = chosen(Choice("article", "tutorial", ["torch"], np.float64, 0.005, None, 1), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    call = Call(rng.standard_normal((1, 1, 6, 5)), {"weight": rng.standard_normal((8, 1, 3, 3))}, rng.standard_normal((1, 8, 4, 3)))
    conv = twins.subject.layers["conv"]
    conv.vjp(replace(call, grad_output=scale * rng.standard_normal((1, 8, 4, 3))))
    found = conv.reading("weight.grad", call, rng.standard_normal((8, 1, 3, 3)))
    assert found is not None
    return found


def test_tolerance_depends_on_nothing_that_was_asked_before() -> None:
    """A gradient of the training step is judged by its own size, not by that of the call which the layer was asked about last."""
    small, large = reading_after(1.0), reading_after(1e6)
    assert np.array_equal(small.abs_sum, large.abs_sum)


@functools.cache
def comparison_of(dtype: str, freeze: tuple[str, ...]) -> TrainingComparison:
    """Return the comparison of the article's network after some steps."""
    twins = chosen(Choice("article", "tutorial", ["torch"], np.dtype(dtype), 0.005, None, 1, freeze), np.random.default_rng(0))
    return trained(twins, Plan(np.dtype(dtype), 1, STEPS, 1, 2, 0))


def counts(comparison: TrainingComparison, kinds: tuple[Kind, ...], place: tuple[str, str]) -> dict[Verdict, int]:
    """Return how many steps ended in each verdict for a quantity, over the kinds of comparison that exist for it."""
    series = [s for (kind, *where), s in comparison.record.series.items() if kind in kinds and tuple(where) == place]
    assert series
    return {verdict: sum(s.counts[verdict] for s in series) for verdict in Verdict if any(s.counts[verdict] for s in series)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", sorted(RIGHT), ids=".".join)
def test_right_on_what_it_got(dtype: str, place: tuple[str, str]) -> None:
    """Everything but the pool's input gradient is right in its own place, the convolution's gradient too."""
    assert counts(comparison_of(dtype, ()), (Kind.LAYER, Kind.UPDATE), place) == {Verdict.MATCH: STEPS}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Kind.LAYER, Kind.ISOLATED])
def test_the_pool_is_wrong(dtype: str, kind: Kind) -> None:
    """The pool's input gradient is wrong in every step, on its own values and on the reference's."""
    assert counts(comparison_of(dtype, ()), (kind,), ("pool", "grad_input")) == {Verdict.MISMATCH: STEPS}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_cause_is_the_tie_rule(dtype: str) -> None:
    """The first divergence is the pool's, at the first step; its tie rule is named, and taking it as given leaves no error at all."""
    first = comparison_of(dtype, ()).first
    assert first is not None
    assert str(first.judgement.place) == "step 1, pool.grad_input"
    assert "MaxPool2.backprop" in first.source
    assert first.cause is not None
    assert first.cause.name == "tie rule: all"
    assert first.cause.units_after == 0
    assert "with the ties broken towards the first winner the same layer matches" in first.cause.words


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_follows(dtype: str) -> None:
    """The convolution's gradient and weights are off at the end of the first step, because of the pool alone."""
    comparison = comparison_of(dtype, ())
    assert comparison.broken == WRONG
    assert list(comparison.consequences) == [("conv", "weight.grad"), ("conv", "weight")]
    assert {c.judgement.place.step for c in comparison.consequences.values()} == {1}
    assert comparison.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", sorted(TEST_DRIVE), ids=".".join)
def test_drive(dtype: str, place: tuple[str, str]) -> None:
    """With the filters frozen every quantity that is computed is right."""
    kinds = (Kind.LAYER, Kind.UPDATE, Kind.WHOLE)
    assert set(counts(comparison_of(dtype, ("conv",)), kinds, place)) == {Verdict.MATCH}


@pytest.mark.parametrize("dtype", DTYPES)
def test_drive_ends_in_a_match(dtype: str) -> None:
    """With the filters frozen the run as a whole matches, the free run too."""
    comparison = comparison_of(dtype, ("conv",))
    assert comparison.free_verdict is Verdict.MATCH
    assert comparison.verdict is Verdict.MATCH
