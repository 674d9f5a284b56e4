"""Subjects made to break the contracts of layers, one each, and the right one that they are made from, with its reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.theories import Multilinear


@dataclass(frozen=True)
class ScaleReference:
    """Multiplication by a weight for each feature, as a reference by the protocol."""

    name: str = "scale"
    rounding: Multilinear = field(default_factory=Multilinear)
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"weight": (3,)})
    modes: bool = False

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return product and gradients."""
        weight = call.params["weight"]
        if call.grad_output is None:
            return {"output": call.x * weight}
        grads = {"grad_input": call.grad_output * weight, "weight.grad": (call.grad_output * call.x).sum(axis=0)}
        return {"output": call.x * weight, **grads}

    def decisions(self, x: Array) -> None:
        """Return None: there are no kinks."""


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
    """Computes in place, and returns a copy."""

    def forward(self, x: Array) -> Array:
        """Return the product, which the input now holds."""
        self._x = x.copy()
        x *= self.params["weight"]
        return x.copy()


class ReturnsInput(Scale):
    """Returns a view of what it was given."""

    def forward(self, x: Array) -> Array:
        """Return the input."""
        self._x = x
        return x[:]


class WritesToCotangent(Scale):
    """Computes in place on the way back."""

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent itself, changed."""
        grad_input = super().backward(grad_output)
        grad_output[...] = grad_input
        return grad_output


class WritesToWeight(Scale):
    """Normalises its weight as it goes."""

    def forward(self, x: Array) -> Array:
        """Return the product, the weight halved after it."""
        output = super().forward(x)
        self.params["weight"] *= 0.5
        return output


class Widens(Scale):
    """Always computes in double precision."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient in double precision."""
        return super().backward(grad_output).astype(np.float64)


class Narrows(Scale):
    """Always computes in single precision."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient in single precision."""
        return super().backward(grad_output).astype(np.float32)


class Accumulates(Scale):
    """Adds to the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient and add to those of the weight."""
        before = self.grads.get("weight", 0.0)
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + before
        return grad_input


class Overwrites(Accumulates):
    """Replaces the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient and forget what was there."""
        return Scale.backward(self, grad_output)


class AddsTwice(Accumulates):
    """Adds what is there once too often."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient and add twice what was there."""
        self.grads = {name: 2 * value for name, value in self.grads.items()}
        return super().backward(grad_output)


class AddsUpInSteps(Accumulates):
    """Adds to the gradients sample by sample, and keeps every contract."""

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient, that of the weight added up in a loop."""
        gradient = self.grads.get("weight", np.zeros_like(self.params["weight"]))
        for d, x in zip(grad_output, self._x, strict=True):
            gradient = gradient + d * x
        self.grads = {"weight": gradient}
        return np.asarray(grad_output * self.params["weight"])


class Counts(Scale):
    """Gives another answer each time."""

    calls = 0

    def forward(self, x: Array) -> Array:
        """Return the product, a little larger each time."""
        self.calls += 1
        return super().forward(x) * self.calls


class DropsOut(Scale):
    """Draws a mask from the global generator, in training and after."""

    def forward(self, x: Array) -> Array:
        """Return the product of some of the features."""
        return super().forward(x) * np.random.randint(0, 2, x.shape).astype(x.dtype)  # noqa: NPY002 - as beginners' code does


class KeepsTheFirst(Scale):
    """Remembers the first input only."""

    def forward(self, x: Array) -> Array:
        """Return the product and remember the input if there is none yet."""
        first = self._x
        output = super().forward(x)
        self._x = x if first is None or len(first) < len(x) else first[: len(x)]
        return output


class KeepsTheShape(Scale):
    """Remembers an input only if its shape is not that of the one it has."""

    def forward(self, x: Array) -> Array:
        """Return the product and remember the input where the shape is new, as code does that keeps a buffer for each shape."""
        kept = self._x
        output = super().forward(x)
        self._x = x if kept is None or kept.shape != x.shape else kept
        return output


class ReusesTheShapesBuffer(Scale):
    """Returns one and the same array for each input of one shape."""

    _buffer: Any = None

    def forward(self, x: Array) -> Array:
        """Return the layer's own memory, made anew where the shape is new."""
        if self._buffer is None or self._buffer.shape != x.shape:
            self._buffer = np.zeros_like(x)
        output: Array = self._buffer
        output[...] = super().forward(x)
        return output


class SharesItsCache(Scale):
    """Keeps what backward needs in its class."""

    cache: ClassVar[dict[str, Array]] = {}

    def forward(self, x: Array) -> Array:
        """Return the product and remember the input for all layers of the kind."""
        self.cache["x"] = x
        return super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient with whichever input was the last."""
        self._x = self.cache["x"]
        return super().backward(grad_output)


class ReusesItsBuffer(Scale):
    """Returns one and the same array again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer: Any = None

    def forward(self, x: Array) -> Array:
        """Return a piece of the layer's own memory."""
        if self._buffer is None:
            self._buffer = np.zeros((100, 3), x.dtype)
        output: Array = self._buffer[: len(x)]
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


class HasMethods(Scale):
    """Is told its mode by methods, and computes something else in training."""

    _factor = 1

    def train(self) -> None:
        """Start training."""
        self._factor = 2

    def eval(self) -> None:
        """Stop training."""
        self._factor = 1

    def forward(self, x: Array) -> Array:
        """Return the product, or twice the product."""
        return super().forward(x) * self._factor


class HasAttribute(Scale):
    """Is told its mode by an attribute."""

    training = True

    def forward(self, x: Array) -> Array:
        """Return the product, or half the product."""
        return super().forward(x) * (1 if self.training else 0.5)


class HasArgument(Scale):
    """Is told its mode by an argument."""

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the product, or minus the product."""
        return super().forward(x) * (1 if train else -1)


class ModesAlike(HasArgument):
    """Has modes in every way, and is right in both."""

    training = True

    def train(self) -> None:
        """Start training."""

    def eval(self) -> None:
        """Stop training."""

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the product."""
        return Scale.forward(self, x)
