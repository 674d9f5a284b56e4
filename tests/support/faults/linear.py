"""Faults in fully connected layers and in the flattening in front of them."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.convolution import SAME
from tests.support.faults.fault import Host, planted
from tests.textbook.linear import Flatten, Linear

LINEAR = Host("linear", Linear, lambda kind: Pair(kind(5, 7), nn.Linear(5, 7), shapes=[(4, 5)], params=SAME, name="linear"))
SQUARE = Host("linear-square", Linear, lambda kind: Pair(kind(6, 6), nn.Linear(6, 6), shapes=[(4, 6)], params=SAME, name="linear-square"))
# As many samples as outputs: a bias fits either axis.
EVEN = Host("linear-even", Linear, lambda kind: Pair(kind(3, 5), nn.Linear(3, 5), shapes=[(5, 3)], params=SAME, name="linear-even"))
FLATTEN = Host("flatten", Flatten, lambda kind: Pair(kind(), nn.Flatten(), shapes=[(4, 3, 2, 5)], name="flatten"))


@planted(
    SQUARE,
    at="output",
    cause="transposed",
    hidden="with another number of outputs than of inputs an exception would be raised; in a square layer none is",
)
class WeightTransposed(Linear):
    """The weight is used as (inputs, outputs) where it is stored as (outputs, inputs)."""

    def product(self, x: Array) -> Array:
        return x @ self.params["weight"]


@planted(SQUARE, at="grad_input", cause="transposed", hidden="the output is right, and in a square layer no exception is raised")
class WeightTransposedOnTheWayBack(Linear):
    """The cotangent is multiplied by the weight's transpose, as the input is."""

    def input_gradient(self, grad_output: Array) -> Array:
        return grad_output @ self.params["weight"].T


@planted(SQUARE, at="weight.grad", cause="transposed", hidden="its norm is right, and in a square layer so is its shape")
class WeightGradientTransposed(Linear):
    """The weight's gradient is input times cotangent, (inputs, outputs), where the weight is (outputs, inputs)."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return self._x.T @ grad_output


@planted(
    LINEAR,
    at="grad_input",
    cause="updated weight",
    hidden="the difference is as small as the learning rate: with 1e-3 it stays below usual tolerances",
)
class InputGradientFromTheUpdatedWeight(Linear):
    """The weight is updated inside the backward pass, before the input's gradient is made with it."""

    def input_gradient(self, grad_output: Array) -> Array:
        self.params["weight"] -= 0.005 * self.grads["weight"]
        return super().input_gradient(grad_output)


@planted(LINEAR, at="output", cause="bias left out", hidden="biases start at zero, so that a freshly made layer is right")
class BiasNeverAdded(Linear):
    """The bias is never added."""

    def bias(self) -> Array:
        return np.zeros_like(self.params["bias"])


@planted(
    EVEN, at="output", cause="wrong axis", hidden="shapes fit where a batch has as many samples as the layer has outputs, and biases start at zero"
)
class BiasAlongTheBatch(Linear):
    """The bias is a column, so that each sample gets one element of it for all outputs."""

    def bias(self) -> Array:
        return self.params["bias"][:, None]


@planted(
    EVEN, at="bias.grad", cause="wrong axis", hidden="shapes fit where a batch has as many samples as the layer has outputs, and the total is right"
)
class BiasGradientOverOutputs(Linear):
    """The bias's gradient is summed over the outputs, where it has to be over the samples."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(grad_output.sum(axis=1))


@planted(LINEAR, at="bias.grad", cause="edit: mean", hidden="its direction is right: it looks like a smaller learning rate of the bias")
class BiasGradientAveraged(Linear):
    """The bias's gradient is the mean over the batch, which the loss has taken already."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(grad_output.mean(axis=0))


@planted(
    LINEAR,
    at="weight.grad",
    cause="edit: divided",
    hidden="with a batch of one the mean is the sum; otherwise it looks like a smaller learning rate",
)
class WeightGradientAveraged(Linear):
    """The weight's gradient is divided by the batch size, which the loss has done already."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) / len(grad_output)


@planted(
    LINEAR,
    at="weight.grad",
    cause="edit: of sums",
    hidden="with one sample, or where all cotangents are equal, as in a test with ones, both are the same",
)
class WeightGradientFromMeans(Linear):
    """Input and cotangent are averaged over the batch before their outer product is taken."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return len(grad_output) * np.outer(grad_output.mean(axis=0), self._x.mean(axis=0))


@planted(LINEAR, at="weight.grad", cause="one sample only", hidden="tests that use a batch of one never see a second sample")
class WeightGradientOfTheLastSample(Linear):
    """The loop over the batch overwrites the weight's gradient: ``=`` where ``+=`` is due."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return np.outer(grad_output[-1], self._x[-1])


@planted(LINEAR, at="bias.grad", cause="size in the code", hidden="every batch of the size that the code was written with is right")
class BatchSizeInTheCode(Linear):
    """The bias's gradient is the mean times four, the batch size of the day."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(4 * grad_output.mean(axis=0))


@planted(LINEAR, at="output", hidden="every batch of more than one sample is right; the last one of an epoch may have one")
class BatchOfOneSqueezed(Linear):
    """The input is squeezed, which takes the batch axis off a single sample."""

    def product(self, x: Array) -> Array:
        return super().product(np.squeeze(x))


@planted(
    FLATTEN,
    at="output",
    cause="flatten order",
    hidden="a network that is trained with it learns a weight that suits it; weights from elsewhere do not fit",
)
class ChannelsLast(Flatten):
    """Channels come last, as in Keras, where they have to come first."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1)


@planted(FLATTEN, at="grad_input", cause="flatten order", hidden="shapes are right, and with a cotangent of ones so is every number")
class ChannelsLastOnTheWayBack(Flatten):
    """The cotangent is taken apart as if channels came last, into numbers that the transposition puts elsewhere."""

    def backward(self, grad_output: Array) -> Array:
        batch, channels, height, width = self._shape
        return np.ascontiguousarray(grad_output.reshape(batch, height, width, channels).transpose(0, 3, 1, 2))


@planted(FLATTEN, at="grad_input", cause="flatten order", hidden="the shape is right, and with a cotangent of ones so is every number")
class FortranOrderOnTheWayBack(Flatten):
    """The cotangent is reshaped in Fortran's order, the batch axis with it, so that samples are mixed."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output.reshape(self._shape, order="F")


@planted(
    FLATTEN,
    at="output",
    cause="flatten order",
    hidden="on square images with one channel rows and columns are exchanged, which a trained layer does not mind",
)
class ColumnsBeforeRows(Flatten):
    """Each channel is flattened column by column."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        return x.swapaxes(2, 3).reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        batch, channels, height, width = self._shape
        return np.ascontiguousarray(grad_output.reshape(batch, channels, width, height).swapaxes(2, 3))
