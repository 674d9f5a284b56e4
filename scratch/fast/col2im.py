"""The way back through a convolution, from the gradient of its output to that of its images.

A pixel's gradient is the sum over all windows that see it, and over the filters. What the rows of the windows contribute is summed up by a matrix
product: the gradient of the output is laid down once for each row of the windows, shifted to where that row lies, which moves whole images, long runs
of memory. What is left to add, column by column of the windows, is strips as wide as the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from scratch.fast.memory import empty
from scratch.fast.parallel import multiplied
from scratch.fast.windows import steps
from scratch.layer import Array
from scratch.windows import Window


@dataclass(frozen=True)
class Phase:
    """The rows of the image that a stride leads to from one of the first ones: with a stride of 1 they are all rows.

    Attributes
    ----------
    first : int
        The first of these rows; each other one is ``stride`` further down.
    shifts : list of int
        For each row of the windows that lies on these rows: how many of them it is below the first one, in the uppermost windows.
    filters : array of shape (groups, kernel width * channels, filters * len(shifts))
        The weights of these rows.
    """

    first: int
    shifts: list[int]
    filters: Array


def phases(window: Window, weight: Array) -> list[Phase]:
    """Return the phases that windows see, with filters of shape (groups, filters, channels, kernel height, kernel width)."""
    found = []
    for first, shifts, seen in _rows(window):
        taps = weight[:, :, :, seen].transpose(0, 4, 2, 1, 3)  # groups, kernel width, channels, filters, rows of the windows
        found.append(Phase(first, shifts, taps.reshape(len(taps), taps.shape[1] * taps.shape[2], -1)))
    return found


@cache
def _rows(window: Window) -> list[tuple[int, list[int], slice]]:
    """Return, for each phase, its first row, its shifts, and which rows of the windows lie on it."""
    height, stride, dilation = window.kernel[0], window.stride[0], window.dilation[0]
    apart = stride // math.gcd(stride, dilation)  # so many rows of a window further down, the same phase comes again
    found = []
    for start in range(min(apart, height)):
        seen = slice(start, height, apart)
        down = range(0, dilation * height, dilation)[seen]
        found.append((down[0] % stride, [row // stride for row in down], seen))
    return found


def add_back(images: Array, grad_output: Array, window: Window, phases: list[Phase]) -> None:
    """Add to the gradient of padded images what a gradient of the output contributes.

    Parameters
    ----------
    images : array of shape (batch, groups, channels, height, width)
    grad_output : array of shape (batch, groups, filters, output height, output width)
    window : Window
    phases : list of Phase
    """
    batch, groups, channels = images.shape[:3]
    height, width = grad_output.shape[3:]
    for phase in phases:
        tall = height + phase.shifts[-1]
        laid = _laid(grad_output, phase.shifts, tall)
        strips = multiplied(phase.filters, laid.reshape(batch, groups, phase.filters.shape[2], tall * width))
        strips = strips.reshape(batch, groups, window.kernel[1], channels, tall, width)
        rows = steps(0, tall, window.stride[0], 1)
        for v in range(window.kernel[1]):
            pixels = images[..., phase.first :, :][..., rows, steps(v, width, window.stride[1], window.dilation[1])]
            np.add(pixels, strips[:, :, v], out=pixels)


def _laid(grad_output: Array, shifts: list[int], tall: int) -> Array:
    """Return the gradient of the output once for each shift, so many rows further down among ``tall`` ones, zeros above and below it."""
    height = grad_output.shape[3]
    laid: Array = empty((*grad_output.shape[:3], len(shifts), tall, grad_output.shape[4]), grad_output.dtype)
    for number, shift in enumerate(shifts):
        own = laid[:, :, :, number]
        own[:, :, :, shift : shift + height] = grad_output
        if shift:
            own[:, :, :, :shift] = 0
        if shift + height < tall:
            own[:, :, :, shift + height :] = 0
    return laid
