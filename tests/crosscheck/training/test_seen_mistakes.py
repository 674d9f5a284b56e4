"""Mistakes in a training step whose layers can be seen: named once they explain a second step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.checks import checks_of
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from crosscheck.run.check import run_checks
from tests.support.faults.fault import FAULTS
from tests.support.faults.outcome import first_outcome_of, up_to_the_first
from tests.support.faults.training.hosts import MOMENTUM, NETWORK
from tests.support.model_pairs import SETTINGS
from tests.textbook.linear import Linear
from tests.textbook.loss import Labels
from tests.textbook.network import Network as Trained

NAMED = [
    *(f"training-{name}" for name in ("activation-skipped-backward", "batch-of-the-first-step", "buffers-by-layers-shape", "clipped-by-norm")),
    *(f"training-{name}" for name in ("initialised-in-each-step", "labels-in-another-order", "layers-in-another-order", "samples-flipped")),
    "holdout-mask-of-the-first-step",
]


@pytest.mark.parametrize("name", NAMED)
def test_planted_fault_is_named(name: str) -> None:
    outcome = first_outcome_of(FAULTS[name])
    assert FAULTS[name].cause
    assert (outcome.place, outcome.cause) == (FAULTS[name].at, FAULTS[name].cause)


LONGEST = 240


class _Step(Trained):
    """Counts its steps."""

    steps = 0

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.steps += 1
        return super().train_step(x, labels)


class _PreviousBatch(Trained):
    kept: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        before, self.kept = (x if self.kept is None else self.kept), x.copy()
        return super().train_step(before, labels)


class _Shuffled(_Step):
    """Samples are shuffled in each step, and the labels are not."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        order = np.roll(np.arange(len(x)), self.steps + 1)
        return super().train_step(x[order], labels)


class _LabelsShuffled(_Step):
    def train_step(self, x: Array, labels: Labels) -> Array:
        order = np.array([[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]][self.steps % 3])
        return super().train_step(x, labels[order])


class _LabelsOfTheFirstStep(Trained):
    kept: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.kept = labels.copy() if self.kept is None else self.kept
        return super().train_step(x, self.kept)


class _LeftOutForward(Trained):
    def forward(self, x: Array) -> Array:
        for name, layer in self.layers.items():
            x = x if name == "second" else layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> None:
        for name, layer in reversed(self.layers.items()):
            grad_output = grad_output if name == "second" else layer.backward(grad_output)

    def update(self) -> None:
        self.layers["second"].grads = {name: np.zeros_like(value) for name, value in self.layers["second"].params.items()}
        super().update()


class _GradientOfTheLoss(Trained):
    """The second layer gets the gradient of the loss, not that of the last layer."""

    def backward(self, grad_output: Array) -> None:
        of_loss = grad_output
        for name, layer in reversed(self.layers.items()):
            grad_output = layer.backward(of_loss if name == "second" else grad_output)


class _KeepsItsInput(Linear):
    def forward(self, x: Array) -> Array:
        kept = getattr(self, "_x", x)
        result = super().forward(x)
        self._x = kept
        return result


class _InputOfTheFirstStep(Trained):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        second = self.layers["second"]
        assert isinstance(second, Linear)
        second.__class__ = _KeepsItsInput


class _ClippedTogether(Trained):
    """The gradients of the whole network are clipped to a norm of 0.2."""

    def update(self) -> None:
        norm = np.sqrt(sum(np.square(grad).sum() for layer in self.layers.values() for grad in layer.grads.values()))
        self.factor = min(1.0, 0.2 / float(norm))
        super().update()

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, grad * grad.dtype.type(self.factor))


class _ClippedByValue(Trained):
    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, np.clip(grad, -0.01, 0.01))


PLANTED = {
    _PreviousBatch: ("earlier batch", "first receives the batch of the previous step"),
    _Shuffled: ("samples in another order", "first receives the batch, but the samples are in another order"),
    _LabelsShuffled: ("labels in another order", "the labels are in another order than the samples"),
    _LabelsOfTheFirstStep: ("earlier labels", "the labels are those of the first step"),
    _LeftOutForward: ("left out forward", "second is left out of the forward pass: last receives the output of relu"),
    _GradientOfTheLoss: ("another layer", "second receives the gradient that loss returns, where the gradient that last returns is right"),
    _InputOfTheFirstStep: ("earlier input", "the weight gradient is computed from the input of the first step, which second kept"),
    _ClippedTogether: ("clipped by its norm", "the gradient of the whole network is clipped to a norm of 0.2"),
    _ClippedByValue: ("clipped by value", "each number of the gradient is clipped to 0.01"),
}


@pytest.mark.parametrize("kind", PLANTED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("host", [NETWORK, MOMENTUM], ids=lambda host: host.name)
def test_fault_of_the_same_kind_is_named(kind: Any, host: Any) -> None:
    pair = host.pair(kind)
    result = next(one for _, one, _ in run_checks(pair, [c for c in checks_of(pair) if c.name == "lockstep-float64"], SETTINGS))
    assert result.divergence is not None
    assert result.divergence.cause is not None
    assert (result.divergence.cause.name, result.divergence.cause.confirmed) == (PLANTED[kind][0], True)
    assert PLANTED[kind][1] in result.divergence.cause.words


class _OnceReversed(_Step):
    """The labels are in reverse order in the first step alone."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x, labels if self.steps else labels[::-1].copy())


class _NoisyBatch(Trained):
    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x + np.random.default_rng(labels).normal(size=x.shape).astype(x.dtype) / 100, labels)


class _NoisyUpdate(Trained):
    def direction(self, name: str, grad: Array) -> Array:
        noise = np.random.default_rng(grad.view(np.uint8).ravel()).uniform(0.5, 1, grad.shape)
        return super().direction(name, grad * noise.astype(grad.dtype))


class _AnyFactor(Trained):
    """The step is shorter by a factor that nobody would choose."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, grad * grad.dtype.type(0.3183098861))


@pytest.mark.parametrize("kind", [_OnceReversed, _NoisyBatch, _NoisyUpdate, _AnyFactor], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("host", [NETWORK, MOMENTUM], ids=lambda host: host.name)
def test_noise_is_no_mistake(kind: Any, host: Any) -> None:
    outcome = up_to_the_first(host.pair(kind), SETTINGS)
    assert (outcome.verdict, outcome.cause) == (Verdict.MISMATCH, "")


@pytest.mark.parametrize("host", [NETWORK, MOMENTUM], ids=lambda host: host.name)
def test_right_network_has_no_cause(host: Any) -> None:
    outcome = up_to_the_first(host.pair(host.right), SETTINGS)
    assert (outcome.verdict, outcome.cause) == (Verdict.MATCH, "")


@pytest.mark.parametrize("name", ["training-labels-in-another-order", "training-labels-from-one"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_next_step_decides_between_two_causes(name: str, seed: int) -> None:
    """Labels off by one and labels moved by a place may be the same labels, in another order or not, and give the same loss."""
    assert first_outcome_of(FAULTS[name], seed).cause == FAULTS[name].cause


@pytest.mark.parametrize("name", NAMED)
def test_sentence_is_short(name: str) -> None:
    assert len(first_outcome_of(FAULTS[name]).words) <= LONGEST
