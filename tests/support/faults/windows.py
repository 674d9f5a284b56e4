"""Faults in where a convolution's windows lie: stride, padding, dilation, borders."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.convolution import CONV, SAME
from tests.support.faults.fault import Host, planted
from tests.textbook.convolution import Conv2d

PADDED = Host(
    "conv-p1", Conv2d, lambda kind: Pair(kind(2, 3, (3, 3), 1, 1), nn.Conv2d(2, 3, 3, padding=1), shapes=[(4, 2, 7, 6)], params=SAME, name="conv-p1")
)
STRIDED = Host(
    # An oblong kernel, and sizes that the stride does not divide.
    "conv-s2p1",
    Conv2d,
    lambda kind: Pair(kind(2, 3, (3, 2), 2, 1), nn.Conv2d(2, 3, (3, 2), 2, 1), shapes=[(4, 2, 8, 7)], params=SAME, name="conv-s2p1"),
)
DILATED = Host(
    "conv-d2",
    Conv2d,
    lambda kind: Pair(kind(2, 3, (3, 3), 1, 0, 2), nn.Conv2d(2, 3, 3, dilation=2), shapes=[(4, 2, 8, 7)], params=SAME, name="conv-d2"),
)
OBLONG = Host("conv-3x2", Conv2d, lambda kind: Pair(kind(2, 3, (3, 2)), nn.Conv2d(2, 3, (3, 2)), shapes=[(4, 2, 6, 6)], params=SAME, name="conv-3x2"))


@planted(STRIDED, at="grad_input", cause="stride ignored", hidden="with a stride of 1, in most examples, there is nothing to ignore")
class StrideIgnoredOnTheWayBack(Conv2d):
    """The output's pixels hand their gradient to neighbouring windows, as if the stride were 1."""

    def reached(self, u: int, v: int, rows: int, columns: int) -> tuple[slice, ...]:
        return slice(None), slice(None), slice(u, u + rows), slice(v, v + columns)


@planted(STRIDED, at="weight.grad", cause="stride ignored", hidden="with a stride of 1, in most examples, there is nothing to ignore")
class StrideIgnoredInTheWeightGradient(Conv2d):
    """The weight's gradient pairs the cotangent with the windows of a stride of 1."""

    def weight_gradient(self, grad_output: Array) -> Array:
        rows, columns = grad_output.shape[2:]
        every = sliding_window_view(self.padded(self._x), self.params["weight"].shape[2:], axis=(2, 3))
        return np.asarray(np.einsum("nchwuv,nfhw->fcuv", every[:, :, :rows, :columns], grad_output))


@planted(PADDED, at="output", cause="padding", hidden="far from the border every pixel is there, moved by one: a network trains with it")
class PaddedAtTheEndAlone(Conv2d):
    """All of the padding is put below and to the right, none of it above and to the left."""

    def padded(self, x: Array) -> Array:
        return np.pad(x, ((0, 0), (0, 0), (0, 2 * self.padding), (0, 2 * self.padding)))

    def cropped(self, grad: Array) -> Array:
        height, width = self._x.shape[2:]
        return grad[:, :, :height, :width].copy()


@planted(PADDED, at="grad_input", cause="padding", hidden="the shape is right, and with a cotangent of ones so are most of the inner pixels")
class PaddingNotCropped(Conv2d):
    """The input's gradient is cut from the corner of the padded one, the frame still in it."""

    def cropped(self, grad: Array) -> Array:
        height, width = self._x.shape[2:]
        return grad[:, :, :height, :width].copy()


@planted(
    PADDED, at="grad_input", cause="", hidden="it is seen only where somebody looks at the gradient's shape, and broadcasting may hide that, too"
)
class PaddingCroppedTwice(Conv2d):
    """The frame is taken off the input's gradient twice."""

    def cropped(self, grad: Array) -> Array:
        return grad[:, :, 2 * self.padding : -2 * self.padding, 2 * self.padding : -2 * self.padding].copy()


@planted(PADDED, at="output", cause="padding", hidden="inner pixels are right, and an image on a black ground is the same either way")
class PaddedWithEdge(Conv2d):
    """The frame repeats the image's border, where zeros are due."""

    def padded(self, x: Array) -> Array:
        p = self.padding
        return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="edge")


@planted(CONV, at="output", hidden="an output that is one row short is a valid input of what comes next, wherever shapes are inferred")
class OutputOneRowShort(Conv2d):
    """The output's height is computed as height minus kernel, without the one that has to be added."""

    def forward(self, x: Array) -> Array:
        return super().forward(x)[:, :, :-1, :-1].copy()


@planted(CONV, at="output", cause="border lost", hidden="digits have an empty border: what is lost there is nearly constant")
class LastRowNotComputed(Conv2d):
    """The loop over rows ends one too early and leaves the last one at zero."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        output[:, :, -1] = 0
        return output


@planted(CONV, at="weight.grad", cause="border lost", hidden="on an image of usual size one column is a few per cent of the sum")
class LastColumnLostInTheWeightGradient(Conv2d):
    """The loop over the cotangent's columns ends one too early."""

    def weight_gradient(self, grad_output: Array) -> Array:
        windows = self.windows(self.padded(self._x))
        return np.asarray(np.einsum("nchwuv,nfhw->fcuv", windows[:, :, :, :-1], grad_output[..., :-1]))


@planted(CONV, at="grad_input", cause="border lost", hidden="the pixels that it concerns are background in most images")
class LastRowOfTheInputGradientLost(Conv2d):
    """The last row of the input gets no gradient."""

    def cropped(self, grad: Array) -> Array:
        grad = super().cropped(grad)
        grad[:, :, -1] = 0
        return grad


@planted(
    CONV,
    at="grad_input",
    cause="shifted",
    hidden="sums, norms and histograms of the gradient hardly change, and with a cotangent of ones few elements do",
)
class InputGradientOneRowLater(Conv2d):
    """Rows are counted from 1 on the way back, so that every gradient lands one row below its pixel."""

    def cropped(self, grad: Array) -> Array:
        grad = super().cropped(grad)
        grad[:, :, 1:], grad[:, :, 0] = grad[:, :, :-1].copy(), 0
        return grad


@planted(OBLONG, at="output", hidden="kernels are square in nearly every example")
class KernelHeightAndWidthSwapped(Conv2d):
    """Windows are as high as the kernel is wide, and as wide as it is high."""

    def windows(self, padded: Array) -> Array:
        return sliding_window_view(padded, self.params["weight"].shape[:1:-1], axis=(2, 3)).swapaxes(4, 5)


@planted(
    DILATED, at="weight.grad", cause="dilation ignored", hidden="with a dilation of 1 there is nothing to ignore, and the shape is right with any"
)
class DilationIgnoredInTheWeightGradient(Conv2d):
    """The weight's gradient is taken over windows without gaps."""

    def weight_gradient(self, grad_output: Array) -> Array:
        rows, columns = grad_output.shape[2:]
        every = sliding_window_view(self._x, self.params["weight"].shape[2:], axis=(2, 3))
        return np.asarray(np.einsum("nchwuv,nfhw->fcuv", every[:, :, :rows, :columns], grad_output))


@planted(
    DILATED, at="grad_input", cause="dilation ignored", hidden="with a dilation of 1 there is nothing to ignore, and the shape is right with any"
)
class DilationIgnoredOnTheWayBack(Conv2d):
    """The input's gradient is handed to windows without gaps."""

    def reached(self, u: int, v: int, rows: int, columns: int) -> tuple[slice, ...]:
        return slice(None), slice(None), slice(u, u + rows), slice(v, v + columns)


@planted(
    CONV, at="grad_input", cause="overwritten", hidden="where windows do not overlap, with a stride as large as the kernel, there is nothing to add"
)
class OverlapOverwritten(Conv2d):
    """Each window writes its gradient into the input's, where it has to add to what others left there."""

    def input_gradient(self, grad_output: Array) -> Array:
        grad = np.zeros_like(self._x)
        height, width = self.params["weight"].shape[2:]
        for row, column in np.ndindex(*grad_output.shape[2:]):
            grad[:, :, row : row + height, column : column + width] = np.einsum("nf,fcuv->ncuv", grad_output[:, :, row, column], self.weight())
        return grad
