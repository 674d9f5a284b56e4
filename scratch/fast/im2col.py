"""The windows of images as columns of matrices ("im2col"), which make a convolution a matrix product.

A column holds the ``channels * kernel_height * kernel_width`` numbers that a filter sees at one position, its taps. Each number is copied once for
every window that contains it. Because memory is slower than arithmetic, a part of the batch is copied at a time, whose columns fit into the
processor's cache, and the same memory is reused for the next batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scratch.fast.parallel import Result, in_parallel, parts, thread_count
from scratch.fast.windows import PART, over
from scratch.layer import Array
from scratch.windows import Window

KEPT = 2**20
"""The columns of a batch are kept for the backward pass up to this many numbers, 4 MiB in float32; larger ones are gathered again."""


class Columns:
    """The columns of the current batch, part by part.

    Parameters
    ----------
    window : Window
    groups : int
        Number of groups of channels, each with its own columns.
    ones : bool
        Whether each column ends in a 1, by which the bias is multiplied.

    Attributes
    ----------
    parts : list of slice
        The images of each part.
    """

    def __init__(self, window: Window, groups: int, ones: bool) -> None:
        self._window, self._groups, self._ones = window, groups, ones
        self._images: Array = np.empty(0)
        self._shape: tuple[int, ...] = ()
        self._strides: tuple[int, ...] = ()
        self.parts: list[slice] = []
        self._memory: Array = np.empty(0)
        self._keeps = self._gathered = False

    def turn_to(self, images: Array, output_size: tuple[int, ...]) -> None:
        """Set the current batch: padded images, in C order, which must not change until the next batch."""
        if images.shape != self._images.shape or images.dtype != self._images.dtype:
            self._make_room(images, output_size)
        self._images, self._gathered = images, False

    def _make_room(self, images: Array, output_size: tuple[int, ...]) -> None:
        """Divide a batch into parts, and allocate memory for all parts or, if that is too much, for one part per thread."""
        taps = images.shape[1] // self._groups * math.prod(self._window.kernel)
        shape = (self._groups, taps + self._ones, math.prod(output_size))
        self.parts = parts(len(images), math.prod(shape), PART)
        self._keeps = len(self.parts) == 1 or len(images) * math.prod(shape) <= KEPT
        room = (1, len(images)) if self._keeps else (thread_count(), self.parts[0].stop)
        self._memory = np.ones((*room, *shape), images.dtype)
        windows = over(self._window, images, output_size)
        windows = windows.reshape(len(images), self._groups, images.shape[1] // self._groups, *windows.shape[2:])
        self._shape, self._strides = windows.shape[1:], windows.strides

    def each(self, work: Callable[[Array, Array], Result], array: Array) -> list[Result]:
        """Return the results of ``work`` for all parts of the batch.

        ``work`` gets the columns of a part, ``(images, groups, taps, positions)``, and the same part of ``array``, which is as long as the batch.
        """

        def on_part(thread: int, part: slice) -> Result:
            images = self._images[part]
            columns = self._memory[0, part] if self._keeps else self._memory[thread, : len(images)]
            return self._worked(work, images, columns, array[part])

        # A single part needs no slices.
        alone = len(self.parts) == 1
        results = [self._worked(work, self._images, self._memory[0], array)] if alone else in_parallel(on_part, self.parts)
        self._gathered = self._keeps
        return results

    def _worked(self, work: Callable[[Array, Array], Result], images: Array, columns: Array, own: Array) -> Result:
        if not self._gathered:
            self._gather(images, columns)
        return work(columns, own)

    def _gather(self, images: Array, columns: Array) -> None:
        """Write the columns of some images."""
        windows = np.ndarray((len(images), *self._shape), images.dtype, images, 0, self._strides)
        taps = columns[:, :, :-1] if self._ones else columns
        taps.reshape(windows.shape)[...] = windows
