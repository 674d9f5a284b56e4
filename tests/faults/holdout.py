"""Sixty mistakes that were written without a look at the harness or at the rest of the catalogue, to measure both.

56 of them were detected when they were first run, each with no cause or, but for one that was half right, with the right one. What it takes to see
the others was then built for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from textbook.activation import LeakyReLU, ReLU, Sigmoid, Tanh, TanhGELU
from textbook.convolution import Conv2d, GroupedConv2d, MatrixConv2d
from textbook.dropout import Dropout, Mask
from textbook.linear import Flatten, Linear
from textbook.loss import MSE, CrossEntropy, Labels, LogSoftmax, Softmax
from textbook.network import Network as Trained
from textbook.network import ReLU as Rectifier
from textbook.normalisation import BatchNorm
from textbook.optimizers import SGD, Adadelta, Adam, AdamW
from textbook.pooling import AvgPool2d, IndexedMaxPool2d, MaxPool2d

from crosscheck.arithmetic import Array
from faults.activation import APPROXIMATE, LEAKY, RELU, SIGMOID, TANH
from faults.convolution import CONV, GROUPS, MATRIX
from faults.convolution import SQUARE as SQUARE_CONV
from faults.dropout import DROPOUT
from faults.fault import planted
from faults.layer_memory import INDEXED, SIZES
from faults.linear import FLATTEN, LINEAR
from faults.loss import LOSS, SQUARES
from faults.normalisation import IMAGES, ROWS
from faults.optimizers import ADADELTA, ADAM, ADAM_OF_TWO, ADAM_UNSEEN, ADAMW, DAMPENED, MOMENTUM, PLAIN
from faults.pooling import AVERAGE, OVERLAPPING, POOL
from faults.softmax import LOG_SOFTMAX, SOFTMAX
from faults.training import MOMENTUM as NETWORK_MOMENTUM
from faults.training import NETWORK, WHOLE, WHOLE_MOMENTUM
from faults.windows import OBLONG, STRIDED


@planted(MATRIX, at="output", cause="transposed", hidden="the shape is right")
class ImagesNotTransposed(MatrixConv2d):
    """The product is reshaped to (batch, filters, rows, columns) straight away, which mixes filters and samples."""

    def images(self, product: Array, batch: int, rows: int, columns: int) -> Array:
        return product.reshape(batch, -1, rows, columns)


@planted(SQUARE_CONV, at="output", cause="transposed", hidden="square in channels: everything fits, and forward and backward agree")
class KernelAxesSwapped(Conv2d):
    """The first two axes of the kernel are exchanged, as in a port from (in, out) to (out, in)."""

    def weight(self) -> Array:
        return self.params["weight"].transpose(1, 0, 2, 3)

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output).transpose(1, 0, 2, 3)


@planted(CONV, at="output", cause="border lost", hidden="one row of many")
class LastRowLost(Conv2d):
    """The loop over output rows ends one too early; the last stays zero."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        output[:, :, -1] = 0
        return output


@planted(CONV, at="grad_input", hidden="right wherever there is padding")
class CroppedByMinusZero(Conv2d):
    """The frame is cut off by [p:-p], which is empty for p = 0."""

    def cropped(self, grad: Array) -> Array:
        p = self.padding
        return grad[:, :, p:-p, p:-p].copy()


@planted(STRIDED, at="output", cause="padding", hidden="the shape is right, and the border alone differs without a stride")
class PaddedAtTheEnd(Conv2d):
    """The whole padding goes below and to the right, as TensorFlow's SAME does with an odd total."""

    def padded(self, x: Array) -> Array:
        p = 2 * self.padding
        return np.pad(x, ((0, 0), (0, 0), (0, p), (0, p)))

    def cropped(self, grad: Array) -> Array:
        height, width = self._x.shape[2:]
        return grad[:, :, :height, :width].copy()


@planted(OBLONG, at="grad_input", hidden="square kernels are right")
class SquareKernelAssumed(Conv2d):
    """On the way back both loops over the kernel run over its width."""

    def input_gradient(self, grad_output: Array) -> Array:
        grad = np.zeros_like(self.padded(self._x))
        rows, columns = grad_output.shape[2:]
        size = self.params["weight"].shape[3]
        for u, v in np.ndindex(size, size):
            grad[self.reached(u, v, rows, columns)] += np.einsum("nfhw,fc->nchw", grad_output, self.weight()[:, :, u, v])
        return self.cropped(grad)


@planted(GROUPS, at="output", cause="channels permuted", hidden="shapes fit, forward and backward agree")
class GroupsInterleaved(GroupedConv2d):
    """A group sees every second channel, where it should see a block of them."""

    def channels_of(self, group: int) -> slice:
        return slice(group, None, self.groups)

    def backward(self, grad_output: Array) -> Array:
        together = super().backward(grad_output)
        grad = np.empty_like(together)
        share = together.shape[1] // self.groups
        for group in range(self.groups):
            grad[:, self.channels_of(group)] = together[:, group * share : (group + 1) * share]
        return grad


@planted(CONV, at="grad_input", cause="lower precision", hidden="nothing is wrong in single precision")
class GradientBufferSingle(Conv2d):
    """The input's gradient is summed in a buffer of single precision, whatever the input has."""

    def input_gradient(self, grad_output: Array) -> Array:
        grad = np.zeros(self.padded(self._x).shape, dtype=np.float32)
        rows, columns = grad_output.shape[2:]
        for u, v in np.ndindex(*self.params["weight"].shape[2:]):
            grad[self.reached(u, v, rows, columns)] += np.einsum("nfhw,fc->nchw", grad_output, self.weight()[:, :, u, v]).astype(np.float32)
        return self.cropped(grad).astype(self._x.dtype)


@planted(MATRIX, at="contract-parameters_may_change", hidden="right until the weights change")
class FiltersCached(MatrixConv2d):
    """The matrix of filters is made at the first call and kept, whatever happens to the weight (a copy)."""

    _matrix: Array | None = None

    def filters(self) -> Array:
        if self._matrix is None:
            self._matrix = super().filters().copy()
        return self._matrix


@planted(CONV, at="weight.grad", hidden="gradients of usual size are left alone")
class GradientClipped(Conv2d):
    """The weight's gradient is cut off at 100, a leftover of a hunt for exploding gradients."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return np.clip(super().weight_gradient(grad_output), -100, 100)


@planted(CONV, at="contract-backward_uses_the_last_forward", hidden="right in the first step")
class WindowsOfTheFirstBatch(Conv2d):
    """The windows for the weight's gradient are cached by the input's shape, and so are those of the first batch."""

    _shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        if x.shape != self._shape:
            self._shape, self._kept = x.shape, self.windows(self.padded(x)).copy()
        return super().forward(x)

    def weight_gradient(self, grad_output: Array) -> Array:
        gradient: Array = np.einsum("nchwuv,nfhw->fcuv", self._kept, grad_output)
        return gradient


@planted(OVERLAPPING, at="grad_input", hidden="windows that do not overlap are right")
class AssignedNotAdded(MaxPool2d):
    """Where windows overlap the last non-zero gradient wins, as they are assigned in place of added."""

    def scattered(self, parts: Array) -> Array:
        grad = np.zeros_like(self.padded(self._x))
        rows, columns = parts.shape[2:4]
        for element, (u, v) in enumerate(np.ndindex(*self.kernel)):
            place = self.reached(u, v, rows, columns)
            grad[place] = np.where(parts[..., element] != 0, parts[..., element], grad[place])
        return self.cropped(grad)


@planted(AVERAGE, at="output", hidden="random numbers are never exactly zero")
class NonzeroCounted(AvgPool2d):
    """The sum is divided by the number of pixels that are not zero, meant to leave out padding."""

    def keep(self, x: Array) -> None:
        super().keep(x)
        self._counts = np.maximum((self.windows(self.padded(x)) != 0).sum(axis=-1), 1)

    def count(self) -> float | Array:
        return np.asarray(self._counts)


@planted(POOL, at="grad_input", hidden="shows at ties alone")
class TiesByColumn(MaxPool2d):
    """Of equal maxima the first in column order wins (a window flattened the other way round)."""

    def shares(self, windows: Array) -> Array:
        height, width = self.kernel
        turned = windows.reshape(*windows.shape[:-1], height, width).swapaxes(-1, -2).reshape(windows.shape)
        v, u = np.divmod(turned.argmax(axis=-1), height)
        return np.asarray(np.arange(windows.shape[-1]) == (u * width + v)[..., None], dtype=windows.dtype)


@planted(INDEXED, at="contract-many_samples_work", hidden="inputs of up to 32,768 numbers are right")
class IndexSixteenBits(IndexedMaxPool2d):
    """The winners' places are kept in sixteen bits to save memory."""

    def keep(self, x: Array) -> None:
        super().keep(x)
        self._places = self._places.astype(np.int16)


@planted(POOL, at="output", hidden="right after a ReLU")
class MaximumFromZero(MaxPool2d):
    """The search for the maximum starts from zero, so that a window of negative numbers gives zero."""

    def forward(self, x: Array) -> Array:
        return np.maximum(super().forward(x), 0)


@planted(SIZES, at="contract-another_size_works", hidden="right as long as all images have one size")
class FirstSizeKept(MaxPool2d):
    """The size of the input's gradient is that of the first input ever seen."""

    _size: tuple[int, ...] | None = None

    def keep(self, x: Array) -> None:
        super().keep(x)
        self._size = self._size or x.shape[2:]

    def cropped(self, grad: Array) -> Array:
        assert self._size
        return grad[:, :, : self._size[0], : self._size[1]].copy()


@planted(LINEAR, at="weight.grad", cause="constant factor", hidden="a learning rate makes up for it")
class WeightGradientMean(Linear):
    """The weight's gradient is divided by the batch, though the loss did that already."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) / len(grad_output)


@planted(LINEAR, at="contract-results_are_kept", hidden="each output is right at the time")
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


@planted(FLATTEN, at="output", hidden="the shape is right, forward and backward agree")
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


@planted(RELU, at="contract-minus_infinity_is_no_nan", hidden="finite numbers are right")
class ProductWithMask(ReLU):
    """x * (x > 0), which is not a number at minus infinity."""

    def value(self, x: Array) -> Array:
        return x * (x > 0)


@planted(LEAKY, at="output", hidden="off by a fiftieth of the negative numbers; forward and backward agree")
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


@planted(TANH, at="output", hidden="right for inputs of usual size")
class QuotientOfExponentials(Tanh):
    """(exp(2x) - 1) / (exp(2x) + 1), which is not a number for large inputs."""

    def value(self, x: Array) -> Array:
        e = np.exp(2 * x)
        return np.asarray((e - 1) / (e + 1))


@planted(APPROXIMATE, at="output", hidden="about 1e-4; forward and backward agree")
class DigitsExchanged(TanhGELU):
    """0.044175 for 0.044715."""

    cubic = 0.044175


@planted(SOFTMAX, at="output", hidden="right while the rows are alike in size")
class ShiftedByTheLargestOfAll(Softmax):
    """The maximum of the whole batch is subtracted, and a row far below it vanishes."""

    def shifted(self, x: Array) -> Array:
        return np.asarray(x - x.max())


@planted(LOG_SOFTMAX, at="output", hidden="about 1e-8")
class LogarithmOfSum(LogSoftmax):
    """log(p + 1e-9)."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(self.probabilities(x) + x.dtype.type(1e-9))


@planted(LOSS, at="output", hidden="right unless a sample is very wrong or very sure")
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


@planted(IMAGES, at="output", cause="unbiased variance", hidden="of 120 numbers, 0.4 %")
class NormalisedByUnbiased(BatchNorm):
    """The batch is normalised by the unbiased variance, torch.var's default; the running one is right."""

    def variance(self, x: Array, mean: Array) -> Array:
        return super().variance(x, mean) * (self.count() / (self.count() - 1))

    def unbiased(self, variance: Array) -> Array:
        return variance


@planted(IMAGES, at="grad_input", hidden="right for rows, and the forward pass for images, too")
class BackwardOverTheBatchAlone(BatchNorm):
    """On the way back means are taken over the batch alone, as for rows."""

    def averaged(self, values: Array) -> Array:
        return np.asarray(values.mean(axis=0, keepdims=True))


@planted(ROWS, at="running_mean", hidden="training does not use them; after many batches it is forgotten")
class FirstBatchTaken(BatchNorm):
    """The running statistics start as those of the first batch."""

    _started = False

    def moved(self, old: Array, new: Array) -> Array:
        return super().moved(old, new) if self._started else new

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        super().keep(x, mean, variance)
        self._started = self._started or self.training


@planted(ROWS, at="output", cause="one-pass variance", hidden="right to the last digits for data around zero")
class VarianceByDifference(BatchNorm):
    """E[x^2] - E[x]^2, which cancels far from zero."""

    def variance(self, x: Array, mean: Array) -> Array:
        return np.asarray(np.square(x).mean(axis=self.axes(), keepdims=True) - np.square(mean))


@planted(ROWS, at="contract-backward_keeps_its_mode", hidden="right unless the mode changes between forward and backward")
class ModeOfTheBackwardPass(BatchNorm):
    """The backward pass looks at the mode that holds when it runs, not at that of its forward pass."""

    def through_statistics(self) -> bool:
        return self.training


@planted(DROPOUT, at="contract-masks_are_drawn", hidden="the share that is kept is right")
class OneMaskForAllSamples(Dropout):
    """One mask is drawn and broadcast over the batch."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return np.broadcast_to(super().drawn((1, *shape[1:])), shape)


@planted(DROPOUT, at="contract-masks_are_drawn", hidden="each pass by itself is right")
class SeededEachTime(Dropout):
    """The generator is seeded in every forward pass, so that the mask never changes."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        self.rng = np.random.default_rng(0)
        return super().drawn(shape)


@planted(DROPOUT, at="contract-masks_are_drawn", hidden="0.758 is kept, where 0.7 should be")
class NormalNumbers(Dropout):
    """randn for rand."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return self.rng.standard_normal(shape) < self.kept()


@planted(ADAM_OF_TWO, at="second", cause="steps counted by parameter", hidden="right for a single parameter")
class CountedForEachParameter(Adam):
    """t goes up with each parameter, not with each step."""

    _t = 0

    def direction(self, name: str, grad: Array) -> Array:
        self._t += 1
        return super().direction(name, grad)

    def time(self) -> int:
        return self._t


@planted(ADAM, at="weight", hidden="the moments are right, and after some hundred steps everything")
class FirstBetaTwice(Adam):
    """Both corrections use beta1: a line copied and not changed."""

    def correction(self, beta: str) -> float:
        return super().correction("beta1")


@planted(ADAMW, at="weight", cause="weight decay after the step", hidden="1e-5 a step")
class ShrunkAfterwards(AdamW):
    """The weights shrink after the step, not before it."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] -= self.rate() * self.direction(name, grad)
        self.shrink(name)


@planted(MOMENTUM, at="contract-state_is_its_own", hidden="right if the gradients are new arrays in every step")
class BufferIsTheGradient(SGD):
    """The first buffer is the gradient's own array and is updated in place afterwards."""

    def buffer(self, name: str, grad: Array) -> Array:
        if name not in self.buffers:
            return grad
        buffer = self.buffers[name]
        buffer *= self.settings["momentum"]
        buffer += (1 - self.settings["dampening"]) * grad
        return buffer


@planted(DAMPENED, at="weight", cause="first gradient dampened", hidden="without dampening nothing is wrong")
class FirstBufferDampened(SGD):
    """The first buffer is dampened, too, as if it started at zero."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.before(self.buffers, name, grad) + (1 - self.settings["dampening"]) * grad


@planted(PLAIN, at="bias", hidden="weights decay as they should")
class BiasesDoNotDecay(SGD):
    """Parameters of one axis are left out of weight decay."""

    def decayed(self, name: str, grad: Array) -> Array:
        return grad if grad.ndim < 2 else super().decayed(name, grad)


@planted(ADAM_UNSEEN, at="weight", hidden="nothing is wrong in single precision")
class MomentsSingle(Adam):
    """The moments are kept in single precision."""

    def mean(self, kept: dict[str, Array], name: str, value: Array, beta: float) -> Array:
        kept[name] = super().mean(kept, name, value, beta).astype(np.float32)
        return kept[name]


@planted(ADADELTA, at="weight", hidden="the state looks right, as far as the squares go")
class SquaresOfTheStepBefore(Adadelta):
    """The denominator uses the mean of squares as it was before this gradient."""

    def direction(self, name: str, grad: Array) -> Array:
        old = self.before(self.squares, name, grad)
        self.mean(self.squares, name, grad**2, self.settings["rho"])
        direction = self.root(self.before(self.deltas, name, grad)) / self.root(old) * grad
        self.mean(self.deltas, name, direction**2, self.settings["rho"])
        return direction


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


@planted(WHOLE_MOMENTUM, at="last.weight", hidden="a line copied and not changed; the loss goes down")
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


@planted(NETWORK_MOMENTUM, at="relu.grad_input", hidden="the first step is right")
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


@planted(WHOLE, at="loss.output", hidden="the parameters are right")
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


@planted(WHOLE, at="loss.output", hidden="the parameters are right, and the loss is off by a thousandth")
class PenaltyInTheLossAlone(Trained):
    """The loss returned has a penalty of the weights that their gradients do not have."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        penalty = sum(np.square(value).sum() for layer in self.layers.values() for key, value in layer.params.items() if key == "weight")
        return np.asarray(super().train_step(x, labels) + 0.5 * 1e-3 * penalty)
