"""Windows that slide over images, for convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scratch.arguments import Pair, pair
from scratch.layer import Array

Sides = tuple[Pair, Pair]
"""What is added to an image: ((top, bottom), (left, right))."""
NOTHING: Sides = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Window:
    """Kernel size, stride, padding and dilation of windows, each vertical and horizontal.

    ``padding`` is the number of rows and columns added on each side; "same" adds as few as an output of ``ceil(size / stride)`` needs.
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
        """Return how many rows and columns are added around an image of this height and width.

        "same" adds ``max((ceil(size / stride) - 1) * stride + reach - size, 0)`` in all. If that is odd, the end gets one more, as in TensorFlow,
        JAX, Keras and PyTorch, which has "same" for a stride of 1.
        """
        if self.padding != "same":
            vertical, horizontal = self.padding
            return (vertical, vertical), (horizontal, horizontal)
        totals = [max((-(-s // t) - 1) * t + r - s, 0) for s, t, r in zip(size, self.stride, self.reach, strict=True)]
        top, left = (total // 2 for total in totals)
        return (top, totals[0] - top), (left, totals[1] - left)

    def fitted(self, size: Pair) -> tuple[Sides, Pair]:
        """Return the :meth:`sides` and the output's size, ``(size + padding before and after - reach) // stride + 1``.

        A ValueError says that an image is smaller than the window.
        """
        sides = self.sides(size)
        height, width = ((s + sum(p) - r) // t + 1 for s, p, r, t in zip(size, sides, self.reach, self.stride, strict=True))
        if height < 1 or width < 1 or 0 in size:
            spread = "" if self.dilation == (1, 1) else f", which dilation {self.dilation} spreads over {self.reach}"
            raise ValueError(
                f"an image of height and width {size} with padding {self.padding} is smaller than the window {self.kernel}{spread}; "
                "take larger images, more padding or a smaller kernel"
            )
        return sides, (height, width)

    def over(self, images: Array) -> Array:
        """Return a view of the windows, of shape (..., output height, output width, kernel height, kernel width).

        ``view[..., i, j, u, v]`` is ``images[..., stride * i + dilation * u, stride * j + dilation * v]``, for images with their padding. Writing to
        the view writes to the images; because windows overlap, write only one (u, v) at a time.
        """
        (down, right), (row, column) = self.stride, self.dilation
        return sliding_window_view(images, self.reach, axis=(-2, -1), writeable=True)[..., ::down, ::right, ::row, ::column]


def padded(x: Array, sides: Sides, value: float = 0.0) -> Array:
    """Return a copy of images, (..., height, width), with this value around them."""
    if sides == NOTHING:
        return x.copy()
    (top, bottom), (left, right) = sides
    height, width = x.shape[-2:]
    result = np.full((*x.shape[:-2], top + height + bottom, left + width + right), value, x.dtype)
    result[..., top : top + height, left : left + width] = x
    return result


def cropped(x: Array, sides: Sides) -> Array:
    """Return images without the padding that :func:`padded` added."""
    (top, bottom), (left, right) = sides
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def pooling_window(kernel_size: Any, stride: Any, padding: Any) -> Window:
    """Return the window of a pooling layer. If the stride is None, it is the kernel size; the padding is at most half of the kernel."""
    kernel, around = pair(kernel_size, "kernel_size", least=1), pair(padding, "padding", least=0)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise ValueError(f"padding={padding!r}: expected at most half of kernel_size={kernel_size!r}, or a window would hold nothing but padding")
    return Window(kernel, kernel if stride is None else pair(stride, "stride", least=1), around)
