"""The tutorial's own code: right everywhere but in its pool, whose tie rule is named; right to the end where only the softmax trains."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict

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
DTYPES = (
    "float64",
    pytest.param("float32", marks=pytest.mark.slow("trains once more; test_pytorch_lockstep.py has both precisions")),
)
RIGHT = {
    "conv.output", "conv.weight.grad", "conv.weight", "pool.output", "loss.output", "loss.grad_input",
    "softmax.output", "softmax.grad_input", "softmax.weight.grad", "softmax.bias.grad", "softmax.weight", "softmax.bias",
}  # fmt: skip


def reading_after(scale: float) -> Bound:
    """Return the error of reading the filters' gradient after a call of the layer with a cotangent of this scale."""
    twins = chosen(Choice("article", "tutorial", ["torch"], np.float64, 0.005, None, 1), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    call = Call(rng.standard_normal((1, 1, 6, 5)), {"weight": rng.standard_normal((8, 1, 3, 3))}, rng.standard_normal((1, 8, 4, 3)))
    conv = twins.subject.layers["conv"]
    conv.vjp(call.with_grad_output(scale * rng.standard_normal((1, 8, 4, 3))))
    found = conv.reading("weight.grad", call, rng.standard_normal((8, 1, 3, 3)))
    assert found is not None
    return found


def test_tolerance_does_not_depend_on_earlier_calls() -> None:
    """A gradient of the training step is judged by its own size, not by that of the last call of the layer."""
    small, large = reading_after(1.0), reading_after(1e6)
    assert np.array_equal(small.abs_sum, large.abs_sum)


@functools.cache
def comparison_of(dtype: str, freeze: tuple[str, ...]) -> TrainingComparison:
    """Return the comparison of the article's network after some steps."""
    twins = chosen(Choice("article", "tutorial", ["torch"], np.dtype(dtype), 0.005, None, 1, freeze), np.random.default_rng(0))
    return trained(twins, Plan(np.dtype(dtype), 1, STEPS, 1, 2, 0))


def counts(comparison: TrainingComparison, *kinds: Kind) -> dict[str, dict[Verdict, int]]:
    """Return for each quantity how many comparisons of these kinds ended in each verdict."""
    found: dict[str, Counter[Verdict]] = defaultdict(Counter)
    for (kind, *place), series in comparison.record.series.items():
        if kind in kinds:
            found[".".join(place)].update({verdict: count for verdict, count in series.counts.items() if count})
    return {place: dict(verdicts) for place, verdicts in found.items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_pool_alone_is_wrong(dtype: str) -> None:
    """Each quantity but the pool's input gradient is right on the values that the layer got; that one is wrong in every step, tried alone, too."""
    comparison = comparison_of(dtype, ())
    others = {"pool.grad_input": {Verdict.MISMATCH: STEPS}, "conv.grad_input": {Verdict.SKIPPED: STEPS}}  # the tutorial's code has none of the latter
    expected = {place: {Verdict.MATCH: STEPS} for place in RIGHT} | others
    assert counts(comparison, Kind.LAYER, Kind.UPDATE) == expected
    assert counts(comparison, Kind.ISOLATED)["pool.grad_input"] == {Verdict.MISMATCH: STEPS}


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
    assert "on the same input without ties the layer matches" in first.cause.words


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_follows(dtype: str) -> None:
    """The convolution's gradient and weights are off at the end of the first step, because of the pool alone."""
    comparison = comparison_of(dtype, ())
    assert comparison.broken == {("pool", "grad_input")}
    assert list(comparison.consequences) == [("conv", "weight.grad"), ("conv", "weight")]
    assert {c.judgement.place.step for c in comparison.consequences.values()} == {1}
    assert comparison.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("dtype", DTYPES)
def test_frozen_filters_leave_nothing_wrong(dtype: str) -> None:
    """Every quantity that is computed is right, and so is the run as a whole, the free run too."""
    comparison = comparison_of(dtype, ("conv",))
    found = counts(comparison, Kind.LAYER, Kind.UPDATE, Kind.WHOLE)
    assert RIGHT - found.keys() == {"conv.weight.grad"}
    assert {place: verdicts for place, verdicts in found.items() if set(verdicts) != {Verdict.MATCH}} == {}
    assert (comparison.free_verdict, comparison.verdict) == (Verdict.MATCH, Verdict.MATCH)
