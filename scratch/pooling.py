"""Max pooling, with a setting that says which of several equal maxima gets the gradient.

Such ties are common: the background of MNIST's digits is constant, so most 2x2 windows tie.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.arguments import Pair
from scratch.layer import Array, Layer
from scratch.windows import Window, cropped, padded, pooling_window

TieRule = Literal["first", "last", "all", "split"]
TIE_RULES: tuple[TieRule, ...] = ("first", "last", "all", "split")


class MaxPool2d(Layer):
    """Keep the largest value of each window.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the windows.
    stride : int or (int, int), optional
        Distance between windows; the default is the kernel size. Rows and columns at the end that do not fill a window are dropped.
    padding : int or (int, int)
        Height and width of what is added on each side, as values that are never the maximum; at most half of the kernel.
    ties : {"first", "last", "all", "split"}
        Which of several equal maxima gets the window's gradient: the first in row order (as in PyTorch), the last, each of them the whole gradient,
        or each an equal part. "all" is not a derivative: it multiplies the gradient by the number of winners.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ties: TieRule = "first") -> None:
        super().__init__()
        self._window: Window = pooling_window(kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = self._window.kernel, self._window.stride, self._window.padding
        if ties not in TIE_RULES:
            raise ValueError(f"ties={ties!r}: expected one of {', '.join(TIE_RULES)}")
        self.ties: TieRule = ties

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window: (batch, channels, height, width) to (batch, channels, output_height, output_width).

        Output height and width are ``(size + 2 * padding - kernel) // stride + 1``.
        """
        self.check_input(x, "batch channels height width")
        self._fit(x.shape)
        images = padded(x, self._sides, -np.inf)
        windows = self._window.over(images)  # [b, c, i, j, u, v] is pixel (stride i + u, stride j + v)
        pixels = np.array([windows[..., u, v] for u, v in np.ndindex(self.kernel_size)])
        output: Array = pixels.max(axis=0)
        self._winners, self._padded_shape = self._chosen(pixels == output), images.shape
        return output

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        """Compute padding and output shape from the input's shape."""
        batch, channels, height, width = input_shape
        self._sides, size = self._window.fitted((height, width))
        self._output_shape = (batch, channels, *size)

    def _chosen(self, maximal: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which of the pixels that equal their window's maximum get its gradient, (pixels of a window, *output shape)."""
        if self.ties in ("all", "split"):
            return maximal
        ordered = maximal if self.ties == "first" else maximal[::-1]
        ordered[-1] |= ~ordered.any(axis=0)  # a maximum that is NaN equals no pixel: the last pixel gets its gradient
        ordered &= ordered.cumsum(axis=0) == 1
        return maximal

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient.

        The derivative of a window's maximum is 1 for the pixel that is the maximum and 0 for the others. So that pixel gets the window's gradient;
        where windows overlap, a pixel's gradients add up.
        """
        self.check_grad_output(grad_output)
        share = grad_output / self._winners.sum(axis=0, dtype=grad_output.dtype) if self.ties == "split" else grad_output
        grad_images = np.zeros(self._padded_shape, grad_output.dtype)
        windows = self._window.over(grad_images)
        # Windows overlap, so one pixel (u, v) of all windows at a time.
        for (u, v), wins in zip(np.ndindex(self.kernel_size), self._winners, strict=True):
            windows[..., u, v] += np.where(wins, share, 0)
        return cropped(grad_images, self._sides)
