"""The judge of training steps, judged: a fault in a layer, on a wire, in an update or between steps is found there, at its step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from training.run import Plan, compared
from training.subjects import ScratchNetwork, Twins, layered

import scratch
from crosscheck.core.judge import Kind, Verdict
from crosscheck.oracles.optimizers import SgdSettings
from scratch.layer import Array
from tests.support.networks import digits, every_layer, first_of, trained

STEPS = 4
SETTINGS = SgdSettings(0.01, momentum=0.9)


class ConvSign(scratch.Conv2d):
    """The gradient of the weight has the wrong sign."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.grads["weight"] = -self.grads["weight"]
        return grad_input


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


def of_kind(name: str, kind: type) -> Callable[[ScratchNetwork], None]:
    """Return a change that turns a layer, the loss, the model or the optimizer into a faulty one of the same shape."""

    def plant(subject: ScratchNetwork) -> None:
        parts = {"model": subject.model, "loss": subject.loss, "optimizer": subject.optimizer, **subject.model.layers}
        parts[name].__class__ = kind

    return plant


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


def twins_of(frozen: tuple[str, ...] = ()) -> Twins:
    """Return the network under test, right in all its parts and not yet faulty."""
    model = every_layer(np.random.default_rng(0), np.float64)
    model.freeze(*frozen)
    return layered(model, scratch.SGD(model.trainable_params, SETTINGS.lr, SETTINGS.momentum, weight_decay=SETTINGS.weight_decay))


def plan(steps: int = STEPS, check_every: int = 1, perturbed: int = 0) -> Plan:
    """Return a short plan in float64."""
    return Plan(np.dtype(np.float64), 3, steps, check_every, perturbed, 0)


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
    assert (str(first_of(comparison).place), first_of(comparison).kind) == (row.place, row.kind)
    assert comparison.broken == row.broken


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

    first = first_of(trained(twins, plan(), between=between))
    assert (str(first.place), first.kind) == ("step 3, linear2.weight.before", Kind.WIRE)


def test_frozen_layer_that_trains() -> None:
    """A frozen layer must keep its weights bit for bit."""
    twins = twins_of(frozen=("linear2",))
    assert isinstance(twins.subject, ScratchNetwork)
    twins.subject.optimizer.params = twins.subject.model.params
    everything = property(lambda model: {f"{n}.{p}": g for n, layer in model.layers.items() for p, g in layer.grads.items()})
    twins.subject.model.__class__ = type("TrainsAll", (scratch.Sequential,), {"grads": everything})
    assert str(first_of(trained(twins, plan())).place) == "step 1, linear2.weight"


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
