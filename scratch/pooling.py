"""Max pooling, with a declared answer to the question that decides its gradient: who wins a tie.

Ties are no rare accident: on MNIST, whose background is constant, most 2x2 windows tie.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.fast.masking import masked
from scratch.fast.memory import clear, empty
from scratch.fast.parallel import in_parallel, parts
from scratch.layer import Array, Layer
from scratch.windows import NOTHING, PART, Pair, Window, cropped, padded, padded_shape, pooling_window

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
        self._overlaps = self._window.overlaps
        self._input_shape: tuple[int, ...] | None = None
        self._losers: list[npt.NDArray[np.bool_]] = []

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
        if x.shape != self._input_shape:
            self._fit(x.shape)
        # Gathering copies: without padding the images are read as they are.
        around = np.ascontiguousarray(x) if self._sides == NOTHING else padded(x, self._sides, -np.inf)
        output = empty(self._output_shape, x.dtype)
        self._losers = in_parallel(lambda thread, part: self._compete(around[part], output[part]), self._parts)
        return output

    def _compete(self, images: Array, output: Array) -> npt.NDArray[np.bool_]:
        """Write the maximum of each window to ``output`` and return which of its pixels are smaller, ``(pixels of a window, *output.shape)``."""
        pixels = self._window.gathered(images, output.shape[2:])
        losers: npt.NDArray[np.bool_] = pixels != np.maximum.reduce(pixels, out=output)
        return losers

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        """Work out what depends on nothing but the shape of the input, which is nearly always that of the input before."""
        batch, channels, height, width = input_shape
        self._sides, size = self._window.fitted((height, width))
        self._padded_shape = padded_shape(input_shape, self._sides)
        self._parts = parts(batch, math.prod(self._padded_shape[1:]), PART)
        starts, pixels = self._window.places((self._parts[0].stop, *self._padded_shape[1:]), size)
        order = np.arange(len(pixels)) if self.ties == "first" else np.arange(len(pixels))[::-1]
        self._starts = starts + pixels[order[0]]
        steps = np.diff(pixels[order]).astype(np.min_scalar_type(-pixels.max() - 1))  # in as few bytes as the sum of all of them takes
        self._steps = list(zip(order[:-1].tolist(), steps, strict=True))[::-1]
        self._input_shape, self._output_shape = input_shape, (batch, channels, *size)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: every window's gradient goes to its winner, and adds up where windows overlap.

        Parameters
        ----------
        grad_output : array of shape (batch, channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, channels, height, width)
        """
        self.check_grad_output(grad_output, None if self._input_shape is None else self._output_shape)
        grad_padded = empty(self._padded_shape, grad_output.dtype)
        give = self._give_one if self.ties in ("first", "last") else self._give_all

        def share_out(thread: int, own: tuple[npt.NDArray[np.bool_], slice]) -> None:
            losers, part = own
            images = grad_padded[part]
            clear(images)
            give(losers, grad_output[part], images)

        in_parallel(share_out, list(zip(self._losers, self._parts, strict=True)))
        return cropped(grad_padded, self._sides)

    def _give_one(self, losers: npt.NDArray[np.bool_], grad_output: Array, grad_padded: Array) -> None:
        """Give each window's gradient to its only winner.

        The first winner lies ``l0 * (d1 + l1 * (d2 + l2 * ...))`` behind the window's first pixel: l is 1 for a loser and 0 for a winner, and d how
        far each pixel lies behind the one before it. The last winner is the first one from the other end.
        """
        losers, behind = losers.view(np.int8), 0
        for pixel, step in self._steps:
            behind = (behind + step) * losers[pixel]
        pixels, places = grad_padded.reshape(-1), self._starts[: len(grad_output)] + behind
        if self._overlaps:
            np.add.at(pixels, places, grad_output)
        else:
            pixels[places] = grad_output

    def _give_all(self, losers: npt.NDArray[np.bool_], grad_output: Array, grad_padded: Array) -> None:
        """Give each window's gradient to all of its winners, whole or in equal parts."""
        winners = ~losers
        share = grad_output / winners.sum(axis=0, dtype=grad_output.dtype) if self.ties == "split" else grad_output
        for grad_pixel, wins in zip(self._window.pixels(grad_padded, grad_output.shape[2:]), winners, strict=True):
            np.add(grad_pixel, masked(share, wins), out=grad_pixel)
