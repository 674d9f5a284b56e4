"""Max pooling, with a declared answer to the question that decides its gradient: who wins a tie.

Ties are no rare accident: on MNIST, whose background is constant, most 2x2 windows tie.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scratch.keeping import kept
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
        self._losers: npt.NDArray[np.bool_] | None = None
        self._places: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None
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
        self._sides, size = self._window.fitted((x.shape[2], x.shape[3]))
        # Gathering copies: without padding the images are read as they are.
        around = padded(x, self._sides, -np.inf) if any(map(any, self._sides)) else np.ascontiguousarray(x)
        pixels = self._window.gathered(around, size)
        output: Array = np.maximum.reduce(pixels)
        self._losers = pixels != output
        if around.shape != self._padded_shape:
            self._places = None
        self._padded_shape, self._output_shape = around.shape, output.shape
        return output

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
        assert self._losers is not None
        grad_padded = np.zeros(self._padded_shape, grad_output.dtype)
        if self.ties in ("first", "last"):
            self._give(grad_output, grad_padded.reshape(-1))
        else:
            winners = ~self._losers
            share = grad_output / winners.sum(axis=0, dtype=grad_output.dtype) if self.ties == "split" else grad_output
            for grad_pixel, wins in zip(self._window.pixels(grad_padded, grad_output.shape[2:]), winners, strict=True):
                np.add(grad_pixel, kept(share, wins), out=grad_pixel)
        return cropped(grad_padded, self._sides)

    def _give(self, grad_output: Array, pixels: Array) -> None:
        """Give each window's gradient to its only winner, which ``pixels`` has in one row with all others."""
        if self._places is None:
            self._places = self._window.places(self._padded_shape, grad_output.shape[2:])
        starts, steps = self._places
        places = steps.take(self._winner())
        places += starts
        if self._window.overlaps:
            np.add.at(pixels, places, grad_output)
        else:
            pixels[places] = grad_output

    def _winner(self) -> npt.NDArray[np.integer[Any]]:
        """Return the number of the pixel that wins in each window.

        The first winner's is the number of losers before it, ``l0 * (1 + l1 * (1 + l2 * ...))`` with l 1 for a loser and 0 for a winner; the last
        one's is found from the other end.
        """
        assert self._losers is not None
        count = len(self._losers)
        losers = (self._losers if self.ties == "first" else self._losers[::-1]).view(np.uint8)
        before = np.zeros(losers.shape[1:], np.min_scalar_type(count))
        for loses in losers[-2::-1]:
            before += 1
            before *= loses
        return before if self.ties == "first" else count - 1 - before
