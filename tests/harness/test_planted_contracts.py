"""Each contract is broken by a layer made for it, and the layer without the fault keeps them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contracts import CONTRACTS

from crosscheck.arithmetic import Array
from crosscheck.operation import Call


class Scale:
    """Multiply by a weight for each feature: a layer that keeps every contract."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"weight": np.array([1.5, -0.5, 3.0])}
        self.grads: dict[str, Any] = {}
        self._x: Any = None

    def forward(self, x: Array) -> Array:
        """Return the product."""
        self._x = x
        output: Array = x * self.params["weight"]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient for the input."""
        self.grads = {"weight": (grad_output * self._x).sum(axis=0)}
        grad_input: Array = grad_output * self.params["weight"]
        return grad_input


class WritesToInput(Scale):
    """Computes in place."""

    def forward(self, x: Array) -> Array:
        """Return the input itself, changed."""
        self._x = x.copy()
        x *= self.params["weight"]
        return x


class WritesToCotangent(Scale):
    """Computes in place on the way back."""

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent itself, changed."""
        grad_input = super().backward(grad_output)
        grad_output[...] = grad_input
        return grad_output


class Widens(Scale):
    """Returns a gradient in another precision."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient in half of the precision."""
        return super().backward(grad_output).astype(np.float32)


class Accumulates(Scale):
    """Adds to the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient and add to those of the weight."""
        before = self.grads.get("weight", 0.0)
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + before
        return grad_input


class Counts(Scale):
    """Gives another answer each time."""

    calls = 0

    def forward(self, x: Array) -> Array:
        """Return the product, a little larger each time."""
        self.calls += 1
        return super().forward(x) * self.calls


class KeepsTheFirst(Scale):
    """Remembers the first input only."""

    def forward(self, x: Array) -> Array:
        """Return the product and remember the input if there is none yet."""
        first = self._x
        output = super().forward(x)
        self._x = x if first is None or len(first) < len(x) else first[: len(x)]
        return output


class ReusesItsBuffer(Scale):
    """Returns one and the same array again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = np.zeros((100, 3))

    def forward(self, x: Array) -> Array:
        """Return a piece of the layer's own memory."""
        output = self._buffer[: len(x)]
        output[...] = super().forward(x)
        return output


class LeavesTheRest(Scale):
    """Pads a smaller batch with the rest of the larger one before it."""

    _largest: Any = None

    def forward(self, x: Array) -> Array:
        """Return the product and remember as many samples as there ever were."""
        output = super().forward(x)
        if self._largest is None or len(self._largest) < len(x):
            self._largest = x
        self._rest = self._largest[len(x) :]
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient, that of the weight with the rest added."""
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + self._rest.sum(axis=0)
        return grad_input


class ClearsGradients(Scale):
    """Sets the gradients to zero when it goes forward."""

    def forward(self, x: Array) -> Array:
        """Return the product and forget the gradients."""
        self.grads = {name: np.zeros_like(value) for name, value in self.grads.items()}
        return super().forward(x)


class Clips(Scale):
    """Limits the gradient."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient cut off at 1."""
        return np.clip(super().backward(grad_output), -1, 1)


OFFENDERS = [
    (WritesToInput, "inputs_are_left_alone"),
    (WritesToCotangent, "inputs_are_left_alone"),
    (Widens, "dtype_is_kept"),
    (Accumulates, "backward_twice_does_not_accumulate"),
    (Accumulates, "same_call_same_answer"),
    (Counts, "same_call_same_answer"),
    (LeavesTheRest, "smaller_batch_works"),
    (KeepsTheFirst, "backward_uses_the_last_forward"),
    (ReusesItsBuffer, "results_are_kept"),
    (ClearsGradients, "forward_leaves_gradients"),
    (Clips, "backward_is_linear"),
]


def calls() -> tuple[Call, Call]:
    """Return a call and one with fewer samples."""
    rng = np.random.default_rng(0)
    call, smaller = (Call(rng.standard_normal((batch, 3)), {}, rng.standard_normal((batch, 3))) for batch in (5, 2))
    return call, smaller


@pytest.mark.parametrize("contract", CONTRACTS)
def test_right_layer_keeps_it(contract: str) -> None:
    assert CONTRACTS[contract](Scale(), *calls()) == ""


@pytest.mark.parametrize(("offender", "contract"), OFFENDERS)
def test_offender_is_caught(offender: type[Scale], contract: str) -> None:
    assert CONTRACTS[contract](offender(), *calls()) != ""


def test_every_contract_has_an_offender() -> None:
    assert {contract for _, contract in OFFENDERS} == set(CONTRACTS)
