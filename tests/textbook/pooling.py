"""Pooling: the maximum or the mean of each window of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.core.precision import Array


class _Pool2d:
    """Windows that are pushed over each channel.

    Parameters
    ----------
    kernel : (int, int)
    stride : int
    padding : int
    """

    frame = 0.0

    def __init__(self, kernel: tuple[int, int], stride: int, padding: int = 0) -> None:
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def padded(self, x: Array) -> Array:
        """Return the input with a frame that suits the operation."""
        p = self.padding
        return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=self.frame)

    def windows(self, padded: Array) -> Array:
        """Return the values of each window, ``(batch, channels, rows, columns, elements)``; what fills no window is left out."""
        view = sliding_window_view(padded, self.kernel, axis=(2, 3))[:, :, :: self.stride, :: self.stride]
        return view.reshape(*view.shape[:4], -1)

    def scattered(self, parts: Array) -> Array:
        """Return numbers of each window's pixels, shaped as the windows are, added up where they belong in the input."""
        grad = np.zeros_like(self.padded(self._x))
        rows, columns = parts.shape[2:4]
        for element, (u, v) in enumerate(np.ndindex(*self.kernel)):
            grad[self.reached(u, v, rows, columns)] += parts[..., element]
        return self.cropped(grad)

    def reached(self, u: int, v: int, rows: int, columns: int) -> tuple[slice, ...]:
        """Return which pixels of the padded input are the windows' element (u, v)."""
        step = self.stride
        return slice(None), slice(None), slice(u, u + step * rows, step), slice(v, v + step * columns, step)

    def cropped(self, grad: Array) -> Array:
        """Return the gradient without the frame."""
        height, width = self._x.shape[2:]
        return grad[:, :, self.padding : self.padding + height, self.padding : self.padding + width].copy()

    def keep(self, x: Array) -> None:
        """Keep what the backward pass needs."""
        self._x = x


class MaxPool2d(_Pool2d):
    """The largest value of each window; the frame is minus infinity."""

    frame = -np.inf

    def forward(self, x: Array) -> Array:
        """Return the maxima, ``(batch, channels, rows, columns)``, of an input ``(batch, channels, height, width)``."""
        self.keep(x)
        return np.asarray(self.windows(self.padded(x)).max(axis=-1))

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each window hands its own to the pixel that won."""
        return self.scattered(self.shares(self.windows(self.padded(self._x))) * grad_output[..., None])

    def shares(self, windows: Array) -> Array:
        """Return which part of its window's gradient each pixel gets: the first of the largest all of it."""
        return np.asarray(np.arange(windows.shape[-1]) == windows.argmax(axis=-1)[..., None], dtype=windows.dtype)


class AvgPool2d(_Pool2d):
    """The mean of each window, a frame of zeros counted in."""

    def forward(self, x: Array) -> Array:
        """Return the means, ``(batch, channels, rows, columns)``, of an input ``(batch, channels, height, width)``."""
        self.keep(x)
        return np.asarray(self.windows(self.padded(x)).sum(axis=-1) / self.count(), dtype=x.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each window shares its own equally among its pixels."""
        share = np.asarray(grad_output / self.count(), dtype=grad_output.dtype)
        return self.scattered(np.repeat(share[..., None], self.kernel[0] * self.kernel[1], axis=-1))

    def count(self) -> float | Array:
        """Return how many pixels each window has."""
        return self.kernel[0] * self.kernel[1]


class IndexedMaxPool2d(MaxPool2d):
    """Max pooling that keeps, for each window, the winner's place in the flat input, and writes the gradient there; windows do not overlap."""

    def keep(self, x: Array) -> None:
        """Keep the winners' places and the input's shape and precision."""
        super().keep(x)
        places = self.windows(np.arange(x.size, dtype=np.float64).reshape(x.shape)).astype(np.intp)
        self._places = np.take_along_axis(places, self.windows(x).argmax(axis=-1)[..., None], axis=-1)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each window's own at its winner's place."""
        grad = self.blank()
        grad.reshape(-1)[self._places.ravel()] = grad_output.ravel()
        return grad

    def blank(self) -> Array:
        """Return zeros in the input's shape, in C order."""
        return np.zeros(self._x.shape, self._x.dtype)


class RaggedAvgPool2d(AvgPool2d):
    """The mean of each window; windows that hang over the end, of an input that they do not divide, have fewer pixels."""

    def padded(self, x: Array) -> Array:
        """Return the input with zeros at the end, as many as the last windows lack."""
        return np.pad(x, ((0, 0), (0, 0), *((0, -size % self.stride) for size in x.shape[2:])))

    def cropped(self, grad: Array) -> Array:
        """Return the gradient without these."""
        height, width = self._x.shape[2:]
        return grad[:, :, :height, :width].copy()

    def count(self) -> float | Array:
        """Return how many pixels of the input each window has, ``(rows, columns)``."""
        return np.asarray(self.windows(self.padded(np.ones((1, 1, *self._x.shape[2:])))).sum(axis=-1)[0, 0])


class AdaptiveAvgPool2d:
    """The means of rows times columns regions, which are as equal as they can be and may overlap by a pixel.

    Parameters
    ----------
    places : (int, int)
        Rows and columns of the output.
    """

    def __init__(self, places: tuple[int, int]) -> None:
        self.places = places

    def ends(self, place: int, places: int, size: int) -> slice:
        """Return which pixels along an axis belong to a region: from place / places of the size, rounded down, to the next, rounded up."""
        return slice(place * size // places, -(-(place + 1) * size // places))

    def region(self, row: int, column: int) -> tuple[Any, ...]:
        """Return which pixels belong to an output pixel."""
        height, width = self._x.shape[2:]
        return slice(None), slice(None), self.ends(row, self.places[0], height), self.ends(column, self.places[1], width)

    def forward(self, x: Array) -> Array:
        """Return the means, ``(batch, channels, rows, columns)``, of an input ``(batch, channels, height, width)``."""
        self._x = x
        output = np.zeros((*x.shape[:2], *self.places), x.dtype)
        for row, column in np.ndindex(*self.places):
            output[:, :, row, column] = x[self.region(row, column)].mean(axis=(2, 3))
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each region shares its own equally among its pixels."""
        grad = np.zeros_like(self._x)
        for row, column in np.ndindex(*self.places):
            pixels = grad[self.region(row, column)]
            pixels += grad_output[:, :, row, column, None, None] / (pixels.shape[2] * pixels.shape[3])
        return grad


class GlobalAvgPool2d:
    """The mean of each channel."""

    def forward(self, x: Array) -> Array:
        """Return the means, ``(batch, channels)``, of an input ``(batch, channels, height, width)``."""
        self._x = x
        return np.asarray(x.mean(axis=(2, 3)))

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each channel shares its own equally among its pixels."""
        share = grad_output[:, :, None, None] / self.count(*self._x.shape[2:])
        return np.broadcast_to(share, self._x.shape).copy()

    def count(self, height: int, width: int) -> int:
        """Return how many pixels a channel has."""
        return height * width


class GlobalMaxPool2d:
    """The largest pixel of each channel."""

    def forward(self, x: Array) -> Array:
        """Return the maxima, ``(batch, channels)``, of an input ``(batch, channels, height, width)``."""
        self._x = x
        flat = x.reshape(*x.shape[:2], -1)
        self._winners = self.kept(flat.argmax(axis=2))
        return np.asarray(flat.max(axis=2))

    def kept(self, winners: npt.NDArray[np.intp]) -> npt.NDArray[np.integer[Any]]:
        """Return the winners' places in their channels as the layer keeps them."""
        return winners

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: each channel hands its own to the pixel that won, the first of equal ones."""
        batch, channels = self._winners.shape
        grad = np.zeros((batch, channels, self._x[0, 0].size), self._x.dtype)
        grad[np.arange(batch)[:, None], np.arange(channels), self._winners] = grad_output
        return grad.reshape(self._x.shape)
