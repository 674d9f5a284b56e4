"""The judge of training steps, judged: a fault in a layer, on a wire, in an update or between steps is found there, at its step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from training.subjects import ScratchNetwork, Twins

import scratch
from crosscheck.core.judge import Kind, Verdict
from scratch.layer import Array
from tests.support.networks import trained
from tests.support.training_runs import SETTINGS, ConvSign, of_kind, plan, twins_of


class ReluPassesAll(scratch.ReLU):
    """The gradient passes where the input was negative."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output


class ReluNan(scratch.ReLU):
    """One element comes out as NaN."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        output.flat[0] = np.nan
        return output


class LinearNoBias(scratch.Linear):
    """The bias is not added."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) - self.params["bias"]


class LossLabelOffByOne(scratch.SoftmaxCrossEntropy):
    """Each label counts as the next one."""

    def forward(self, logits: Array, labels: scratch.loss.Labels) -> Array:
        return super().forward(logits, (labels + 1) % 10)


class ForwardWire(scratch.Sequential):
    """Something changes between two layers, hardly."""

    def forward(self, x: Array) -> Array:
        for name, layer in self.layers.items():
            x = layer.forward(x * (1 + 1e-15) if name == "pool1" else x)
        return x


class BackwardWire(scratch.Sequential):
    """The gradient is halved on its way from one layer to the one before."""

    def backward(self, grad_output: Array) -> Array:
        for name, layer in reversed(self.layers.items()):
            grad_output = layer.backward(grad_output / 2 if name == "relu2" else grad_output)
        return grad_output


class OtherPixels(scratch.Sequential):
    """The images are scaled otherwise."""

    def forward(self, x: Array) -> Array:
        return super().forward(x * 255 / 256)


class LayerLeftOut(scratch.Sequential):
    """One layer is never run."""

    def forward(self, x: Array) -> Array:
        for name, layer in self.layers.items():
            x = x if name == "relu3" else layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        for name, layer in reversed(self.layers.items()):
            grad_output = grad_output if name == "relu3" else layer.backward(grad_output)
        return grad_output


class StaleGradient(scratch.SGD):
    """Each step uses the gradients of the step before."""

    _last: Mapping[str, Array] | None = None

    def step(self, grads: Mapping[str, Array]) -> None:
        grads = {name: value.copy() for name, value in grads.items()}
        super().step(self._last or grads)
        self._last = grads


class Forgetful(scratch.SGD):
    """The momentum buffers are lost before each step."""

    def step(self, grads: Mapping[str, Array]) -> None:
        self.state["momentum"].clear()
        super().step(grads)


class TimesBatch(scratch.SGD):
    """The learning rate is multiplied by the batch size."""

    def step(self, grads: Mapping[str, Array]) -> None:
        self.lr = SETTINGS.lr * 3
        super().step(grads)


class Drifting(scratch.SGD):
    """One weight moves by itself, a little."""

    def step(self, grads: Mapping[str, Array]) -> None:
        super().step(grads)
        self.params["linear2.weight"][0, 0] *= 1 + 1e-12


@dataclass(frozen=True)
class Planted:
    """A fault and where it must be found."""

    plant: Callable[[ScratchNetwork], None]
    place: str
    kind: Kind
    broken: set[tuple[str, str]]


WEIGHTS = {(layer, name) for layer in ("conv1", "conv2", "linear1", "linear2") for name in ("weight", "bias")}
BUFFERS = {(layer, f"{name}.momentum") for layer, name in WEIGHTS}

FAULTS = {
    "conv-sign": Planted(of_kind("conv2", ConvSign), "step 1, conv2.weight.grad", Kind.LAYER, {("conv2", "weight.grad")}),
    "relu-passes-all": Planted(of_kind("relu2", ReluPassesAll), "step 1, relu2.grad_input", Kind.LAYER, {("relu2", "grad_input")}),
    "linear-no-bias": Planted(of_kind("linear1", LinearNoBias), "step 1, linear1.output", Kind.LAYER, {("linear1", "output")}),
    "loss-label": Planted(of_kind("loss", LossLabelOffByOne), "step 1, loss.output", Kind.LAYER, {("loss", "output"), ("loss", "grad_input")}),
    "relu-nan": Planted(of_kind("relu3", ReluNan), "step 1, relu3.output", Kind.LAYER, {("relu3", "output")}),
    "forward-wire": Planted(of_kind("model", ForwardWire), "step 1, pool1.input", Kind.WIRE, {("pool1", "input")}),
    "backward-wire": Planted(of_kind("model", BackwardWire), "step 1, relu2.grad_output", Kind.WIRE, {("relu2", "grad_output")}),
    "other-pixels": Planted(of_kind("model", OtherPixels), "step 1, conv1.input", Kind.WIRE, {("conv1", "input")}),
    "layer-left-out": Planted(
        of_kind("model", LayerLeftOut), "step 1, relu3.input", Kind.WIRE, {("relu3", "input"), ("relu3", "output"), ("linear2", "input")}
    ),
    "stale-gradient": Planted(of_kind("optimizer", StaleGradient), "step 2, conv1.weight", Kind.UPDATE, WEIGHTS | BUFFERS),
    "forgetful": Planted(of_kind("optimizer", Forgetful), "step 2, conv1.weight", Kind.UPDATE, WEIGHTS | BUFFERS),
    "times-batch": Planted(of_kind("optimizer", TimesBatch), "step 1, conv1.weight", Kind.UPDATE, WEIGHTS),
    "drifting": Planted(of_kind("optimizer", Drifting), "step 1, linear2.weight", Kind.UPDATE, {("linear2", "weight")}),
}


@pytest.mark.slow(
    "each is trained; the rows show a fault in a layer, a wire, the loss, the optimizer and the images",
    default=["conv-sign", "relu-nan", "backward-wire", "loss-label", "times-batch", "other-pixels", "layer-left-out"],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_where_it_is(fault: str) -> None:
    """The first divergence is the fault's own place, and no link breaks but those that the fault breaks."""
    row, twins = FAULTS[fault], twins_of()
    assert isinstance(twins.subject, ScratchNetwork)
    row.plant(twins.subject)
    # The layers' own functions are copies, made before the fault was planted.
    subject = ScratchNetwork(twins.subject.model, twins.subject.loss, twins.subject.optimizer, twins.subject.layouts)
    comparison = trained(Twins(subject, twins.architecture, twins.make), plan())
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == row.place
    assert comparison.first.judgement.kind is row.kind
    assert comparison.broken == row.broken


def test_no_fault() -> None:
    """The same network without a fault matches."""
    comparison = trained(twins_of(), plan())
    assert comparison.verdict is Verdict.MATCH
    assert comparison.first is None


def test_weight_changed_between_steps() -> None:
    """A weight that changes after a step is found where the next one starts."""
    twins = twins_of()
    assert isinstance(twins.subject, ScratchNetwork)
    weight = twins.subject.model.layers["linear2"].params["weight"]

    def between(step: int) -> None:
        if step == 2:
            weight[0, 0] *= 1 + 1e-15

    first = trained(twins, plan(), between=between).first
    assert first is not None
    assert str(first.judgement.place) == "step 3, linear2.weight.before"
    assert first.judgement.kind is Kind.WIRE


def test_frozen_layer_that_trains() -> None:
    """A frozen layer must keep its weights bit for bit."""
    twins = twins_of(frozen=("linear2",))
    assert isinstance(twins.subject, ScratchNetwork)
    twins.subject.optimizer.params = twins.subject.model.params
    everything = property(lambda model: {f"{n}.{p}": g for n, layer in model.layers.items() for p, g in layer.grads.items()})
    twins.subject.model.__class__ = type("TrainsAll", (scratch.Sequential,), {"grads": everything})
    first = trained(twins, plan()).first
    assert first is not None
    assert str(first.judgement.place) == "step 1, linear2.weight"
