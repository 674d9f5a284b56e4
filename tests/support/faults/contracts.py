"""Breaches of contracts that no studied fault commits, planted in a factor for each feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosscheck import Dicts, Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.support.plain import FEATURES, Scale, ScaleReference, pair


class Adds(Scale):
    """Gradients are added to those that are there, as declared."""

    def backward(self, grad_output: Array) -> Array:
        before = self.grads.get("weight", 0.0)
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + before
        return grad_input


SCALE = Host("scale in plain NumPy", Scale, pair)
ADDING = Host("adding scale", Adds, lambda kind: Pair(Dicts(kind(), accumulates=True), ScaleReference(), shapes=[(5, FEATURES)]))


@planted(ADDING, at="contract-gradients_accumulate_as_declared")
class Overwrites(Adds):
    """Gradients take the place of those that are there."""

    def backward(self, grad_output: Array) -> Array:
        return Scale.backward(self, grad_output)


@planted(ADDING, at="contract-gradients_accumulate_as_declared")
class AddsTwice(Adds):
    """What is there is added once too often."""

    def backward(self, grad_output: Array) -> Array:
        self.grads = {name: 2 * value for name, value in self.grads.items()}
        return super().backward(grad_output)


@planted(SCALE, at="contract-dtype_is_kept")
class Widens(Scale):
    """The input's gradient is always in double precision."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output).astype(np.float64)


@planted(SCALE, at="contract-dtype_is_kept")
class Narrows(Scale):
    """The input's gradient is always in single precision."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output).astype(np.float32)


@planted(SCALE, at="contract-same_call_same_answer")
class Counts(Scale):
    """The output is a multiple that grows from call to call."""

    calls = 0

    def forward(self, x: Array) -> Array:
        self.calls += 1
        return super().forward(x) * self.calls


@planted(SCALE, at="contract-same_call_same_answer")
class DropsOut(Scale):
    """A mask is drawn from NumPy's global generator, in training and after."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * np.random.randint(0, 2, x.shape).astype(x.dtype)  # noqa: NPY002 - as beginners' code does


@planted(SCALE, at="contract-backward_uses_the_last_forward")
class KeepsTheFirst(Scale):
    """The first input is kept, or as much of it as a smaller batch needs."""

    def forward(self, x: Array) -> Array:
        first = self.x
        output = super().forward(x)
        self.x = x if first is None or len(first) < len(x) else first[: len(x)]
        return output


@planted(SCALE, at="contract-results_stay_unchanged")
class ReusesItsBuffer(Scale):
    """Every output is a piece of one array."""

    buffer: Any = None

    def forward(self, x: Array) -> Array:
        if self.buffer is None:
            self.buffer = np.zeros((100, FEATURES), x.dtype)
        output: Array = self.buffer[: len(x)]
        output[...] = super().forward(x)
        return output


@planted(SCALE, at="contract-backward_is_linear")
class Clips(Scale):
    """The input's gradient is cut off at 1."""

    def backward(self, grad_output: Array) -> Array:
        return np.clip(super().backward(grad_output), -1, 1)


@planted(SCALE, at="contract-same_output_in_both_modes")
class DoublesInTraining(Scale):
    """The output is doubled in training, which is switched by methods."""

    factor = 1

    def train(self) -> None:
        self.factor = 2

    def eval(self) -> None:
        self.factor = 1

    def forward(self, x: Array) -> Array:
        return super().forward(x) * self.factor


@planted(SCALE, at="contract-same_output_in_both_modes")
class NegatesInEvaluation(Scale):
    """The output has the wrong sign in evaluation, which is an argument."""

    def forward(self, x: Array, train: bool = True) -> Array:
        return super().forward(x) * (1 if train else -1)
