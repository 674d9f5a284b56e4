"""A right network in training, in which faults are planted, beside references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from training.run import Plan
from training.subjects import ScratchNetwork, Twins, layered

import scratch
from crosscheck.oracles.optimizers import SgdSettings
from scratch.layer import Array
from tests.support.networks import every_layer

STEPS = 4
SETTINGS = SgdSettings(0.01, momentum=0.9)


class ConvSign(scratch.Conv2d):
    """The gradient of the weight has the wrong sign."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.grads["weight"] = -self.grads["weight"]
        return grad_input


def of_kind(name: str, kind: type) -> Callable[[ScratchNetwork], None]:
    """Return a change that turns a layer, the loss, the model or the optimizer into a faulty one of the same shape."""

    def plant(subject: ScratchNetwork) -> None:
        parts = {"model": subject.model, "loss": subject.loss, "optimizer": subject.optimizer, **subject.model.layers}
        parts[name].__class__ = kind

    return plant


def twins_of(frozen: tuple[str, ...] = ()) -> Twins:
    """Return the network under test, right in all its parts and not yet faulty."""
    model = every_layer(np.random.default_rng(0), np.float64)
    model.freeze(*frozen)
    return layered(model, scratch.SGD(model.trainable_params, SETTINGS.lr, SETTINGS.momentum, weight_decay=SETTINGS.weight_decay))


def plan(steps: int = STEPS, check_every: int = 1, perturbed: int = 0) -> Plan:
    return Plan(np.dtype(np.float64), 3, steps, check_every, perturbed, 0)
