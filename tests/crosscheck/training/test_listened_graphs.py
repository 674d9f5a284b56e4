"""Faults of networks that are more than a chain of layers: residual connections, running statistics, masks, an optimizer's state of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from digits.batches import batches
from training.run import Plan, compared
from training.subjects import Twins, layered

import scratch
from crosscheck.core.judge import Kind, Verdict
from crosscheck.training.listened import TrainingComparison
from scratch.layer import Array
from tests.support.networks import digits, every_connection

STEPS = 3


class ShortcutForgotten(scratch.Residual):
    """Nothing is added to what the body puts out."""

    def forward(self, x: Array) -> Array:
        assert self.shortcut is not None
        return self.body.forward(x) + 0 * self.shortcut.forward(x)


class GradientPastIt(scratch.Residual):
    """The gradient goes through the body alone."""

    def backward(self, grad_output: Array) -> Array:
        return self.body.backward(grad_output)


class BiasedRunningVariance(scratch.BatchNorm2d):
    """The running variance is that of the batch, not the estimate."""

    def forward(self, x: Array) -> Array:
        before = self.buffers["running_var"].copy()
        output = super().forward(x)
        count = x.size / x.shape[1]
        moved = self.buffers["running_var"] - (1 - self.momentum) * before
        self.buffers["running_var"][...] = (1 - self.momentum) * before + moved * (count - 1) / count
        return output


class StatisticsForgotten(scratch.BatchNorm2d):
    """The running mean starts anew in each step."""

    def forward(self, x: Array) -> Array:
        self.buffers["running_mean"][...] = 0
        return super().forward(x)


class NotScaled(scratch.Dropout):
    """What is kept is not scaled up."""

    def forward(self, x: Array, mask: scratch.dropout.Mask | None = None) -> Array:
        return super().forward(x, mask) * (1 - self.p)


class MaskRedrawn(scratch.Dropout):
    """The backward pass uses a mask of its own."""

    def backward(self, grad_output: Array) -> Array:
        assert self.mask is not None
        right = super().backward(grad_output)
        return np.asarray(np.roll(right, 1, axis=0))


class NotCorrected(scratch.Adam):
    """The running means are not corrected for their start at zero."""

    def update(self, name: str, param: Array, grad: Array) -> None:
        before = param.copy()
        super().update(name, param, grad)
        first, second = self.state["exp_avg"][name], self.state["exp_avg_sq"][name]
        param[...] = before - self.lr * first / (np.sqrt(second) + self.eps)


class SecondMomentOfTheFirst(scratch.Adam):
    """The second running mean is moved with the decay of the first one."""

    def update(self, name: str, param: Array, grad: Array) -> None:
        before = {kept: arrays[name].copy() for kept, arrays in self.state.items() if name in arrays}
        super().update(name, param, grad)
        old = before.get("exp_avg_sq", np.zeros_like(grad))
        self.state["exp_avg_sq"][name][...] = self.betas[0] * old + (1 - self.betas[0]) * grad**2


def part(name: str, kind: type) -> Callable[[scratch.Sequential, scratch.Optimizer], None]:
    """Return what makes one part of the network one of a faulty kind."""

    def plant(model: scratch.Sequential, optimizer: scratch.Optimizer) -> None:
        target = optimizer if name == "optimizer" else (model.parts | model.layers)[name]
        target.__class__ = kind

    return plant


@dataclass(frozen=True)
class Planted:
    """A fault, where it shows first, and as which kind of link."""

    plant: Callable[[scratch.Sequential, scratch.Optimizer], None]
    place: str
    kind: Kind


FAULTS: dict[str, Planted] = {
    "shortcut-forgotten": Planted(part("block2", ShortcutForgotten), "step 1, tanh.input", Kind.WIRE),
    "gradient-past-it": Planted(part("block1", GradientPastIt), "step 1, relu.grad_output", Kind.WIRE),
    "biased-running-variance": Planted(part("norm", BiasedRunningVariance), "step 1, norm.running_var", Kind.LAYER),
    "statistics-forgotten": Planted(part("block1.norm1", StatisticsForgotten), "step 2, block1.norm1.running_mean", Kind.LAYER),
    "not-scaled": Planted(part("dropout", NotScaled), "step 1, dropout.output", Kind.LAYER),
    "mask-redrawn": Planted(part("dropout", MaskRedrawn), "step 1, dropout.grad_input", Kind.LAYER),
    "not-corrected": Planted(part("optimizer", NotCorrected), "step 1, conv.weight", Kind.UPDATE),
    "second-moment": Planted(part("optimizer", SecondMomentOfTheFirst), "step 1, conv.weight.exp_avg_sq", Kind.UPDATE),
}


def trained(
    plant: Callable[[scratch.Sequential, scratch.Optimizer], None], between: Callable[[Twins], None] = lambda twins: None
) -> TrainingComparison:
    """Train the network with a fault in it; ``between`` is called after each step."""
    model = every_connection(np.random.default_rng(0), np.float64)
    optimizer = scratch.Adam(model.trainable_params, lr=0.01)
    plant(model, optimizer)
    twins = layered(model, optimizer)
    plan = Plan(np.dtype(np.float64), 4, STEPS, 1, 0, 0)
    comparison = compared(twins, plan, digits())
    for batch in batches(digits(), plan, np.random.default_rng(0)):
        comparison.step(batch.x, batch.labels)
        between(twins)
    return comparison


@pytest.mark.slow(
    "each is trained; the rows show a fault of the graph, of a statistic, of a mask and of a state",
    default=["shortcut-forgotten", "biased-running-variance", "not-scaled", "second-moment"],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_where_it_is(fault: str) -> None:
    comparison = trained(FAULTS[fault].plant)
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == FAULTS[fault].place
    assert comparison.first.judgement.kind is FAULTS[fault].kind


def test_statistics_that_change_between_steps() -> None:
    """What a layer keeps is a wire from one step to the next."""

    def shifted(twins: Twins) -> None:
        layer = twins.subject.model.layers["norm"]  # type: ignore[attr-defined]
        layer.buffers["running_mean"] += 1

    comparison = trained(lambda model, optimizer: None, shifted)
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == "step 2, norm.running_mean.before"
    assert comparison.first.judgement.kind is Kind.WIRE


@pytest.mark.slow("each is trained; the parameter that is forgotten shows the harder one", default=["linear-step 2, linear.weight.exp_avg.before"])
@pytest.mark.parametrize(("layer", "place"), [("", "step 2, conv.weight.exp_avg.before"), ("linear", "step 2, linear.weight.exp_avg.before")])
def test_state_that_is_gone(layer: str, place: str) -> None:
    """An optimizer that is made anew in each step, or forgets one parameter, starts from less than the step before left."""

    def forgetful(twins: Twins) -> None:
        state = twins.subject.optimizer.state  # type: ignore[attr-defined]
        for arrays in state.values():
            for name in [name for name in arrays if name.startswith(layer)]:
                del arrays[name]

    comparison = trained(lambda model, optimizer: None, forgetful)
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == place


def test_nested_shortcuts() -> None:
    """One layer's output arrives twice at the same sum; it is counted twice, backwards as well."""
    rng = np.random.default_rng(0)
    conv = scratch.Conv2d(2, 2, 3, padding=1, rng=rng)
    model = scratch.Sequential(
        first=scratch.Conv2d(1, 2, 3, 3, rng=rng),
        relu=scratch.ReLU(),
        block=scratch.Residual(scratch.Residual(conv)),
        flat=scratch.Flatten(),
        last=scratch.Linear(162, 10, rng=rng),
    )
    twins = layered(model, scratch.SGD(model.trainable_params, lr=0.01))
    plan = Plan(np.dtype(np.float64), 4, 2, 1, 0, 0)
    comparison = compared(twins, plan, digits())
    for batch in batches(digits(), plan, np.random.default_rng(0)):
        comparison.step(batch.x, batch.labels)
    assert comparison.verdict is Verdict.MATCH
