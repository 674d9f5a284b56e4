"""A layer and its reference in plain NumPy, for tests of what surrounds the checks: no framework has to be imported for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import crosscheck
from crosscheck.core.operation import Call, Shape
from crosscheck.core.precision import Array
from crosscheck.oracles.theories import Multilinear

FEATURES = 3
NASTY = "a\ud800b\x1b[31m\x00c\nd"
SHOWN = "a\\ud800b\\x1b[31m\\x00c\\nd"
"""A name that no terminal and no file should get, and how it is shown."""


class ScaleReference:
    """y = w * x, by the protocol of references."""

    name = "NumPy"
    rounding = Multilinear(additive=())
    settings: Mapping[str, tuple[int, ...]] = {}
    shapes: Mapping[str, Shape] = {"weight": (FEATURES,)}
    labels = False

    def vjp(self, call: Call) -> dict[str, Array]:
        weight = call.params["weight"]
        result: dict[str, Array] = {"output": call.x * weight}
        if call.grad_output is not None:
            result |= {"grad_input": call.grad_output * weight, "weight.grad": (call.grad_output * call.x).sum(axis=0)}
        return result

    def decisions(self, x: Array) -> None:
        """Return None: it decides nothing."""


class Scale:
    """y = w * x, right."""

    def __init__(self) -> None:
        self.params = {"weight": np.ones(FEATURES)}
        self.grads: dict[str, Array] = {}
        self.x: Any = None

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * self.params["weight"]

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; that of the weight goes into ``grads``."""
        self.grads["weight"] = (grad_output * self.x).sum(axis=0)
        return grad_output * self.params["weight"]


class RoughReference(ScaleReference):
    """The same by a kernel of single precision that takes a worse way than theory knows of, as some machines' kernels do."""

    def vjp(self, call: Call) -> dict[str, Array]:
        result = super().vjp(call)
        if call.dtype == np.float32:
            result["output"] *= np.float32(1 + 2.0**-23)
        return result


class Rough(Scale):
    """y = w * x, right, and as far off as that kernel."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * x.dtype.type(1 + (2.0**-23 if x.dtype == np.float32 else 0))


class Negated(Scale):
    """y = w * x, the weight's gradient with the wrong sign."""

    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.grads["weight"] = -self.grads["weight"]
        return result


class Cubed(Scale):
    """y = w * x, the weight's gradient by a mistake that has no name."""

    def backward(self, grad_output: Array) -> Array:
        result = super().backward(grad_output)
        self.grads["weight"] = (grad_output * np.tanh(self.x) ** 3).sum(axis=0)
        return result


class Raises(Scale):
    """y = w * x, whose backward pass is not finished."""

    def backward(self, grad_output: Array) -> Array:
        """Raise."""
        raise ValueError("not finished")


class WritesToInput(Scale):
    """y = w * x, right in its values, that changes what it was given."""

    def forward(self, x: Array) -> Array:
        result = super().forward(x.copy())
        x[...] = 0
        return result


class ReadsItsMode(Scale):
    """y = w * x, right, unless its mode is changed between forward and backward."""

    training = True

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, half of it in evaluation mode."""
        return super().backward(grad_output) * (1 if self.training else 0.5)


def pair(kind: type[Scale] = Scale, **declared: Any) -> crosscheck.Pair:
    return crosscheck.Pair(kind(), ScaleReference(), shapes=[(4, FEATURES), (1, FEATURES)], **declared)
