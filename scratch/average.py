"""Average pooling: the mean of each window, or of each channel of an image."""

from __future__ import annotations

import numpy as np

from scratch.arguments import Pair
from scratch.layer import Array, Layer
from scratch.windows import Window, cropped, padded, pooling_window


class AvgPool2d(Layer):
    r"""Take the mean of each window.

    .. math:: y_{b,c,i,j} = \frac{1}{m_{i,j}} \sum_{u,v} x_{b,c,\,s i+u-p,\,s j+v-p}

    with stride s, padding p, x zero outside the image, and m the number of pixels in the window.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the windows.
    stride : int or (int, int), optional
        Distance between windows; the default is the kernel size. Rows and columns at the end that do not fill a window are dropped.
    padding : int or (int, int)
        Height and width of the zeros added on each side; at most half of the kernel.
    count_padding : bool
        Whether m counts the zeros of the padding (as PyTorch's default, ``count_include_pad=True``) or only the image's pixels (as TensorFlow, JAX
        and Keras do).
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, count_padding: bool = True) -> None:
        super().__init__()
        self._window: Window = pooling_window(kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = self._window.kernel, self._window.stride, self._window.padding
        self.count_padding = count_padding

    def forward(self, x: Array) -> Array:
        """Return the mean of each window: (batch, channels, height, width) to (batch, channels, output_height, output_width).

        Output height and width are ``(size + 2 * padding - kernel) // stride + 1``.
        """
        self.check_input(x, "batch channels height width")
        self._sides, _ = self._window.fitted((x.shape[2], x.shape[3]))
        images = padded(x, self._sides)
        windows = self._window.over(images)  # [b, c, i, j, u, v] is pixel (stride i + u, stride j + v)
        counted = padded(np.ones(x.shape[2:], x.dtype), self._sides, float(self.count_padding))
        self._counts = self._window.over(counted).sum(axis=(2, 3))
        output: Array = sum(windows[..., u, v] for u, v in np.ndindex(self.kernel_size)) / self._counts
        self._padded_shape, self._output_shape = images.shape, output.shape
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each pixel of a window gets 1/m of the window's gradient; where windows overlap, these shares add up."""
        self.check_grad_output(grad_output)
        share = grad_output / self._counts
        grad_images = np.zeros(self._padded_shape, grad_output.dtype)
        windows = self._window.over(grad_images)
        for u, v in np.ndindex(self.kernel_size):  # windows overlap, so one pixel (u, v) of all windows at a time
            windows[..., u, v] += share
        return cropped(grad_images, self._sides)


class GlobalAveragePool2d(Layer):
    """Take the mean of each channel, for images of any size."""

    def forward(self, x: Array) -> Array:
        """Return the mean of each channel: (batch, channels, height, width) to (batch, channels)."""
        self.check_input(x, "batch channels height width")
        if 0 in x.shape[2:]:
            raise ValueError(f"GlobalAveragePool2d: the input has shape {x.shape}; an image without pixels has no mean")
        self._input_shape, self._output_shape = x.shape, x.shape[:2]
        # In C order, so that the sum is always taken in the same order.
        output: Array = np.ascontiguousarray(x).mean(axis=(2, 3))
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: y = sum(x) / (height * width), so every pixel gets ``grad_output / (height * width)`` of its channel."""
        self.check_grad_output(grad_output)
        height, width = self._input_shape[2:]
        share = grad_output / (height * width)
        return np.broadcast_to(share[:, :, None, None], self._input_shape).copy()
