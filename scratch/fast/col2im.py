"""The backward pass of a convolution with respect to its images.

A pixel's gradient is a sum over all windows that contain it, and over the filters. A matrix product does the sum over the rows of the windows and the
filters: its factor is the gradient of the output, copied once for each row of the windows and shifted to the place of that row, so that whole images,
long runs of memory, are copied. The sum over the columns of the windows remains: for each of them, a strip as wide as the output is added.
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
    """Every ``stride``-th row of the image, and the rows of the windows that lie on these rows. With a stride of 1 they are all rows.

    Attributes
    ----------
    first : int
        The first of these rows of the image.
    shifts : list of int
        For each row of a window at the top of the image that lies on them: its index among them.
    filters : array of shape (groups, kernel width * channels, filters * len(shifts))
        The weights of these rows of the windows.
    """

    first: int
    shifts: list[int]
    filters: Array


def phases(window: Window, weight: Array) -> list[Phase]:
    """Return the phases of windows, for a weight of shape (groups, filters, channels, kernel height, kernel width)."""
    found = []
    for first, shifts, seen in _rows(window):
        taps = weight[:, :, :, seen].transpose(0, 4, 2, 1, 3)  # groups, kernel width, channels, filters, rows of the windows
        found.append(Phase(first, shifts, taps.reshape(len(taps), taps.shape[1] * taps.shape[2], -1)))
    return found


@cache
def _rows(window: Window) -> list[tuple[int, list[int], slice]]:
    """Return, for each phase, its first row, its shifts, and the rows of the windows that lie on it."""
    height, stride, dilation = window.kernel[0], window.stride[0], window.dilation[0]
    apart = stride // math.gcd(stride, dilation)  # rows of a window between two that lie on the same phase
    found = []
    for start in range(min(apart, height)):
        seen = slice(start, height, apart)
        down = range(0, dilation * height, dilation)[seen]
        found.append((down[0] % stride, [row // stride for row in down], seen))
    return found


def add_back(images: Array, grad_output: Array, window: Window, phases: list[Phase]) -> None:
    """Add the gradient of padded images to ``images``, (batch, groups, channels, height, width).

    ``grad_output`` has the shape (batch, groups, filters, output height, output width).
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
    """Return the gradient of the output once for each shift, moved down by that many rows in an array of ``tall`` rows, with zeros around it."""
    height = grad_output.shape[3]
    laid: Array = empty((*grad_output.shape[:3], len(shifts), tall, grad_output.shape[4]), grad_output.dtype)
    for number, shift in enumerate(shifts):
        laid[:, :, :, number, :shift] = 0
        laid[:, :, :, number, shift : shift + height] = grad_output
        laid[:, :, :, number, shift + height :] = 0
    return laid
