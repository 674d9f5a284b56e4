"""A frame of zeros around an image, as a layer of its own."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class ZeroPad2d:
    """Zeros on each side of an image.

    Parameters
    ----------
    left, right, top, bottom : int
        How many columns and rows, in PyTorch's order.
    """

    def __init__(self, left: int, right: int, top: int, bottom: int) -> None:
        self.left, self.right, self.top, self.bottom = left, right, top, bottom

    def forward(self, x: Array) -> Array:
        """Return the image in its frame."""
        return np.pad(x, ((0, 0), (0, 0), (self.top, self.bottom), (self.left, self.right)))

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangent without the frame."""
        return self.inner(grad_output).copy()

    def inner(self, framed: Array) -> Array:
        """Return a view of what is inside the frame."""
        height, width = framed.shape[2:]
        return framed[:, :, self.top : height - self.bottom, self.left : width - self.right]
