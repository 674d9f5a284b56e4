"""Max pooling, with a declared answer to the question that decides its gradient: who wins a tie.

Ties are no rare accident: on MNIST, whose background is constant, most 2x2 windows tie.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.layer import Array, Layer
from scratch.windows import Pair, Sides, Window, cropped, padded, pooling_window

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
        self._winners: list[npt.NDArray[np.bool_]] = []
        self._sides: Sides = ((0, 0), (0, 0))
        self._padded_shape: tuple[int, ...] = ()
        self._output_shape: tuple[int, ...] | None = None

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
        size = (x.shape[2], x.shape[3])
        self._sides = self._window.sides(size)
        around = padded(x, self._sides, -np.inf)
        pixels = self._window.pixels(around, self._window.output_size(size))
        output = pixels[0].copy()
        for pixel in pixels[1:]:
            np.maximum(output, pixel, out=output)
        self._winners = self._decide([pixel == output for pixel in pixels])
        self._padded_shape, self._output_shape = around.shape, output.shape
        return output

    def _decide(self, largest: list[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.bool_]]:
        """Return which pixel of each window gets a gradient, of those that equal its maximum: an array for each pixel of a window."""
        if self.ties in ("all", "split"):
            return largest
        undecided = np.ones_like(largest[0])
        for wins in largest if self.ties == "first" else reversed(largest):
            np.logical_and(wins, undecided, out=wins)
            np.logical_xor(wins, undecided, out=undecided)
        return largest

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: every window's gradient goes to its winner, and adds up where windows overlap.

        Parameters
        ----------
        grad_output : array of shape (batch, channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, channels, height, width)
        """
        self.check_grad_output(grad_output, self._output_shape)
        share = grad_output / sum(wins.astype(grad_output.dtype) for wins in self._winners) if self.ties == "split" else grad_output
        grad_padded = np.zeros(self._padded_shape, grad_output.dtype)
        for grad_pixel, wins in zip(self._window.pixels(grad_padded, grad_output.shape[2:]), self._winners, strict=True):
            # where, not a product: an infinite gradient must not turn the losers' zeros into NaN.
            np.add(grad_pixel, np.where(wins, share, 0), out=grad_pixel)
        return cropped(grad_padded, self._sides)
