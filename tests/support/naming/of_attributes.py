"""Styles that keep parameters in attributes of the layer, under many names."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosscheck.core.precision import Array
from tests.support.naming.style import Style


def named(names: str, grads: str, first: str = "missing") -> type[Style]:
    """Return a style of attributes with these names.

    ``first`` says what the attributes of gradients hold before a backward pass: they are missing, None or zeros.
    """

    class Named(Style):
        def hold(self, *arrays: Array) -> None:
            vars(self).update(zip(names.split(), arrays, strict=True))
            if first != "missing":
                vars(self).update({name: np.zeros_like(a) if first == "zeros" else None for name, a in zip(grads.split(), arrays, strict=True)})

        def held(self) -> Any:
            return [vars(self)[name] for name in names.split()]

        def store(self, *found: Any) -> None:
            vars(self).update(zip(grads.split(), found, strict=True))

    return Named


class GradsDict(Style):
    """Attributes, and a dict of gradients by the same names."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.grads: dict[str, Any] = {}

    def held(self) -> Any:
        return self.W, self.b

    def store(self, *grads: Any) -> None:
        self.grads["W"], self.grads["b"] = grads


class GradsDictWithD(GradsDict):
    """Attributes, and a dict of gradients by names of their own."""

    def store(self, *grads: Any) -> None:
        self.grads = {"dW": grads[0], "db": grads[1]}


class InPlace(GradsDict):
    """Writes its gradients into arrays that it keeps."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.dW, self.db = map(np.zeros_like, arrays)

    def store(self, *grads: Any) -> None:
        self.dW[...], self.db[...] = grads


class Momentum(GradsDict):
    """Keeps an optimizer's velocities beside its parameters."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.vW, self.vb = map(np.zeros_like, arrays)

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads


class Constant(GradsDict):
    """Keeps an array that is no parameter."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.steps = np.linspace(0.0, 1.0, 7)

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads


class Methods(GradsDict):
    """Private attributes, shown by methods that return lists."""

    def hold(self, *arrays: Array) -> None:
        self._weight, self._bias = arrays
        self._slopes: list[Any] = [None, None]

    def held(self) -> Any:
        return self.parameters()

    def store(self, *grads: Any) -> None:
        self._slopes = [*grads]

    def parameters(self) -> Any:
        return [self._weight, self._bias]

    def gradients(self) -> Any:
        return self._slopes


class MethodsOfDicts(Methods):
    """The same with dicts."""

    def held(self) -> Any:
        return self.parameters().values()

    def parameters(self) -> Any:
        return {"weight": self._weight, "bias": self._bias}

    def gradients(self) -> Any:
        return dict(zip(("weight", "bias"), self._slopes, strict=True))


class Property(Style):
    """A property that returns a dict, and another of gradients."""

    def hold(self, *arrays: Array) -> None:
        self._weight, self._bias = arrays
        self._slopes: list[Any] = [None, None]

    def held(self) -> Any:
        return self._weight, self._bias

    def store(self, *found: Any) -> None:
        self._slopes = [*found]

    @property
    def params(self) -> Any:
        return {"W": self._weight, "b": self._bias}

    @property
    def grads(self) -> Any:
        return {"W": self._slopes[0], "b": self._slopes[1]}


class Slots(Style):
    """Attributes without a dict."""

    __slots__ = ("W", "b", "dW", "db")

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays

    def held(self) -> Any:
        return self.W, self.b

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads


class Aliases(GradsDict):
    """Lists of the attributes' arrays, of which that of the gradients is out of date after a backward pass."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.dW, self.db = map(np.zeros_like, arrays)
        self.params, self.grads = [self.W, self.b], [self.dW, self.db]  # type: ignore[assignment]

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads


class Frozen(GradsDict):
    """Keeps the gradient of an array that it calls no parameter, and returns nothing of it."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays
        self.c = 0 * self.b

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads
        self.dc = 0 * grads[1]


class OtherMethods(Momentum):
    """Its methods have other names."""

    forward = backward = None  # type: ignore[assignment]

    def forward_pass(self, x: Array) -> Any:
        return Style.forward(self, x)

    def backward_pass(self, grad_output: Array) -> Any:
        return Style.backward(self, grad_output)


class Called(OtherMethods):
    """It is called like a module."""

    forward_pass = backward_pass = None  # type: ignore[assignment]

    def __call__(self, x: Array) -> Any:
        return Style.forward(self, x)

    def backpropagate(self, grad_output: Array) -> Any:
        return Style.backward(self, grad_output)


class TwoWays(Momentum):
    """Can update at once, too."""

    def backprop(self, grad_output: Array, learn_rate: float) -> Any:
        grad_input = self.backward(grad_output)
        self.W = self.W - learn_rate * self.dW
        self.b = self.b - learn_rate * self.db
        return grad_input


class TwoGradients(GradsDict):
    """Keeps a sum and a mean of its gradients."""

    def store(self, *grads: Any) -> None:
        self.grad_W, self.grad_b = (grad / 7 for grad in grads)
        self.dW, self.db = grads


class Returns(GradsDict):
    """Returns its gradients and stores none."""

    grads = None  # type: ignore[assignment]

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = arrays

    def store(self, *grads: Any) -> None:
        self._last = grads

    def backward(self, grad_output: Array) -> Any:
        grad_input = super().backward(grad_output)
        (dW, db), self._last = self._last, None  # type: ignore[assignment]  # noqa: N806
        return self.returned(grad_input, dW, db)

    def returned(self, dx: Any, dW: Any, db: Any) -> Any:  # noqa: N803
        """Return everything in one tuple, the bias first."""
        return dx, db, dW


class ReturnsDict(Returns):
    """The same with a dict."""

    def returned(self, dx: Any, dW: Any, db: Any) -> Any:  # noqa: N803
        return dx, {"dW": dW, "db": db}


class LeavesResults(Style):
    """Returns nothing: results are in attributes, as in the book "Neural Networks from Scratch in Python"."""

    def hold(self, *arrays: Array) -> None:
        self.weights, self.biases = arrays

    def held(self) -> Any:
        return self.weights, self.biases

    def store(self, *grads: Any) -> None:
        self.dweights, self.dbiases = grads

    def forward(self, x: Array) -> Any:
        self.inputs, self.output = x, super().forward(x)

    def backward(self, grad_output: Array) -> Any:
        self.dinputs = super().backward(grad_output)


class LeavesResultsOfRelu:
    """A layer without parameters in the same style."""

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues: Array) -> None:
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
