"""Two-dimensional convolution as three sums over windows."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.core.precision import Array


class Conv2d:
    """Cross-correlation with a bias.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : (int, int)
    stride, padding, dilation : int
        Alike along both axes.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1) -> None:
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.params = {"weight": np.zeros((out_channels, in_channels, *kernel)), "bias": np.zeros(out_channels)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the output, ``(batch, out_channels, rows, columns)``, of an input ``(batch, in_channels, height, width)``."""
        self._x = x
        output: Array = np.einsum("nchwuv,fcuv->nfhw", self.windows(self.padded(x)), self.weight()) + self.bias()
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of the parameters in ``grads``."""
        self.grads = {"weight": self.weight_gradient(grad_output), "bias": self.bias_gradient(grad_output)}
        return self.input_gradient(grad_output)

    def weight(self) -> Array:
        """Return the kernels, ``(out_channels, in_channels, height, width)``."""
        return self.params["weight"]

    def bias(self) -> Array:
        """Return what is added, shaped to fit the output."""
        return self.params["bias"][:, None, None]

    def padded(self, x: Array) -> Array:
        """Return the input with a frame of zeros."""
        p = self.padding
        return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))

    def windows(self, padded: Array) -> Array:
        """Return what each output pixel sees, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        reach = tuple(self.dilation * (size - 1) + 1 for size in self.params["weight"].shape[2:])
        every = sliding_window_view(padded, reach, axis=(2, 3))
        return every[:, :, :: self.stride, :: self.stride, :: self.dilation, :: self.dilation]

    def weight_gradient(self, grad_output: Array) -> Array:
        """Return dL/dw[f, c, u, v], the sum over samples and positions of grad_output times the pixel under (u, v)."""
        gradient: Array = np.einsum("nchwuv,nfhw->fcuv", self.windows(self.padded(self._x)), grad_output)
        return gradient

    def bias_gradient(self, grad_output: Array) -> Array:
        """Return dL/db, the sum of grad_output over samples and positions."""
        return np.asarray(grad_output.sum(axis=(0, 2, 3)))

    def input_gradient(self, grad_output: Array) -> Array:
        """Return dL/dx: each output pixel hands grad_output times the kernel back to the window that it saw."""
        grad = np.zeros_like(self.padded(self._x))
        rows, columns = grad_output.shape[2:]
        for u, v in np.ndindex(*self.params["weight"].shape[2:]):
            grad[self.reached(u, v, rows, columns)] += np.einsum("nfhw,fc->nchw", grad_output, self.weight()[:, :, u, v])
        return self.cropped(grad)

    def reached(self, u: int, v: int, rows: int, columns: int) -> tuple[slice, ...]:
        """Return which pixels of the padded input lie under the kernel's element (u, v), one for each output pixel."""
        top, left, step = u * self.dilation, v * self.dilation, self.stride
        return slice(None), slice(None), slice(top, top + step * rows, step), slice(left, left + step * columns, step)

    def cropped(self, grad: Array) -> Array:
        """Return the gradient without the frame."""
        height, width = self._x.shape[2:]
        return grad[:, :, self.padding : self.padding + height, self.padding : self.padding + width].copy()


class MatrixConv2d(Conv2d):
    """The same as one product of matrices: each window a column of pixels, each filter a row of weights (im2col)."""

    def forward(self, x: Array) -> Array:
        """Return the output, ``(batch, out_channels, rows, columns)``."""
        self._x = x
        windows = self.windows(self.padded(x))
        rows, columns = windows.shape[2:4]
        product = self.filters() @ self.columns(windows) + self.params["bias"][:, None]
        return self.images(product, len(x), rows, columns)

    def filters(self) -> Array:
        """Return the kernels as rows, ``(out_channels, channels * kernel height * kernel width)``."""
        weight = self.params["weight"]
        return weight.reshape(len(weight), -1)

    def columns(self, windows: Array) -> Array:
        """Return the windows as columns, ``(channels * kernel height * kernel width, batch * rows * columns)``."""
        pixels = self.params["weight"][0].size
        return windows.transpose(1, 4, 5, 0, 2, 3).reshape(pixels, -1)

    def images(self, product: Array, batch: int, rows: int, columns: int) -> Array:
        """Return the product's columns as pixels of the output."""
        return np.ascontiguousarray(product.reshape(-1, batch, rows, columns).transpose(1, 0, 2, 3))


class GroupedConv2d:
    """Convolution in groups of channels: each group of output channels sees its own group of input channels.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : (int, int)
    groups : int
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int], groups: int) -> None:
        self.groups = groups
        self.params = {"weight": np.zeros((out_channels, in_channels // groups, *kernel)), "bias": np.zeros(out_channels)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the outputs of all groups, one after another along the channels."""
        self.parts = []
        for group in range(self.groups):
            filters, channels, height, width = self.params["weight"].shape
            part = Conv2d(channels, filters // self.groups, (height, width))
            part.params = {name: value[self.filters_of(group)] for name, value in self.params.items()}
            self.parts.append(part)
        return np.concatenate([part.forward(x[:, self.channels_of(group)]) for group, part in enumerate(self.parts)], axis=1)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of the parameters in ``grads``."""
        grads = [part.backward(grad_output[:, self.filters_of(group)]) for group, part in enumerate(self.parts)]
        self.grads = {name: np.concatenate([part.grads[name] for part in self.parts]) for name in self.params}
        return np.concatenate(grads, axis=1)

    def filters_of(self, group: int) -> slice:
        """Return which output channels belong to a group."""
        share = len(self.params["weight"]) // self.groups
        return slice(group * share, (group + 1) * share)

    def channels_of(self, group: int) -> slice:
        """Return which input channels belong to a group."""
        share = self.params["weight"].shape[1]
        return slice(group * share, (group + 1) * share)
