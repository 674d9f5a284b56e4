"""Pixels on their way into a network: from 0 to 255 to numbers around zero, by the mean and the deviation of each color."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array

MEANS = (0.485, 0.456, 0.406)
DEVIATIONS = (0.229, 0.224, 0.225)


class Scaling:
    """``(x / 255 - mean) / deviation``, images ``(batch, 3, height, width)``."""

    def forward(self, images: Array) -> Array:
        """Return the scaled images."""
        return (self.share(images) - self.mean(images)) / self.deviation(images)

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output / (255 deviation)``."""
        return grad_output / (255 * self.deviation(grad_output))

    def share(self, images: Array) -> Array:
        """Return pixels from 0 to 1."""
        return images / 255

    def mean(self, images: Array) -> Array:
        """Return the mean of each color, shaped to fit the images."""
        return np.array(MEANS, images.dtype)[:, None, None]

    def deviation(self, images: Array) -> Array:
        """Return the standard deviation of each color, shaped to fit the images."""
        return np.array(DEVIATIONS, images.dtype)[:, None, None]
