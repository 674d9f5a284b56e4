"""Two-dimensional convolution as three sums over windows."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.arithmetic import Array


class Conv2d:
    """Cross-correlation with a bias.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : (int, int)
    stride, padding : int
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int], stride: int = 1, padding: int = 0) -> None:
        self.stride, self.padding = stride, padding
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
        return sliding_window_view(padded, self.params["weight"].shape[2:], axis=(2, 3))[:, :, :: self.stride, :: self.stride]

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
            reached = grad[:, :, u : u + self.stride * rows : self.stride, v : v + self.stride * columns : self.stride]
            reached += np.einsum("nfhw,fc->nchw", grad_output, self.weight()[:, :, u, v])
        return self.cropped(grad)

    def cropped(self, grad: Array) -> Array:
        """Return the gradient without the frame."""
        height, width = self._x.shape[2:]
        return grad[:, :, self.padding : self.padding + height, self.padding : self.padding + width].copy()
