"""Blind mistakes in what moves windows: convolution and pooling."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.convolution import CONV, GROUPS, MATRIX
from tests.support.faults.convolution import SQUARE as SQUARE_CONV
from tests.support.faults.fault import planted
from tests.support.faults.layer_memory import INDEXED, SIZES
from tests.support.faults.pooling import AVERAGE, OVERLAPPING, POOL
from tests.support.faults.windows import OBLONG, STRIDED
from tests.textbook.convolution import Conv2d, GroupedConv2d, MatrixConv2d
from tests.textbook.pooling import AvgPool2d, IndexedMaxPool2d, MaxPool2d


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


@planted(OBLONG, at="grad_input", cause="edit: border", hidden="square kernels are right")
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


@planted(MATRIX, at="contract-uses_updated_parameters", hidden="right until the weights change")
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


@planted(POOL, at="grad_input", cause="edit: columns first", hidden="shows at ties alone")
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


@planted(POOL, at="output", cause="edit: from zero", hidden="right after a ReLU")
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
