"""Pairs of whole models: right networks in four ways of writing match; each planted fault is found at its place, with its cause if it has a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck.core.judge import Verdict
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.run.check import check_pair
from tests.support import hand_written
from tests.support.hand_written import Array, DictsCNN
from tests.support.model_pairs import LR, PAIRS, SETTINGS, dicts_pair, of_class, replaced, result_of, stepping, whole_cnn_pair, whole_pair

PRECISIONS = pytest.mark.parametrize("dtype", ["float64", "float32"])


@pytest.mark.each_choice("name", "claim", "dtype")
@PRECISIONS
@pytest.mark.parametrize("claim", ["lockstep", "freerun"])
@pytest.mark.parametrize("name", PAIRS)
def test_right_network_matches(name: str, claim: str, dtype: str) -> None:
    result = result_of(PAIRS[name](), f"{claim}-{dtype}")
    assert result.verdict is Verdict.MATCH, (result.reason, result.divergence)
    assert result.divergence is None


@pytest.mark.parametrize("name", ["dicts", "attributes", "updating", "whole-step"])
def test_right_network_keeps_the_contracts(name: str) -> None:
    result = check_pair(PAIRS[name](), SETTINGS, lambda check: check.startswith("contract-"))
    assert {r.verdict for r in result.results} <= {Verdict.MATCH, Verdict.SKIPPED}, [r.reason for r in result.results]


class ConvSign(hand_written.Conv):
    """The gradient of the weight has the wrong sign."""

    def backward(self, grad: Array) -> Array:
        result = super().backward(grad)
        self.grads["W"] = -self.grads["W"]
        return result


class LinearNotTransposed(hand_written.Linear):
    """The gradient of the weight is that of the sum of the outputs."""

    def backward(self, grad: Array) -> Array:
        result = super().backward(grad)
        self.grads["W"] = self.x.T @ np.ones_like(grad)
        return result


class LinearUpdatesFirst(hand_written.Linear):
    """The weight is updated before it is used for the input's gradient."""

    def backward(self, grad: Array) -> Array:
        super().backward(grad)
        return np.asarray(grad @ (self.params["W"] - LR * self.grads["W"]).T)


class ReluOfGradient(hand_written.ReLU):
    """The mask is that of the gradient."""

    def backward(self, grad: Array) -> Array:
        return np.asarray(grad * (grad > 0))


class PoolAll(hand_written.MaxPool):
    """Every element that equals the maximum gets the gradient."""

    def winners(self) -> Array:
        return np.asarray(self.windows == self.windows.max(axis=-1, keepdims=True))


class LossSum(hand_written.SoftmaxLoss):
    """The gradient is that of the sum, the loss the mean."""

    def backward(self) -> Array:
        return super().backward() * len(self.labels)


class LossLabel(hand_written.SoftmaxLoss):
    """Each label counts as the next one."""

    def forward(self, logits: Array, labels: Array) -> Array:
        return super().forward(logits, (labels + 1) % 3)


def scaled_wire(network: DictsCNN) -> None:
    """Scale what the linear layer gets by hardly anything."""

    def forward(self: DictsCNN, x: Array) -> Array:
        for name, layer in self.layers.items():
            x = layer.forward(x * x.dtype.type(1 + 2e-7) if name == "linear" else x)
        return x

    network.forward = MethodType(forward, network)  # type: ignore[method-assign]


def forgetful(network: DictsCNN) -> None:
    """Lose the momentum buffers before each update."""
    replaced("update", lambda update, owner: lambda: (owner.velocity.clear(), update()))(network)


def few_values(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return images of two values, in whose windows there are many ties."""
    return rng.integers(0, 2, (4, 1, 6, 6)).astype(np.float64), rng.integers(0, 3, 4)


def one_value(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return images without a contour, in which every window ties."""
    return np.ones((4, 1, 6, 6)) * 5 * rng.standard_normal((4, 1, 1, 1)), rng.integers(0, 3, 4)


@dataclass(frozen=True)
class Planted:
    """A fault, where it must be found and, where it has a name, by which cause."""

    pair: Callable[[], ModelPair]
    place: str
    cause: str = ""


SECOND = "step 1, second.weight"
IMPLIED = "the gradient is implied by the update: (before - after) / lr"


def of_grads(change: Callable[[dict[str, Array]], dict[str, Array]], place: str, cause: str) -> Planted:
    """Return a fault in the gradients that a whole step uses."""
    return Planted(lambda: whole_pair(stepping(lambda _, grads: change(grads))), place, cause)


FAULTS = {
    "conv-sign": Planted(lambda: dicts_pair(of_class("conv", ConvSign)), "step 1, conv.weight.grad", "the sign is wrong"),
    "linear-grad": Planted(lambda: dicts_pair(of_class("linear", LinearNotTransposed)), "step 1, linear.weight.grad"),
    "updates-first": Planted(lambda: dicts_pair(of_class("linear", LinearUpdatesFirst)), "step 1, linear.grad_input"),
    "relu-mask": Planted(lambda: dicts_pair(of_class("relu", ReluOfGradient)), "step 1, relu.grad_input"),
    "pool-ties": Planted(
        lambda: dicts_pair(of_class("pool", PoolAll), batches=few_values), "step 1, pool.grad_input", "every pixel that equals its window's maximum"
    ),
    "loss-sum": Planted(lambda: dicts_pair(of_class("loss", LossSum)), "step 1, loss.grad_input", "probabilities - target is not divided by 4"),
    "loss-label": Planted(lambda: dicts_pair(of_class("loss", LossLabel)), "step 1, loss.output"),
    "wire": Planted(lambda: dicts_pair(scaled_wire), "step 1, linear.input"),
    "forgetful": Planted(lambda: dicts_pair(forgetful), "step 2, conv.weight"),
    "other-momentum": Planted(lambda: dicts_pair(lambda network: setattr(network, "momentum", 0.5)), "step 2, conv.weight"),
    "whole-sign": of_grads(lambda grads: {"W2": -grads["W2"]}, SECOND, f"has the wrong sign; {IMPLIED}"),
    "whole-batch": of_grads(lambda grads: {n: 4 * g for n, g in grads.items()}, SECOND, f"batch size, 4: a sum instead of a mean; {IMPLIED}"),
    "whole-one-parameter": of_grads(lambda grads: {"b1": 0 * grads["b1"]}, "step 1, first.bias", "the parameter is not updated"),
    "whole-layer-frozen": of_grads(lambda grads: {n: 0 * grads[n] for n in ("W2", "b2")}, SECOND, "the parameter is not updated"),
    "whole-pool-ties": Planted(
        lambda: whole_cnn_pair(of_class("pool", PoolAll), batches=one_value), "step 1, conv.weight", "tie rule of pool: every pixel that equals"
    ),
    "whole-trains-frozen": Planted(lambda: whole_pair(frozen=("second",)), SECOND),
    "whole-loss-sum": Planted(lambda: whole_pair(loss=nn.CrossEntropyLoss(reduction="sum")), "step 1, loss.output", "divided by the batch size, 4"),
}


@pytest.mark.each_choice("fault", "dtype")
@PRECISIONS
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_where_it_is(fault: str, dtype: str) -> None:
    row = FAULTS[fault]
    result = result_of(row.pair(), f"lockstep-{dtype}")
    assert result.verdict is Verdict.MISMATCH
    assert result.divergence is not None
    assert str(result.divergence.judgement.place) == row.place
    cause = result.divergence.cause
    assert row.cause in (cause.words if cause else "")
    assert not row.cause or cause


def test_consequences_are_told_from_the_fault() -> None:
    """A wrong gradient of a ReLU makes the gradients before it wrong, which the layer before it cannot help."""
    result = result_of(dicts_pair(of_class("relu", ReluOfGradient)), "lockstep-float64")
    followed = [note.split(" is off")[0] for note in result.notes if "its layer is right on the values it received" in note]
    assert followed == ["conv.grad_input", "conv.weight.grad", "conv.bias.grad", "conv.weight", "conv.bias"]


def test_isolated_verdict_stands_beside_the_first_divergence() -> None:
    result = result_of(dicts_pair(of_class("conv", ConvSign)), "lockstep-float64")
    assert result.divergence is not None
    assert result.divergence.isolated is not None
    assert result.divergence.isolated.verdict is Verdict.MISMATCH


def test_both_checks_look_at_one_run() -> None:
    """The network is trained once for the two of them."""
    made: list[Any] = []
    pair = dicts_pair(made.append)
    result_of(pair, "lockstep-float64")
    before = len(made)
    result_of(pair, "freerun-float64")
    assert len(made) == before
