"""Faults in max and average pooling."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.pooling import AvgPool2d, MaxPool2d

POOL = Host("maxpool", MaxPool2d, lambda kind: Pair(kind((2, 2), 2), nn.MaxPool2d(2), shapes=[(4, 2, 7, 6)], name="maxpool"))
OBLONG = Host("maxpool-2x3", MaxPool2d, lambda kind: Pair(kind((2, 3), 2), nn.MaxPool2d((2, 3), 2), shapes=[(4, 2, 7, 8)], name="maxpool-2x3"))
OVERLAPPING = Host(
    "maxpool-3s2p1", MaxPool2d, lambda kind: Pair(kind((3, 3), 2, 1), nn.MaxPool2d(3, 2, 1), shapes=[(4, 2, 8, 7)], name="maxpool-3s2p1")
)
BROAD = Host("maxpool-4", MaxPool2d, lambda kind: Pair(kind((4, 4), 4), nn.MaxPool2d(4), shapes=[(4, 2, 9, 8)], name="maxpool-4"))
AVERAGE = Host("avgpool", AvgPool2d, lambda kind: Pair(kind((3, 3), 1), nn.AvgPool2d(3, 1), shapes=[(5, 2, 7, 6)], name="avgpool"))
AVERAGE_PADDED = Host("avgpool-p1", AvgPool2d, lambda kind: Pair(kind((3, 3), 2, 1), nn.AvgPool2d(3, 2, 1), shapes=[(5, 2, 7, 6)], name="avgpool-p1"))


@planted(POOL, at="grad_input", cause="tie rule: all", hidden="random numbers never tie; on digits most windows of the background do")
class GradientToAllWinners(MaxPool2d):
    """Every pixel that equals its window's maximum gets the whole gradient."""

    def shares(self, windows: Array) -> Array:
        return np.asarray(windows == windows.max(axis=-1, keepdims=True), dtype=windows.dtype)


@planted(POOL, at="grad_input", cause="tie rule: split", hidden="random numbers never tie, and the gradient's sum is right even where they do")
class GradientSplitAmongWinners(MaxPool2d):
    """Pixels that tie for a maximum share its gradient."""

    def shares(self, windows: Array) -> Array:
        tied = np.asarray(windows == windows.max(axis=-1, keepdims=True), dtype=windows.dtype)
        return np.asarray(tied / tied.sum(axis=-1, keepdims=True))


@planted(POOL, at="grad_input", cause="tie rule: last", hidden="random numbers never tie, and the gradient's sum is right even where they do")
class LastWinner(MaxPool2d):
    """The last of several equal pixels wins, from a loop that compares with ``>=``."""

    def shares(self, windows: Array) -> Array:
        return super().shares(windows[..., ::-1])[..., ::-1]


@planted(POOL, at="grad_input", hidden="random numbers never tie, and every rule is as good for training")
class RandomWinner(MaxPool2d):
    """One of several equal pixels wins by lot, as in code that adds noise to break ties."""

    def shares(self, windows: Array) -> Array:
        lots = np.random.default_rng(0).random(windows.shape)
        return super().shares(np.where(windows == windows.max(axis=-1, keepdims=True), lots, -1).astype(windows.dtype))


@planted(POOL, at="grad_input", cause="edit: first", hidden="every window's sum of gradients is right, and so is the sum over the image")
class GradientToTheFirstPixel(MaxPool2d):
    """The gradient goes to the upper left pixel of each window, whoever won."""

    def shares(self, windows: Array) -> Array:
        return np.asarray(np.arange(windows.shape[-1]) == np.zeros(windows.shape[:-1])[..., None], dtype=windows.dtype)


@planted(POOL, at="grad_input", cause="constant factor", hidden="it looks like a smaller learning rate for the layers before")
class GradientDividedByTheWindow(MaxPool2d):
    """The winner gets its gradient divided by the size of the window, as in average pooling."""

    def shares(self, windows: Array) -> Array:
        return np.asarray(super().shares(windows) / windows.shape[-1])


@planted(OVERLAPPING, at="grad_input", cause="overwritten", hidden="windows do not overlap in most networks, and then there is nothing to add")
class OverlapOverwritten(MaxPool2d):
    """A pixel that wins several windows gets the gradient of the last one alone: ``=`` where ``+=`` is due."""

    def scattered(self, parts: Array) -> Array:
        won = self.shares(self.windows(self.padded(self._x))) > 0
        grad, side = np.zeros_like(self.padded(self._x)), self.kernel
        for row, column in np.ndindex(*parts.shape[2:4]):
            top, left = row * self.stride, column * self.stride
            window = grad[:, :, top : top + side[0], left : left + side[1]]
            mine = won[:, :, row, column].reshape(window.shape)
            window[mine] = parts[:, :, row, column].reshape(window.shape)[mine]
        return self.cropped(grad)


@planted(OVERLAPPING, at="output", cause="padded with zero", hidden="after a ReLU nothing is negative, and zeros change no maximum")
class PaddedWithZero(MaxPool2d):
    """The frame is zero, which beats every negative pixel, where it has to be minus infinity."""

    frame = 0.0


@planted(OVERLAPPING, at="output", cause="edit: fill", hidden="no image is as dark as that; gradients and logits that have diverged are")
class PaddedWithABillion(MaxPool2d):
    """The frame is -1e9, a number believed to be smaller than any, where it has to be minus infinity."""

    frame = -1e9


@planted(
    BROAD,
    at="output",
    cause="edit: from zero",
    hidden="a window of 16 random numbers has a positive one; one of background, or of negative activations, has none",
)
class MaximumStartsAtZero(MaxPool2d):
    """The search for the largest pixel starts from zero, so that a wholly negative window comes out as zero."""

    def forward(self, x: Array) -> Array:
        return np.maximum(super().forward(x), 0)


@planted(POOL, at="output", hidden="with even sizes, as in most examples, there is no remainder")
class RemainderRowKept(MaxPool2d):
    """Rows that fill no window make one more output row, rounded up where the size has to be rounded down."""

    def padded(self, x: Array) -> Array:
        down, right = (-size % self.stride for size in x.shape[2:])
        return np.pad(x, ((0, 0), (0, 0), (0, down), (0, right)), constant_values=-np.inf)


@planted(POOL, at="grad_input", hidden="with even sizes, as in most examples, there is no remainder")
class RemainderRowWithoutGradient(MaxPool2d):
    """The input's gradient is as large as the windows together, without the row that filled none."""

    def cropped(self, grad: Array) -> Array:
        rows, columns = (size // self.stride * self.stride for size in self._x.shape[2:])
        return grad[:, :, :rows, :columns].copy()


@planted(OBLONG, at="grad_input", hidden="in a square window the winner's row and column come from either side")
class WinnersRowByTheKernelsHeight(MaxPool2d):
    """The winner's place in the window is taken apart by the kernel's height, where its width divides rows."""

    def shares(self, windows: Array) -> Array:
        height, width = self.kernel
        row, column = np.divmod(windows.argmax(axis=-1), height)
        believed = np.minimum(row, height - 1) * width + np.minimum(column, width - 1)
        return np.asarray(np.arange(windows.shape[-1]) == believed[..., None], dtype=windows.dtype)


@planted(POOL, at="grad_input", cause="edit: transposed", hidden="winners in the corners of the diagonal, half of all, are where they should be")
class WinnersRowAndColumnExchanged(MaxPool2d):
    """The winner's row in the window is taken for its column."""

    def shares(self, windows: Array) -> Array:
        shares = super().shares(windows)
        return shares.reshape(*shares.shape[:-1], *self.kernel).swapaxes(-1, -2).reshape(shares.shape)


@planted(POOL, at="grad_input", cause="edit: of one", hidden="with one channel, as on digits, the first channel's winners are everybody's")
class WinnersOfTheFirstChannel(MaxPool2d):
    """The winners of the first channel are taken for those of all channels."""

    def shares(self, windows: Array) -> Array:
        return np.repeat(super().shares(windows[:, :1]), windows.shape[1], axis=1)


@planted(POOL, at="output", cause="edit: axes", hidden="shapes are right, and with channels that are alike so are most numbers")
class MaximumOverChannels(MaxPool2d):
    """The maximum is taken over the channels as well and is the same for all of them: one axis too many."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        return np.repeat(output.max(axis=1, keepdims=True), x.shape[1], axis=1)


@planted(AVERAGE, at="output", cause="edit: sum", hidden="a batch norm after it divides the factor out")
class SumForMean(AvgPool2d):
    """Windows are added up and divided by nothing."""

    def count(self) -> float | Array:
        return 1


@planted(AVERAGE, at="grad_input", cause="edit: left out", hidden="the output is right, and the gradient's direction is")
class GradientNotShared(AvgPool2d):
    """Every pixel of a window gets the window's whole gradient."""

    def scattered(self, parts: Array) -> Array:
        return super().scattered(parts * parts.dtype.type(self.kernel[0] * self.kernel[1]))


@planted(AVERAGE, at="output", cause="edit: sum", hidden="where the stride is as large as the kernel, as in most networks, both are the same")
class DividedByTheStride(AvgPool2d):
    """The sum is divided by the area of a step, not by that of a window."""

    def count(self) -> float | Array:
        return self.stride**2


@planted(AVERAGE, at="grad_input", cause="overwritten", hidden="where windows do not overlap there is nothing to add")
class AverageOverwritten(AvgPool2d):
    """Each window writes its share into the input's gradient, where it has to add to what others left there."""

    def scattered(self, parts: Array) -> Array:
        grad, (height, width) = np.zeros_like(self._x), self.kernel
        for row, column in np.ndindex(*parts.shape[2:4]):
            grad[:, :, row : row + height, column : column + width] = parts[:, :, row, column].reshape(*parts.shape[:2], height, width)
        return grad


@planted(AVERAGE, at="grad_input", hidden="the gradient of every window adds up to what it should")
class AverageGradientToTheLargest(AvgPool2d):
    """The window's gradient goes to its largest pixel, copied from max pooling."""

    def scattered(self, parts: Array) -> Array:
        windows = self.windows(self.padded(self._x))
        won = np.arange(windows.shape[-1]) == windows.argmax(axis=-1)[..., None]
        return super().scattered(np.where(won, parts.sum(axis=-1, keepdims=True), 0))


@planted(AVERAGE_PADDED, at="output", cause="padding counted", hidden="without padding, and inside the image with it, both counts are the same")
class PaddingNotCounted(AvgPool2d):
    """The sum is divided by the pixels of the image in the window, where the frame is declared to count."""

    def count(self) -> float | Array:
        frame = np.pad(np.ones(self._x.shape[2:]), self.padding)
        inside = sliding_window_view(frame, self.kernel)[:: self.stride, :: self.stride]
        return np.asarray(inside.sum(axis=(2, 3)))
