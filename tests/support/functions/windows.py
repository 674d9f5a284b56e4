"""Windows in any number of axes: where they lie, their numbers, and the way back from windows to the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.functions.row import Array

Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """Where windows lie; a whole number stands for the same along each axis.

    Attributes
    ----------
    more : int or tuple of int
        By how much the output of a transposed convolution is longer.
    """

    stride: Sizes = 1
    padding: Sizes = 0
    dilation: Sizes = 1
    groups: int = 1
    kernel: Sizes = 1
    more: Sizes = 0


def along(sizes: Sizes, axes: int) -> tuple[int, ...]:
    return (sizes,) * axes if isinstance(sizes, int) else sizes


def reaches(kernel: Sequence[int], how: Geometry) -> tuple[int, ...]:
    """Return from where to where windows reach."""
    return tuple(step * (size - 1) + 1 for size, step in zip(kernel, along(how.dilation, len(kernel)), strict=True))


def windows_of(x: Array, kernel: Sequence[int], how: Geometry, fill: float = 0.0) -> Array:
    """Return windows ``(batch, channels, *positions, *kernel)`` of images ``(batch, channels, *size)``."""
    axes = len(kernel)
    edges = [(0, 0), (0, 0), *((edge, edge) for edge in along(how.padding, axes))]
    padded = np.pad(x, edges, constant_values=fill)
    every: Array = np.lib.stride_tricks.sliding_window_view(padded, reaches(kernel, how), axis=tuple(range(2, 2 + axes)))
    steps = [*along(how.stride, axes), *along(how.dilation, axes)]
    return every[(..., *(slice(None, None, step) for step in steps))]


def placed(windows: Array, size: Sequence[int], how: Geometry) -> Array:
    """Return images of a size to which each window ``(batch, channels, *positions, *kernel)`` is added where it lies."""
    axes = len(size)
    padding, stride, dilation = (along(sizes, axes) for sizes in (how.padding, how.stride, how.dilation))
    positions, kernel = windows.shape[2 : 2 + axes], windows.shape[2 + axes :]
    whole: Array = np.zeros((*windows.shape[:2], *(s + 2 * p for s, p in zip(size, padding, strict=True))), windows.dtype)
    for place in np.ndindex(*kernel):
        starts = [p * d for p, d in zip(place, dilation, strict=True)]
        region: Any = tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, positions, stride, strict=True))
        whole[(..., *region)] += windows[(..., *place)]
    return np.array(whole[(..., *(slice(p, p + s) for p, s in zip(padding, size, strict=True)))])
