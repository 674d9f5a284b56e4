"""Textbook layers in other conventions of hand-written code, and faults that show how a convention is reproduced."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from crosscheck import Attributes, Functions, LossFunction, Pair, Updating
from crosscheck.core.precision import Array
from tests.support.faults.activation import RELU
from tests.support.faults.convolution import CONV
from tests.support.faults.fault import Host, Kind, planted
from tests.support.faults.loss import LOSS
from tests.support.faults.pooling import POOL
from tests.textbook.activation import ReLU
from tests.textbook.convolution import Conv2d
from tests.textbook.linear import Linear
from tests.textbook.loss import CrossEntropy
from tests.textbook.pooling import MaxPool2d


def _functions(kind: Kind) -> Pair:
    """Return a convolution as two functions, with its stride as an extra argument and the layer as the cache."""

    def forward(x: Array, w: Array, b: Array, stride: int) -> tuple[Array, Any]:
        layer = kind(3, 4, (3, 3), stride)
        layer.params = {"weight": w, "bias": b}
        return layer.forward(x), layer

    def backward(grad_output: Array, layer: Any) -> tuple[Array, Array, Array]:
        return layer.backward(grad_output), layer.grads["weight"], layer.grads["bias"]

    subject = Functions(forward, backward, extra=(2,))
    return Pair(subject, nn.Conv2d(3, 4, 3, stride=2), [(2, 3, 8, 7)], {"w": "weight", "b": "bias"}, name="conv-functions")


class _UpdatesAtOnce:
    """A convolution of one image, channels last, that updates its filters in the backward pass and stores no gradient."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.filters = layer, np.zeros((8, 3, 3))

    def forward(self, image: Array) -> Any:
        self.layer.params = {"weight": self.filters[:, None], "bias": np.zeros(8, image.dtype)}
        return self.layer.forward(image[None, None])[0].transpose(1, 2, 0)

    def backprop(self, grad_output: Array, learn_rate: float) -> None:
        self.layer.backward(grad_output.transpose(2, 0, 1)[None])
        self.filters -= learn_rate * self.layer.grads["weight"][:, 0]


class _InAttributes:
    """A linear layer whose parameters and gradients are attributes, the weight ``(inputs, outputs)``."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.W, self.b = layer, np.zeros((12, 7)), np.zeros(7)

    def forward(self, x: Array) -> Any:
        self.layer.params = {"weight": self.W.T, "bias": self.b}
        return self.layer.forward(x)

    def backward(self, grad_output: Array) -> Any:
        grad_input = self.layer.backward(grad_output)
        self.dW, self.db = self.layer.grads["weight"].T, self.layer.grads["bias"]
        return grad_input


def _updating(kind: Kind) -> Pair:
    declared = {"filters": "weight: f kh kw -> f 1 kh kw"}
    subject = Updating(_UpdatesAtOnce(kind(1, 8, (3, 3))), "filters")
    reference = nn.Conv2d(1, 8, 3, bias=False)
    return Pair(subject, reference, [(2, 1, 12, 12)], declared, "h w -> 1 1 h w", "h w f -> 1 f h w", name="conv-updating")


def _attributes(kind: Kind) -> Pair:
    subject = Attributes(_InAttributes(kind(12, 7)), ("W", "b"))
    return Pair(subject, nn.Linear(12, 7), [(5, 12)], {"W": "weight: i o -> o i", "b": "bias"}, name="linear-attributes")


def _loss_function(kind: Kind) -> Pair:
    def loss(logits: Array, labels: Any) -> tuple[Array, Array]:
        layer = kind()
        return layer.forward(logits, labels), layer.backward(np.ones((), logits.dtype))

    return Pair(LossFunction(loss), nn.CrossEntropyLoss(), [(4, 10)], name="loss-function")


def _loss_of_one(kind: Kind) -> Pair:
    def loss(logits: Array, label: int) -> tuple[Array, Array]:
        layer = kind()
        return layer.forward(logits[None], np.array([label])), layer.backward(np.ones((), logits.dtype))[0]

    return Pair(LossFunction(loss, one_sample=True), nn.CrossEntropyLoss(), [(4, 10)], name="loss-of-one")


FUNCTIONS = Host("conv-functions", Conv2d, _functions)
UPDATING = Host("conv-updating", Conv2d, _updating)
ATTRIBUTES = Host("linear-attributes", Linear, _attributes)
LOSS_FUNCTION = Host("loss-function", CrossEntropy, _loss_function)
LOSS_OF_ONE = Host("loss-of-one", CrossEntropy, _loss_of_one)


@planted(CONV, at="bias.grad")
class BiasGradientOfTheLastSample(Conv2d):
    """The bias's gradient is that of the last sample alone."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output[-1:])


@planted(CONV, at="grad_input")
class Raises(Conv2d):
    """The backward pass reads an attribute that is not there."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(self.gradients + super().bias_gradient(grad_output))  # type: ignore[attr-defined]


@planted(CONV, at="grad_input")
class NothingReturned(Conv2d):
    """The backward pass returns nothing."""

    def input_gradient(self, grad_output: Array) -> Any:
        super().input_gradient(grad_output)


@planted(POOL, at="output")
class MeanForMaximum(MaxPool2d):
    """The output is the mean of each window."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        return np.asarray(self.windows(self.padded(x)).mean(axis=-1))


@planted(RELU, at="output")
class LeaksABillionth(ReLU):
    """A billionth of what is negative comes through."""

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, x.dtype.type(1e-9) * x)


@planted(ATTRIBUTES, at="weight.grad")
class LastInputForgotten(Linear):
    """The weights of the last input get no gradient."""

    def weight_gradient(self, grad_output: Array) -> Array:
        gradient = super().weight_gradient(grad_output)
        gradient[:, -1] = 0
        return gradient


@planted(ATTRIBUTES, at="output")
class TakenAsItLies(Linear):
    """The input's numbers are taken in the order in which they lie in memory."""

    def product(self, x: Array) -> Array:
        return super().product(np.ravel(x, order="K").reshape(x.shape))


@planted(ATTRIBUTES, at="output")
class NegativeStrides(Linear):
    """Signs are lost where an input lies backwards in memory."""

    def product(self, x: Array) -> Array:
        return super().product(np.abs(x) if x.strides[-1] < 0 else x)


@planted(ATTRIBUTES, at="output")
class DoublesItsInput(Linear):
    """The input is doubled in place."""

    def keep(self, x: Array) -> None:
        x *= 2
        super().keep(x)


@planted(LOSS, at="grad_input")
class OneAssignedNotTakenOff(CrossEntropy):
    """The gradient at the label is -1, where 1 is to be taken off."""

    def gradient(self) -> Array:
        return np.where(self.hits(self._labels) != 0, -1, self.probabilities(self._x))
