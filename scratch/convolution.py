"""Two-dimensional convolution (cross-correlation, as everywhere in deep learning) as one matrix product.

Each window of the padded image becomes a column of ``channels * kernel_height * kernel_width`` numbers ("im2col"); the filters, flattened to rows,
multiply all columns at once. The backward pass is the same product with the roles exchanged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from scratch.layer import Array, Layer, Pair, output_size, pair


class Conv2d(Layer):
    r"""Convolve a batch of images with ``out_channels`` filters.

    .. math:: y_{b,o,i,j} = \beta_o + \sum_{c,u,v} w_{o,c,u,v} \; x_{b,c,\,si+u-p,\,sj+v-p}

    with stride s, padding p, and x zero outside the image.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and number of filters.
    kernel_size, stride, padding : int or (int, int)
        Height and width of the filters, of the steps between windows, and of the zeros added on each side.
    bias : bool
        Whether a number is added to each output channel.
    rng : numpy.random.Generator
        Source of the initial weights, drawn from N(0, 1) / (in_channels * kernel_height * kernel_width); the bias starts at zero.
    dtype : dtype
        Floating-point type of the parameters, and so of everything that the layer computes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", least=1)
        self.stride = pair(stride, "stride", least=1)
        self.padding = pair(padding, "padding", least=0)
        shape = (out_channels, in_channels, *self.kernel_size)
        fan_in = in_channels * self.kernel_size[0] * self.kernel_size[1]
        self.params["weight"] = (rng.standard_normal(shape) / fan_in).astype(dtype)
        if bias:
            self.params["bias"] = np.zeros(out_channels, dtype)
        self._columns: Array | None = None
        self._padded_shape: tuple[int, ...] = ()
        self._output_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return the convolution of ``x``.

        Parameters
        ----------
        x : array of shape (batch, in_channels, height, width)

        Returns
        -------
        array of shape (batch, out_channels, output_height, output_width)
            With ``output = (size + 2 * padding - kernel) // stride + 1`` for height and width.
        """
        self.check_input(x, "batch channels height width")
        weight = self.params["weight"]
        if x.shape[1] != weight.shape[1]:
            raise ValueError(
                f"Conv2d: the input has {x.shape[1]} channels (shape {x.shape}), the filters have {weight.shape[1]} (shape {weight.shape})"
            )
        (vertical, horizontal), (step_down, step_right) = self.padding, self.stride
        height, width = output_size((x.shape[2], x.shape[3]), self.kernel_size, self.stride, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal))) if any(self.padding) else x
        windows = sliding_window_view(padded, self.kernel_size, axis=(2, 3))[:, :, ::step_down, ::step_right]
        # (batch, channels, height, width, kernel height, kernel width) to (batch, taps, positions); reshape copies, so x may change afterwards.
        self._columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), -1, height * width)
        self._padded_shape = padded.shape
        self._output_shape = (len(x), len(weight), height, width)
        output = weight.reshape(len(weight), -1) @ self._columns
        if "bias" in self.params:
            output += self.params["bias"][:, None]
        return output.reshape(self._output_shape)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of weight and bias in ``grads``.

        With g for grad_output: dL/dw[o,c,u,v] = sum over b,i,j of g[b,o,i,j] x[b,c,si+u-p,sj+v-p]; dL/dbias[o] = sum over b,i,j of g[b,o,i,j];
        and dL/dx gathers, for every pixel, g times the weight of each window that covered it.

        Parameters
        ----------
        grad_output : array of shape (batch, out_channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, in_channels, height, width)
        """
        self.check_grad_output(grad_output, self._output_shape)
        assert self._columns is not None
        weight = self.params["weight"]
        batch, channels_out, height, width = grad_output.shape
        rows = grad_output.reshape(batch, channels_out, height * width)
        self.grads["weight"] = (rows @ self._columns.transpose(0, 2, 1)).sum(axis=0).reshape(weight.shape)
        if "bias" in self.params:
            self.grads["bias"] = grad_output.sum(axis=(0, 2, 3))

        kernel_height, kernel_width = self.kernel_size
        step_down, step_right = self.stride
        taps = (weight.reshape(channels_out, -1).T @ rows).reshape(batch, -1, kernel_height, kernel_width, height, width)
        grad_padded = np.zeros(self._padded_shape, grad_output.dtype)
        for u in range(kernel_height):
            for v in range(kernel_width):
                grad_padded[:, :, u : u + step_down * height : step_down, v : v + step_right * width : step_right] += taps[:, :, u, v]
        (top, left), (padded_height, padded_width) = self.padding, self._padded_shape[2:]
        return grad_padded[:, :, top : padded_height - top, left : padded_width - left]
