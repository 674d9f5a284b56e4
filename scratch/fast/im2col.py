"""The windows of images as columns of matrices ("im2col"), which make a convolution a matrix product.

A column holds the ``channels * kernel_height * kernel_width`` numbers that a filter sees at one position, its taps. To gather the columns is to copy
each number as many times as there are windows that see it: memory is slower than arithmetic, so it is done for a part of the batch at a time, whose
columns fit into the processor's cache, and the same memory is used from one batch to the next.
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
"""How many numbers the columns of a batch have at most if they are kept for the way back, 4 MiB in float32: of more each part is gathered anew."""


class Columns:
    """The columns of the batch at hand, part by part.

    Parameters
    ----------
    window : Window
    groups : int
        Into how many groups the channels are divided, each with columns of its own.
    ones : bool
        Whether each column ends in a 1, which a bias is multiplied by.

    Attributes
    ----------
    parts : list of slice
        Which images of the batch are in each part.
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
        """Take padded images, in C order, as the batch at hand; they must not change until the next batch."""
        if images.shape != self._images.shape or images.dtype != self._images.dtype:
            self._make_room(images, output_size)
        self._images, self._gathered = images, False

    def _make_room(self, images: Array, output_size: tuple[int, ...]) -> None:
        """Divide a batch into parts, and allocate memory for all of them, or for one in each thread if that would be too much."""
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
        """Do some work on each part of the batch and return what came of it.

        Parameters
        ----------
        work : callable
            Gets the columns of a part, ``(images, groups, taps, positions)``, and the same part of an array.
        array : array
            As long as the batch.
        """

        def on_part(thread: int, part: slice) -> Result:
            images = self._images[part]
            columns = self._memory[0, part] if self._keeps else self._memory[thread, : len(images)]
            return self._worked(work, images, columns, array[part])

        # A single part passes as it is, without slices.
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
