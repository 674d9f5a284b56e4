"""Blind mistakes in linear layers, activations, softmax and losses."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.activation import APPROXIMATE, LEAKY, RELU, SIGMOID, TANH
from tests.support.faults.fault import planted
from tests.support.faults.linear import FLATTEN, LINEAR
from tests.support.faults.loss import LOSS, SQUARES
from tests.support.faults.softmax import LOG_SOFTMAX, SOFTMAX
from tests.textbook.activation import LeakyReLU, ReLU, Sigmoid, Tanh, TanhGELU
from tests.textbook.linear import Flatten, Linear
from tests.textbook.loss import MSE, CrossEntropy, Labels, LogSoftmax, Softmax


@planted(LINEAR, at="weight.grad", cause="edit: divided", hidden="a learning rate makes up for it")
class WeightGradientMean(Linear):
    """The weight's gradient is divided by the batch, though the loss did that already."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) / len(grad_output)


@planted(LINEAR, at="contract-results_stay_unchanged", hidden="each output is right at the time")
class OutputBufferReused(Linear):
    """The output is written into one buffer, so that the next pass overwrites what the last one returned."""

    _buffer: Array | None = None

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        if self._buffer is None or self._buffer.shape != output.shape or self._buffer.dtype != output.dtype:
            self._buffer = np.empty_like(output)
        self._buffer[...] = output
        return self._buffer


@planted(LINEAR, at="weight.grad", cause="weight decay", hidden="a thousandth of the weight")
class PenaltyInTheGradient(Linear):
    """0.001 times the weight is added to its gradient, a penalty nobody declared (cs231n)."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) + 1e-3 * self.params["weight"]


@planted(FLATTEN, at="output", cause="flatten order", hidden="forward and backward agree")
class FlattenedChannelsLast(Flatten):
    """Channels are fastest, as in TensorFlow."""

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        n, c, h, w = self._shape
        return grad_output.reshape(n, h, w, c).transpose(0, 3, 1, 2)


@planted(FLATTEN, at="output", cause="edit: after", hidden="the shape is right, forward and backward agree")
class FlattenedAcrossSamples(Flatten):
    """Reshaped to (features, batch) and transposed, which mixes the samples (deep learning course)."""

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        return x.reshape(-1, len(x)).T

    def backward(self, grad_output: Array) -> Array:
        return grad_output.T.reshape(self._shape)


@planted(LINEAR, at="output", hidden="right but for a batch of one")
class SqueezedBatchOfOne(Linear):
    """The output is squeezed, and a batch of one loses its axis."""

    def product(self, x: Array) -> Array:
        return np.squeeze(super().product(x))


@planted(LINEAR, at="weight.grad", cause="lower precision", hidden="right in single precision, and the output in double, too")
class InputKeptSingle(Linear):
    """The input is kept in single precision for the way back."""

    def keep(self, x: Array) -> None:
        self._x = x.astype(np.float32)


@planted(RELU, at="contract-inputs_are_left_alone", hidden="the gradient returned is right")
class CotangentMasked(ReLU):
    """The cotangent is masked in place and returned."""

    def backward(self, grad_output: Array) -> Array:
        grad_output[self._x <= 0] = 0
        return grad_output


@planted(RELU, at="contract-handles_minus_infinity", hidden="finite numbers are right")
class ProductWithMask(ReLU):
    """x * (x > 0), which is not a number at minus infinity."""

    def value(self, x: Array) -> Array:
        return x * (x > 0)


@planted(LEAKY, at="output", cause="edit: sign", hidden="off by a fiftieth of the negative numbers; forward and backward agree")
class LeakNegative(LeakyReLU):
    """The slope on the negative side has the wrong sign."""

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, -self.leak * x)

    def slope(self, x: Array) -> Array:
        return np.where(x > 0, x.dtype.type(1), x.dtype.type(-self.leak))


@planted(SIGMOID, at="output", hidden="off by 2e-9 at most, absolutely")
class Clipped(Sigmoid):
    """The input is cut off at -20 and 20 against overflow."""

    def value(self, x: Array) -> Array:
        return super().value(np.clip(x, -20, 20))


@planted(SIGMOID, at="grad_input", cause="derivative at the wrong value", hidden="the formula is that of every blog post")
class SlopeAtTheInput(Sigmoid):
    """x (1 - x) is taken at the input, where it holds for the output."""

    def slope(self, x: Array) -> Array:
        return x * (1 - x)


@planted(TANH, at="output", cause="cancellation", hidden="right for inputs of usual size")
class QuotientOfExponentials(Tanh):
    """(exp(2x) - 1) / (exp(2x) + 1), which is not a number for large inputs."""

    def value(self, x: Array) -> Array:
        e = np.exp(2 * x)
        return np.asarray((e - 1) / (e + 1))


@planted(APPROXIMATE, at="output", cause="edit: number", hidden="about 1e-4; forward and backward agree")
class DigitsExchanged(TanhGELU):
    """0.044175 for 0.044715."""

    cubic = 0.044175


@planted(SOFTMAX, at="output", cause="exponential overflows", hidden="right while the rows are alike in size")
class ShiftedByTheLargestOfAll(Softmax):
    """The maximum of the whole batch is subtracted, and a row far below it vanishes."""

    def shifted(self, x: Array) -> Array:
        return np.asarray(x - x.max())


@planted(LOG_SOFTMAX, at="output", cause="constant in the logarithm", hidden="about 1e-8")
class LogarithmOfSum(LogSoftmax):
    """log(p + 1e-9)."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(self.probabilities(x) + x.dtype.type(1e-9))


@planted(LOSS, at="output", cause="edit: log", hidden="right unless a sample is very wrong or very sure")
class ProbabilitiesClipped(CrossEntropy):
    """Probabilities are cut off at 1e-7 and 1 - 1e-7 before the logarithm (Keras); the gradient does not know."""

    def losses(self, x: Array, labels: Labels) -> Array:
        return -np.log(np.clip(self.own(self.probabilities(x), labels), 1e-7, 1 - 1e-7))


@planted(LOSS, at="contract-backward_twice_does_not_accumulate", hidden="the first backward pass is right")
class ProbabilitiesOverwritten(CrossEntropy):
    """The 1 is subtracted from the kept probabilities in place: a second backward pass subtracts it again."""

    def forward(self, x: Array, labels: Labels) -> Array:
        self._p = self.probabilities(x)
        return super().forward(x, labels)

    def gradient(self) -> Array:
        self._p[np.arange(len(self._p)), self._labels] -= 1
        return self._p


@planted(SQUARES, at="output", cause="constant factor", hidden="forward and backward agree")
class Halved(MSE):
    """Half the squares, and their gradient."""

    def losses(self, x: Array, labels: Labels) -> Array:
        return super().losses(x, labels) / 2

    def gradient(self) -> Array:
        return super().gradient() / 2


@planted(LOSS, at="output", hidden="right where no label is 0")
class LabelZeroIgnored(CrossEntropy):
    """Samples of class 0 are left out of the mean, as padding is in a language model."""

    def forward(self, x: Array, labels: Labels) -> Array:
        self._counted = labels != 0
        return super().forward(x, labels)

    def mean(self, losses: Array) -> Array:
        return np.asarray((losses * self._counted).sum() / self.count())

    def gradient(self) -> Array:
        return np.asarray(super().gradient() * self._counted[:, None])

    def count(self) -> int:
        return max(int(self._counted.sum()), 1)
