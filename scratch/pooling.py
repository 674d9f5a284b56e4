"""Max pooling, with a declared answer to the question that decides its gradient: who wins a tie.

Ties are no rare accident: on MNIST, whose background is constant, most 2x2 windows tie.
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
        Steps between windows; the kernel size if left out. Rows and columns at the end that fill no window are dropped.
    padding : int or (int, int)
        Added on each side as values that never win; at most half of the kernel.
    ties : {"first", "last", "all", "split"}
        Which of several equal maxima gets the window's gradient: the first in row order (as PyTorch does), the last, each of them in full, or each
        an equal part. "all" is not a derivative: it multiplies the gradient by the number of winners.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ties: TieRule = "first") -> None:
        super().__init__()
        self._window: Window = pooling_window(kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = self._window.kernel, self._window.stride, self._window.padding
        if ties not in TIE_RULES:
            raise ValueError(f"ties={ties!r}: expected one of {', '.join(TIE_RULES)}")
        self.ties: TieRule = ties
        self._input_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window.

        Parameters
        ----------
        x : array of shape (batch, channels, height, width)

        Returns
        -------
        array of shape (batch, channels, output_height, output_width)
            With ``output = (size + 2 * padding - kernel) // stride + 1`` for height and width.
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
        """Work out what depends on the shape of the input alone."""
        batch, channels, height, width = input_shape
        self._sides, size = self._window.fitted((height, width))
        self._input_shape, self._output_shape = input_shape, (batch, channels, *size)

    def _chosen(self, maximal: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which of the pixels that equal their window's maximum get its gradient; the first axis is that of the pixels of a window."""
        if self.ties in ("all", "split"):
            return maximal
        ordered = maximal if self.ties == "first" else maximal[::-1]
        ordered[-1] |= ~ordered.any(axis=0)  # a maximum that is NaN equals no pixel: its gradient goes to the end of the window
        ordered &= ordered.cumsum(axis=0) == 1
        return maximal

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: the maximum is its winner, so that gets the window's gradient, and adds up where windows overlap.

        Parameters
        ----------
        grad_output : array of shape (batch, channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, channels, height, width)
        """
        self.check_grad_output(grad_output, None if self._input_shape is None else self._output_shape)
        share = grad_output / self._winners.sum(axis=0, dtype=grad_output.dtype) if self.ties == "split" else grad_output
        grad_images = np.zeros(self._padded_shape, grad_output.dtype)
        windows = self._window.over(grad_images)
        for (u, v), wins in zip(np.ndindex(self.kernel_size), self._winners, strict=True):  # windows overlap: one pixel of each at a time
            windows[..., u, v] += np.where(wins, share, 0)
        return cropped(grad_images, self._sides)
