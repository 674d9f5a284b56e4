"""Faults in the sums of a convolution: kernels, channels, biases, and what is added up over the batch."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.convolution import Conv2d, GroupedConv2d, MatrixConv2d

SAME = {"weight": "weight", "bias": "bias"}

CONV = Host("conv", Conv2d, lambda kind: Pair(kind(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 7, 6)], params=SAME, name="conv"))
# As many output channels as input channels, and as columns of the output: axes that are exchanged still fit.
SQUARE = Host(
    "conv-square", Conv2d, lambda kind: Pair(kind(3, 3, (3, 3)), nn.Conv2d(3, 3, 3), shapes=[(4, 3, 6, 5)], params=SAME, name="conv-square")
)
MATRIX = Host(
    "conv-matrix", MatrixConv2d, lambda kind: Pair(kind(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 7, 6)], params=SAME, name="conv-matrix")
)
GROUPS = Host(
    "conv-groups",
    GroupedConv2d,
    lambda kind: Pair(kind(4, 6, (3, 3), 2), nn.Conv2d(4, 6, 3, groups=2), shapes=[(3, 4, 6, 5)], params=SAME, name="conv-groups"),
)


@planted(CONV, at="output", cause="kernel flipped", hidden="a kernel that is symmetric, such as one of equal numbers, hides it")
class KernelFlipped(Conv2d):
    """The kernel is turned by 180 degrees: convolution where cross-correlation is due."""

    def weight(self) -> Array:
        return super().weight()[..., ::-1, ::-1]


@planted(
    CONV, at="grad_input", cause="kernel flipped", hidden="output and weight gradient are right, and so is the input gradient's sum over the image"
)
class KernelFlippedOnTheWayBack(Conv2d):
    """The input's gradient is made with the turned kernel: the transpose of a correlation needs it turned once, and it is turned twice."""

    def input_gradient(self, grad_output: Array) -> Array:
        kept = self.params["weight"]
        self.params["weight"] = kept[..., ::-1, ::-1]
        grad = super().input_gradient(grad_output)
        self.params["weight"] = kept
        return grad


@planted(
    CONV, at="weight.grad", cause="kernel flipped", hidden="with a cotangent of ones the sums under the kernel's elements differ by borders alone"
)
class WeightGradientFlipped(Conv2d):
    """The weight's gradient comes out turned by 180 degrees, from a convolution with the cotangent where a correlation is due."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output)[..., ::-1, ::-1]


@planted(CONV, at="output", cause="transposed", hidden="a kernel that is symmetric, such as a box or a blur, hides it")
class KernelTransposed(Conv2d):
    """Height and width of a square kernel are exchanged."""

    def weight(self) -> Array:
        return super().weight().swapaxes(2, 3)


@planted(CONV, at="output", cause="channels permuted", hidden="a grey image, whose channels are alike, hides it")
class ChannelsReversed(Conv2d):
    """The image's channels are read in the opposite order, as BGR for RGB."""

    def weight(self) -> Array:
        return super().weight()[:, ::-1]


@planted(SQUARE, at="output", cause="transposed", hidden="shapes fit wherever a layer has as many channels in as out, and no exception is raised")
class InputAndOutputChannelsExchanged(Conv2d):
    """The weight is read as (in, out) where it is stored as (out, in)."""

    def weight(self) -> Array:
        return super().weight().swapaxes(0, 1)


@planted(CONV, at="output", cause="bias left out", hidden="biases start at zero, so that a freshly made layer is right")
class BiasLeftOut(Conv2d):
    """The bias is never added."""

    def bias(self) -> Array:
        return np.zeros_like(super().bias())


@planted(
    SQUARE, at="output", cause="wrong axis", hidden="biases start at zero, and shapes fit where an image has as many columns as the layer has filters"
)
class BiasAlongColumns(Conv2d):
    """The bias is broadcast along the columns of the image, not along the channels."""

    def bias(self) -> Array:
        return self.params["bias"]


@planted(CONV, at="bias.grad", cause="not computed", hidden="the loss falls all the same: the other parameters learn")
class BiasGradientMissing(Conv2d):
    """The bias's gradient stays at zero: nobody computes it."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.zeros_like(self.params["bias"])


@planted(CONV, at="bias.grad", cause="edit: divided", hidden="with a batch of one the mean is the sum")
class BiasGradientAveraged(Conv2d):
    """The bias's gradient is averaged over the batch, where it has to be summed."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output) / len(grad_output)


@planted(CONV, at="bias.grad", cause="edit: mean", hidden="its direction is right, and Adam divides the factor out")
class BiasGradientAveragedOverPositions(Conv2d):
    """The bias's gradient is the mean of the cotangent over samples and positions, where it has to be the sum."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(grad_output.mean(axis=(0, 2, 3)))


@planted(CONV, at="weight.grad", cause="one sample only", hidden="tests that use a batch of one never see a second sample")
class WeightGradientOfTheLastSample(Conv2d):
    """The loop over the batch overwrites the weight's gradient: ``=`` where ``+=`` is due."""

    def weight_gradient(self, grad_output: Array) -> Array:
        gradient = np.zeros_like(self.params["weight"])
        for windows, cotangent in zip(self.windows(self.padded(self._x)), grad_output, strict=True):
            gradient = np.einsum("chwuv,fhw->fcuv", windows, cotangent)
        return gradient


@planted(
    CONV, at="weight.grad", cause="edit: divided", hidden="with a batch of one the mean is the sum; otherwise it looks like a smaller learning rate"
)
class WeightGradientAveraged(Conv2d):
    """The weight's gradient is divided by the batch size, which the loss has done already."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) / len(grad_output)


@planted(CONV, at="weight.grad", cause="edit: sign", hidden="norms of gradients, and histograms of them, look as they should")
class WeightGradientNegated(Conv2d):
    """The weight's gradient has the wrong sign, from a loss written as target minus output."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return -super().weight_gradient(grad_output)


@planted(CONV, at="weight.grad", hidden="with a cotangent that is the same for every sample, such as all ones, both are equal")
class WeightGradientFromMeans(Conv2d):
    """The cotangent is summed over the batch before it meets the input, as if the sum of products were the product of sums."""

    def weight_gradient(self, grad_output: Array) -> Array:
        windows = self.windows(self.padded(self._x))
        return np.asarray(np.einsum("chwuv,fhw->fcuv", windows.mean(axis=0), grad_output.sum(axis=0)))


@planted(CONV, at="weight.grad", cause="edit: flipped", hidden="with a cotangent of all ones every order of its rows is the same")
class CotangentUpsideDown(Conv2d):
    """The cotangent's rows are read from the bottom up, as those of an image whose origin is its lower left corner."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output[:, :, ::-1])


@planted(CONV, at="weight.grad", cause="weight decay", hidden="a decay of 1e-4 stays below a tolerance of 1e-3")
class WeightDecayInTheGradient(Conv2d):
    """The layer adds weight decay to its gradient, which the optimizer adds as well."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(grad_output) + 1e-4 * self.params["weight"]


@planted(MATRIX, at="output", cause="edit: before", hidden="with one input channel the order of channel and kernel axes is the same")
class ColumnsWithChannelsLast(MatrixConv2d):
    """The columns list the pixels of a window by row, column and channel, the filters by channel, row and column."""

    def columns(self, windows: Array) -> Array:
        return windows.transpose(4, 5, 1, 0, 2, 3).reshape(self.params["weight"][0].size, -1)


@planted(MATRIX, at="output", cause="transposed", hidden="a batch of one fits either order")
class ImagesReshapedWithoutTransposing(MatrixConv2d):
    """The product's columns are reshaped into images at once, although its rows are filters and its samples come second."""

    def images(self, product: Array, batch: int, rows: int, columns: int) -> Array:
        return product.reshape(batch, -1, rows, columns)


@planted(GROUPS, at="output", cause="channels permuted", hidden="with one group, or on a grey image, every assignment of channels is the same")
class GroupsInterleaved(GroupedConv2d):
    """A group takes every other input channel, where groups are blocks of neighbours."""

    def channels_of(self, group: int) -> slice:
        return slice(group, None, self.groups)

    def backward(self, grad_output: Array) -> Array:
        grad = super().backward(grad_output)
        return grad.reshape(len(grad), self.groups, -1, *grad.shape[2:]).swapaxes(1, 2).reshape(grad.shape)


@planted(GROUPS, at="output", hidden="every group has the right shapes, and the first one is right")
class FirstGroupsKernelsForAll(GroupedConv2d):
    """Every group is convolved with the first group's kernels."""

    def filters_of(self, group: int) -> slice:
        return super().filters_of(0)
