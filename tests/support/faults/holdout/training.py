"""Blind mistakes in whole training steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.training.hosts import MOMENTUM as NETWORK_MOMENTUM
from tests.support.faults.training.hosts import NETWORK, WHOLE, WHOLE_MOMENTUM
from tests.textbook.loss import Labels
from tests.textbook.network import Network as Trained
from tests.textbook.network import ReLU as Rectifier


@planted(NETWORK, at="lockstep-float64", hidden="the loss goes down")
class UpdatedOnTheWay(Trained):
    """Each layer is updated before it hands its gradient back, by the new weights."""

    def backward(self, grad_output: Array) -> None:
        for name, layer in reversed(self.layers.items()):
            layer.backward(grad_output)
            for key in layer.params:
                self.move(f"{name}.{key}", layer.params[key], layer.grads[key])
            grads = dict(layer.grads)
            grad_output = layer.backward(grad_output)
            layer.grads = grads

    def update(self) -> None:
        """Nothing is left to do."""


@planted(WHOLE_MOMENTUM, at="last.weight", cause="shared buffer", hidden="a line copied and not changed; the loss goes down")
class VelocityOfAnother(Trained):
    """The last layer uses the velocity of the one before it."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name.replace("last", "second"), grad)


class _StuckReLU(Rectifier):
    """Keeps the mask of the first pass."""

    def forward(self, x: Array) -> Array:
        if hasattr(self, "_positive"):
            return np.where(x > 0, x, 0)
        return super().forward(x)


@planted(NETWORK_MOMENTUM, at="relu.grad_input", cause="earlier input", hidden="the first step is right")
class MaskOfTheFirstStep(Trained):
    """The ReLU computes its mask once and uses it on every way back."""

    def __init__(self, layers: Mapping[str, Any], dtype: str, lr: float, momentum: float = 0.0) -> None:
        super().__init__({**layers, "relu": _StuckReLU()}, dtype, lr, momentum)


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="1 % a step")
class LearningRateDecays(Trained):
    """The learning rate shrinks by 1 % with each step, where none is declared to."""

    def update(self) -> None:
        super().update()
        self.lr *= 0.99


@planted(WHOLE, at="loss.output", cause="loss after the update", hidden="the parameters are right")
class LossAfterTheUpdate(Trained):
    """The loss returned is that of the new parameters."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        super().train_step(x, labels)
        return self.loss.forward(self.forward(x), labels)


@planted(WHOLE, at="loss.output", cause="softmax twice", hidden="the loss goes down, slowly")
class SoftmaxTwice(Trained):
    """The loss gets probabilities, where it expects logits; their softmax is not differentiated."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        logits = self.forward(x)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        loss = self.loss.forward(exponentials / exponentials.sum(axis=1, keepdims=True), labels)
        self.backward(self.loss.backward())
        self.update()
        return loss


@planted(WHOLE, at="loss.output", cause="penalty in the loss alone", hidden="the parameters are right, and the loss is off by a thousandth")
class PenaltyInTheLossAlone(Trained):
    """The loss returned has a penalty of the weights that their gradients do not have."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        penalty = sum(np.square(value).sum() for layer in self.layers.values() for key, value in layer.params.items() if key == "weight")
        return np.asarray(super().train_step(x, labels) + 0.5 * 1e-3 * penalty)
