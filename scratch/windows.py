"""Windows that slide over images: what convolution and pooling share.

Zeros (or other values that do no harm) are put around the image once; then one view shows all windows at the same time. Pixel (u, v) of every window
is a plain array of that view, as large as the output, and nothing is copied. Layers read images through the view, and add gradients through it.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import copied, empty
from scratch.layer import Array

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]
"""What is added to an image: ((top, bottom), (left, right))."""
NOTHING: Sides = ((0, 0), (0, 0))
PART = 2**19
"""How many numbers of a batch are worked on at a time, so that they stay in the processor's cache: 2 MiB in float32."""


@dataclass(frozen=True)
class Window:
    """Height and width of a window, of its steps, of the zeros around the image and of the steps between its own pixels.

    Attributes
    ----------
    kernel, stride, dilation : (int, int)
        Vertical and horizontal.
    padding : (int, int) or "same"
        Rows and columns added on each side; "same" adds as few as it takes for an output of ``ceil(size / stride)``.
    """

    kernel: Pair
    stride: Pair
    padding: Pair | Literal["same"] = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def reach(self) -> Pair:
        """Height and width of the part of the image that a window spans: ``dilation * (kernel - 1) + 1``."""
        (height, width), (down, right) = self.kernel, self.dilation
        return down * (height - 1) + 1, right * (width - 1) + 1

    def sides(self, size: Pair) -> Sides:
        """Return what is added around an image of this height and width.

        For "same" that is ``(ceil(size / stride) - 1) * stride + reach - size`` in all, and not less than none; of an odd number the end gets one
        more, as in TensorFlow, JAX and Keras, and in PyTorch, which knows "same" for a stride of 1.
        """
        if self.padding != "same":
            vertical, horizontal = self.padding
            return (vertical, vertical), (horizontal, horizontal)
        totals = [max((-(-s // t) - 1) * t + r - s, 0) for s, t, r in zip(size, self.stride, self.reach, strict=True)]
        top, left = (total // 2 for total in totals)
        return (top, totals[0] - top), (left, totals[1] - left)

    def output_size(self, size: Pair) -> Pair:
        """Return height and width of the output: ``(size + padding before and after - reach) // stride + 1``.

        Raises
        ------
        ValueError
            If an image is smaller than the window.
        """
        return self.fitted(size)[1]

    def fitted(self, size: Pair) -> tuple[Sides, Pair]:
        """Return what :meth:`sides` and :meth:`output_size` do."""
        # Images nearly always have the size of those before them, and small ones are done with sooner than their size is worked out.
        return _fitted(self, size)

    def over(self, images: Array, output_size: tuple[int, ...]) -> Array:
        """Return a view of padded images, ``(batch, channels, kernel height, kernel width, output height, output width)``.

        ``view[:, :, u, v]`` is pixel (u, v) of every window. What is written there is written to the images; as windows overlap, only one pixel of
        them may be written at a time.
        """
        batch, channels = images.shape[:2]
        of_image, of_channel, of_row, of_pixel = images.strides
        (down, right), (row, pixel) = self.stride, self.dilation
        strides = (of_image, of_channel, of_row * row, of_pixel * pixel, of_row * down, of_pixel * right)
        # Not as_strided, which would not notice a window that reaches beyond the images.
        return np.ndarray((batch, channels, *self.kernel, *output_size), images.dtype, images, 0, strides)

    def pixels(self, images: Array, output_size: tuple[int, ...]) -> list[Array]:
        """Return such a view for each pixel of the windows, in row order: ``(batch, channels, output height, output width)``."""
        return [pixel for row in self.over(images, output_size).transpose(2, 3, 0, 1, 4, 5) for pixel in row]

    def gathered(self, images: Array, output_size: tuple[int, ...]) -> Array:
        """Return a copy of such views, one after another: ``(pixels of a window, batch, channels, output height, output width)``."""
        view = self.over(images, output_size).transpose(2, 3, 0, 1, 4, 5)
        return view.reshape(len(view) * view.shape[1], *view.shape[2:])

    @property
    def overlaps(self) -> bool:
        """Whether a pixel can belong to several windows."""
        return any(reach > stride for reach, stride in zip(self.reach, self.stride, strict=True))

    def places(self, shape: tuple[int, ...], output_size: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return where pixels lie in padded images of this shape that are laid out in one row.

        Returns
        -------
        array of shape (batch, channels, output height, output width)
            The place of each window's first pixel.
        array of shape (pixels of a window,)
            How far each pixel of a window lies behind its first one.
        """
        batch, channels, height, width = shape
        rows, columns = (np.arange(count) * stride for count, stride in zip(output_size, self.stride, strict=True))
        down, right = (np.arange(count) * dilation for count, dilation in zip(self.kernel, self.dilation, strict=True))
        images = np.arange(batch * channels).reshape(batch, channels, 1, 1) * (height * width)
        return images + (rows[:, None] * width + columns), (down[:, None] * width + right).ravel()

    def add(self, images: Array, values: Array) -> None:
        """Add a number for each pixel of each window to padded images; ``values`` is shaped like the view of :meth:`over`.

        Column by column of the windows: what belongs to one column is added up in a strip as wide as the output, whose rows then follow one another
        in memory as those of ``values`` do. Long runs of numbers are added faster than the short rows of an image.
        """
        batch, channels, kernel_height, kernel_width, height, width = values.shape
        for v in range(kernel_width):
            strip = np.zeros((batch, channels, images.shape[2], width), images.dtype)
            for u in range(kernel_height):
                rows = strip[:, :, steps(u, height, self.stride[0], self.dilation[0])]
                np.add(rows, values[:, :, u, v], out=rows)
            columns = images[:, :, :, steps(v, width, self.stride[1], self.dilation[1])]
            np.add(columns, strip, out=columns)


@lru_cache(maxsize=256)
def _fitted(window: Window, size: Pair) -> tuple[Sides, Pair]:
    sides = window.sides(size)
    height, width = ((s + sum(p) - r) // t + 1 for s, p, r, t in zip(size, sides, window.reach, window.stride, strict=True))
    if height < 1 or width < 1 or 0 in size:
        spread = "" if window.dilation == (1, 1) else f", which dilation {window.dilation} spreads over {window.reach}"
        raise ValueError(
            f"an image of height and width {size} with padding {window.padding} is smaller than the window {window.kernel}{spread}; "
            "take larger images, more padding or a smaller kernel"
        )
    return sides, (height, width)


def steps(pixel: int, count: int, stride: int, dilation: int) -> slice:
    """Return where this pixel of each of ``count`` windows lies along one axis of the image."""
    return slice(dilation * pixel, dilation * pixel + stride * (count - 1) + 1, stride)


def pooling_window(kernel_size: Any, stride: Any, padding: Any) -> Window:
    """Return the window of a pooling layer; the stride is the kernel size where it is None, the padding at most half of the kernel."""
    kernel, around = pair(kernel_size, "kernel_size", least=1), pair(padding, "padding", least=0)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise ValueError(f"padding={padding!r}: expected at most half of kernel_size={kernel_size!r}, or a window would hold nothing but padding")
    return Window(kernel, kernel if stride is None else pair(stride, "stride", least=1), around)


def padded(x: Array, sides: Sides, value: float = 0.0) -> Array:
    """Return a copy of images with this value around them."""
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


def cropped(x: Array, sides: Sides) -> Array:
    """Return images without what :func:`padded` added."""
    if sides == NOTHING:
        return x
    (top, bottom), (left, right) = sides
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def whole(value: Any, name: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise a ValueError that calls it by this name."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
    return int(value)


def pair(value: Any, name: str, least: int) -> Pair:
    """Return ``(height, width)`` from one whole number for both, or from a pair; each must be at least ``least``."""
    values = value if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or any(not isinstance(v, numbers.Integral) or isinstance(v, bool) or v < least for v in values):
        raise ValueError(f"{name}={value!r}: expected whole numbers of at least {least}: one, or a pair (height, width)")
    return int(values[0]), int(values[1])
