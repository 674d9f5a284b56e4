"""Windows as views and as addresses in memory, for kernels that read and write images without copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import copied, empty
from scratch.layer import Array
from scratch.windows import NOTHING, Sides, Window

PART = 2**19
"""The most numbers in a part of a batch, so that they stay in the processor's cache: 2 MiB in float32."""


def over(window: Window, images: Array, output_size: tuple[int, ...]) -> Array:
    """Return a view of padded images, ``(batch, channels, kernel height, kernel width, output height, output width)``.

    ``view[:, :, u, v]`` is pixel (u, v) of every window. Writing to the view writes to the images; as windows overlap, write only one (u, v) at a
    time.
    """
    batch, channels = images.shape[:2]
    of_image, of_channel, of_row, of_pixel = images.strides
    (down, right), (row, pixel) = window.stride, window.dilation
    strides = (of_image, of_channel, of_row * row, of_pixel * pixel, of_row * down, of_pixel * right)
    # Unlike as_strided, this raises an error if a window reaches beyond the images.
    return np.ndarray((batch, channels, *window.kernel, *output_size), images.dtype, images, 0, strides)


def pixels(window: Window, images: Array, output_size: tuple[int, ...]) -> list[Array]:
    """Return the view of :func:`over` for each pixel of the windows, in row order: ``(batch, channels, output height, output width)``."""
    return [pixel for row in over(window, images, output_size).transpose(2, 3, 0, 1, 4, 5) for pixel in row]


def gathered(window: Window, images: Array, output_size: tuple[int, ...]) -> Array:
    """Return a copy of the :func:`pixels` in one array: ``(pixels of a window, batch, channels, output height, output width)``."""
    view = over(window, images, output_size).transpose(2, 3, 0, 1, 4, 5)
    return view.reshape(len(view) * view.shape[1], *view.shape[2:])


def overlap(window: Window) -> bool:
    """Return whether a pixel can belong to several windows."""
    return any(reach > stride for reach, stride in zip(window.reach, window.stride, strict=True))


def places(window: Window, shape: tuple[int, ...], output_size: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the indices of pixels in flattened padded images of this shape.

    Returns
    -------
    array of shape (batch, channels, output height, output width)
        The index of each window's first pixel.
    array of shape (pixels of a window,)
        The distance of each pixel of a window from its first pixel.
    """
    batch, channels, height, width = shape
    rows, columns = (np.arange(count) * stride for count, stride in zip(output_size, window.stride, strict=True))
    down, right = (np.arange(count) * dilation for count, dilation in zip(window.kernel, window.dilation, strict=True))
    images = np.arange(batch * channels).reshape(batch, channels, 1, 1) * (height * width)
    return images + (rows[:, None] * width + columns), (down[:, None] * width + right).ravel()


def steps(pixel: int, count: int, stride: int, dilation: int) -> slice:
    """Return the places of this pixel of each of ``count`` windows along one axis of the image."""
    return slice(dilation * pixel, dilation * pixel + stride * (count - 1) + 1, stride)


def padded(x: Array, sides: Sides, value: float = 0.0) -> Array:
    """Do what :func:`scratch.windows.padded` does, in memory that is reused."""
    if sides == NOTHING:
        return copied(x)
    (top, _), (left, _) = sides
    result = empty(padded_shape(x.shape, sides), x.dtype)
    result[...] = value
    result[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return result


def padded_shape(shape: tuple[int, ...], sides: Sides) -> tuple[int, ...]:
    """Return the shape of images of this shape after :func:`padded`."""
    batch, channels, height, width = shape
    return batch, channels, height + sum(sides[0]), width + sum(sides[1])
