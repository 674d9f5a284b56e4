"""Faults in what a layer keeps, shares and writes to, and in how it takes arrays to lie in memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.activation import RELU
from tests.support.faults.convolution import CONV
from tests.support.faults.fault import Host, planted
from tests.support.faults.linear import FLATTEN, LINEAR
from tests.support.faults.loss import LOSS
from tests.support.faults.pooling import AVERAGE
from tests.textbook.activation import ReLU
from tests.textbook.convolution import Conv2d
from tests.textbook.linear import Flatten, Linear
from tests.textbook.loss import CrossEntropy, Labels
from tests.textbook.padding import ZeroPad2d
from tests.textbook.pooling import AvgPool2d, IndexedMaxPool2d, MaxPool2d

FRAME = Host("zeropad", ZeroPad2d, lambda kind: Pair(kind(0, 3, 2, 1), nn.ZeroPad2d((0, 3, 2, 1)), shapes=[(4, 2, 5, 4)], name="zeropad"))
INDEXED = Host(
    "maxpool-indexed", IndexedMaxPool2d, lambda kind: Pair(kind((2, 2), 2), nn.MaxPool2d(2), shapes=[(4, 2, 6, 8)], name="maxpool-indexed")
)
SIZES = Host(
    "maxpool-sizes", MaxPool2d, lambda kind: Pair(kind((2, 2), 2), nn.MaxPool2d(2), shapes=[(4, 2, 6, 6), (4, 2, 4, 8)], name="maxpool-sizes")
)
SUBSAMPLING = Host("maxpool-1s2", MaxPool2d, lambda kind: Pair(kind((1, 1), 2), nn.MaxPool2d(1, 2), shapes=[(4, 2, 6, 7)], name="maxpool-1s2"))


@planted(
    LINEAR,
    at="contract-same_call_same_answer",
    hidden="the first backward pass is right, and a test that makes a new layer each time never sees a second",
)
class GradientsAccumulate(Linear):
    """Each backward pass adds to the gradients of the one before, and nobody clears them."""

    def backward(self, grad_output: Array) -> Array:
        before = self.grads
        grad_input = super().backward(grad_output)
        self.grads = {name: before.get(name, 0) + grad for name, grad in self.grads.items()}
        return grad_input


@planted(LINEAR, at="contract-smaller_batch_works", hidden="a test of one forward and one backward pass has only one input to be kept")
class FirstInputKept(Linear):
    """The input is kept only where none is kept yet, so that every backward pass differentiates the first forward pass."""

    def keep(self, x: Array) -> None:
        if not hasattr(self, "_x"):
            super().keep(x)


@planted(LINEAR, at="contract-larger_batch_works", hidden="batches of one size, and smaller ones after them, are right; an evaluation's are larger")
class SizeOfTheFirstBatchKept(Linear):
    """The loop over the samples goes to the size of the first batch, for ever."""

    def product(self, x: Array) -> Array:
        self._samples = getattr(self, "_samples", len(x))
        product = super().product(x)
        product[self._samples :] = 0
        return product


@planted(SIZES, at="contract-another_size_works", hidden="in a data set all images are of one size; those that a network is used on later are not")
class SizeOfTheFirstImageKept(MaxPool2d):
    """The number of windows is worked out for the first image and kept."""

    def windows(self, padded: Array) -> Array:
        windows = super().windows(padded)
        self._count = getattr(self, "_count", windows.shape[2:4])
        return windows[:, :, : self._count[0], : self._count[1]]


@planted(
    RELU,
    at="contract-random_generators_are_not_seeded",
    hidden="its own numbers are right; the order of batches, and every dropout, repeat from step to step",
)
class SeedsTheGlobalGenerator(ReLU):
    """The forward pass seeds NumPy's global generator, so that its results can be reproduced."""

    def value(self, x: Array) -> Array:
        np.random.seed(0)  # noqa: NPY002 - the mistake itself
        return super().value(x)


@planted(LINEAR, at="contract-backward_is_linear", hidden="any cotangent but one of zeros alone, as behind dead units, is right")
class DividedByTheCotangentsSize(Linear):
    """The cotangent is brought to a size of 1, against overflow, and back: a cotangent of zeros becomes zero over zero."""

    def input_gradient(self, grad_output: Array) -> Array:
        size = np.abs(grad_output).max()
        return np.asarray(super().input_gradient(grad_output / size) * size)


@planted(CONV, at="contract-backward_uses_the_last_forward", hidden="another batch of the same shape, with other numbers, is needed to see it")
class WindowsKeptForTheShape(Conv2d):
    """The windows are kept from call to call and made anew only where the shape changes."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return np.asarray(np.einsum("nchwuv,nfhw->fcuv", self._windows, grad_output))

    def forward(self, x: Array) -> Array:
        if getattr(self, "_shape", None) != x.shape:
            self._shape, self._windows = x.shape, self.windows(self.padded(x))
        return super().forward(x)


@planted(LINEAR, at="contract-instances_share_nothing", hidden="with a single layer of its kind nothing is shared; a network has several")
class InputKeptInTheClass(Linear):
    """The input is kept in an attribute of the class, which all layers of the kind share."""

    kept: ClassVar[dict[str, Array]] = {}

    def keep(self, x: Array) -> None:
        self.kept["x"] = x

    def weight_gradient(self, grad_output: Array) -> Array:
        return grad_output.T @ self.kept["x"]


@planted(LINEAR, at="contract-results_stay_unchanged", hidden="an output that is used before the next call is right")
class OutputBufferReused(Linear):
    """All calls write their output into one buffer, which the caller of an earlier one still holds."""

    def product(self, x: Array) -> Array:
        buffer = getattr(self, "_buffer", None)
        if buffer is None or len(buffer) < len(x) or buffer.dtype != x.dtype:
            self._buffer = np.empty((len(x), len(self.params["bias"])), x.dtype)
        return np.matmul(x, self.params["weight"].T, out=self._buffer[: len(x)])

    def forward(self, x: Array) -> Array:
        self.keep(x)
        output = self.product(x)
        output += self.bias()
        return output


@planted(
    LINEAR,
    at="contract-forward_does_not_change_gradients",
    hidden="a step that follows the backward pass at once uses them; one that comes after an evaluation has none",
)
class ForwardClearsGradients(Linear):
    """The forward pass clears the gradients."""

    def keep(self, x: Array) -> None:
        super().keep(x)
        self.grads = {}


@planted(LOSS, at="contract-backward_twice_does_not_accumulate", hidden="a single backward pass is right")
class OneHotSubtractedInPlace(CrossEntropy):
    """The one-hot target is subtracted from the kept probabilities themselves, by each backward pass once more."""

    def forward(self, x: Array, labels: Labels) -> Array:
        self._p = self.probabilities(x)
        return super().forward(x, labels)

    def gradient(self) -> Array:
        self._p -= self.hits(self._labels)
        return self._p


@planted(
    RELU,
    at="contract-inputs_are_left_alone",
    hidden="values and gradients are right; whoever needs the input once more, as a second branch does, finds it changed",
)
class WritesToItsInput(ReLU):
    """The negative part is set to zero in the input's own memory."""

    def value(self, x: Array) -> Array:
        x[x < 0] = 0
        return x


@planted(
    RELU,
    at="contract-inputs_are_left_alone",
    hidden="values and gradients are right; a second branch that gets the same cotangent gets the masked one",
)
class WritesToItsCotangent(ReLU):
    """The mask is applied to the cotangent's own memory."""

    def backward(self, grad_output: Array) -> Array:
        grad_output *= self.slope(self._x)
        return grad_output


@planted(SUBSAMPLING, at="contract-output_is_not_a_view", hidden="its numbers are right until the next layer works in place, as many a ReLU does")
class SubsampledAsAView(MaxPool2d):
    """Windows of a single pixel are picked by slicing: the output is a view, and who writes to it writes to the input."""

    def forward(self, x: Array) -> Array:
        self.keep(x)
        return x[:, :, :: self.stride, :: self.stride]


@planted(FRAME, at="contract-grad_input_is_not_a_view", hidden="its numbers are right until somebody adds to it in place")
class CroppedAsAView(ZeroPad2d):
    """The input's gradient is a view of the cotangent, which may be another layer's."""

    def backward(self, grad_output: Array) -> Array:
        return self.inner(grad_output)


@planted(FRAME, at="output", cause="padding", hidden="with the same padding on all four sides every order is the same")
class SidesInAnotherOrder(ZeroPad2d):
    """The four sides are read as top, bottom, left, right, where they are given as left, right, top, bottom."""

    def __init__(self, left: int, right: int, top: int, bottom: int) -> None:
        super().__init__(top, bottom, left, right)


@planted(
    INDEXED,
    at="grad_input",
    cause="not computed",
    hidden="arrays that NumPy made are in C order; one that was transposed and copied, or read from Fortran or MATLAB, is not",
)
class WrittenToACopy(IndexedMaxPool2d):
    """The gradient is written through a flat view of an array like the input, which is a copy where the input is in Fortran's order, and lost."""

    def blank(self) -> Array:
        return np.zeros_like(self._x)


@planted(FLATTEN, at="output", cause="flatten order", hidden="for arrays in C order, and for strided ones, the order is the same")
class FlattenedAsItLies(Flatten):
    """The input is flattened with ``order="A"``, in Fortran's order where it lies so, to avoid a copy."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        return x.reshape(len(x), -1, order="A")


@planted(AVERAGE, at="output", hidden="arrays in C order and in Fortran's order are gapless; a slice with a step, or a reversed image, is not")
class TakenForGapless(AvgPool2d):
    """Windows are laid over the memory by strides worked out from the shape, as if there were no gaps between the elements."""

    def padded(self, x: Array) -> Array:
        return x

    def windows(self, padded: Array) -> Array:
        batch, channels, row, column = np.empty_like(padded, order="A").strides
        rows, columns = (size - side + 1 for size, side in zip(padded.shape[2:], self.kernel, strict=True))
        view = as_strided(padded, (*padded.shape[:2], rows, columns, *self.kernel), (batch, channels, row, column, row, column))
        return view.reshape(*view.shape[:4], -1)


@planted(
    LINEAR, at="output", hidden="PyTorch shares memory with arrays of either order; one with a negative stride, such as a mirrored image, it refuses"
)
class HandedOnWithoutACopy(Linear):
    """The product is left to PyTorch, which gets the input's memory as it is."""

    def product(self, x: Array) -> Array:
        shared: Array = (torch.from_numpy(x) @ torch.from_numpy(self.params["weight"]).T).numpy()
        return shared
