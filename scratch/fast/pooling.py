"""Max pooling that compares the pixels of all windows at once, and writes each gradient to the address of its maximum."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

import scratch.pooling as plain
from scratch.fast.masking import masked
from scratch.fast.memory import clear, empty
from scratch.fast.parallel import in_parallel, parts
from scratch.fast.windows import PART, gathered, overlap, padded, padded_shape, pixels, places
from scratch.layer import Array
from scratch.windows import NOTHING, cropped


class MaxPool2d(plain.MaxPool2d):
    """The same as :class:`scratch.MaxPool2d`, which describes parameters and tie rules."""

    _fitted: tuple[int, ...] = ()
    """The shape of the last input, for which everything in :meth:`_fit` was computed."""

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window."""
        self.check_input(x, "batch channels height width")
        if x.shape != self._fitted:
            self._fit(x.shape)
        # Without padding no copy is needed here: gathering copies.
        around = np.ascontiguousarray(x) if self._sides == NOTHING else padded(x, self._sides, -np.inf)
        output = empty(self._output_shape, x.dtype)
        self._losers = in_parallel(lambda thread, part: self._compete(around[part], output[part]), self._parts)
        return output

    def _compete(self, images: Array, output: Array) -> npt.NDArray[np.bool_]:
        """Write each window's maximum to ``output``; return which pixels are smaller, ``(pixels of a window, *output.shape)``."""
        windows = gathered(self._window, images, output.shape[2:])
        losers: npt.NDArray[np.bool_] = windows != np.maximum.reduce(windows, out=output)
        return losers

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        super()._fit(input_shape)
        batch, size = input_shape[0], self._output_shape[2:]
        self._padded_shape, self._overlap = padded_shape(input_shape, self._sides), overlap(self._window)
        self._parts = parts(batch, math.prod(self._padded_shape[1:]), PART)
        starts, behind = places(self._window, (self._parts[0].stop, *self._padded_shape[1:]), size)
        order = np.arange(len(behind)) if self.ties == "first" else np.arange(len(behind))[::-1]
        self._starts = starts + behind[order[0]]
        steps = np.diff(behind[order]).astype(np.min_scalar_type(-behind.max() - 1))  # the smallest type that holds their sum
        self._steps = list(zip(order[:-1].tolist(), steps, strict=True))[::-1]
        self._fitted = input_shape

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, computed for one part of the batch after another."""
        self.check_grad_output(grad_output)
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
        """Give each window's gradient to the first, or the last, of its maxima.

        The first maximum is at ``l0 * (d1 + l1 * (d2 + l2 * ...))`` after the window's first pixel: l is 0 for a maximum and 1 for
        a smaller pixel, and d is the distance in memory of a pixel from the pixel before. The last maximum is the first in reverse order.
        """
        losers, behind = losers.view(np.int8), 0
        for pixel, step in self._steps:
            behind = (behind + step) * losers[pixel]
        row, winners = grad_padded.reshape(-1), self._starts[: len(grad_output)] + behind
        if self._overlap:
            np.add.at(row, winners, grad_output)
        else:
            row[winners] = grad_output

    def _give_all(self, losers: npt.NDArray[np.bool_], grad_output: Array, grad_padded: Array) -> None:
        """Give each window's gradient to all of its maxima, whole or in equal parts."""
        winners = ~losers
        share = grad_output / winners.sum(axis=0, dtype=grad_output.dtype) if self.ties == "split" else grad_output
        for grad_pixel, wins in zip(pixels(self._window, grad_padded, grad_output.shape[2:]), winners, strict=True):
            np.add(grad_pixel, masked(share, wins), out=grad_pixel)
