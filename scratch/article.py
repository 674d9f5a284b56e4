"""The network as the tutorial computes it: one image at a time, channels last, explicit loops, and updates inside the backward pass.

The harness checks it as it checks the layers over batches, and measures their speed against it. It keeps the tutorial's choices, also the doubtful
ones: the pool copies each gradient to every pixel that equals its window's maximum, the softmax does not subtract the maximum before it takes
exponentials, no layer stores a gradient, and the convolution, always the first layer, returns no input gradient.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scratch.layer import Array

POOLED_SHAPE = (13, 13, 8)
"""Height, width and filters after the pool, for images of 28x28."""


def scale(image: npt.NDArray[np.uint8], dtype: npt.DTypeLike = np.float64) -> Array:
    """Return an image of bytes as floats between -0.5 and 0.5."""
    return image.astype(dtype) / 255 - 0.5


class Conv3x3:
    """Convolution with 3x3 filters, drawn from N(0, 1) / 9, without bias and padding."""

    def __init__(self, num_filters: int, rng: np.random.Generator | None = None, dtype: npt.DTypeLike = np.float64) -> None:
        rng = rng or np.random.default_rng()
        self.filters: Array = (rng.standard_normal((num_filters, 3, 3)) / 9).astype(dtype)

    def forward(self, input: Array) -> Array:
        """Return the feature maps, ``(height - 2, width - 2, num_filters)``, of an image of shape ``(height, width)``."""
        self.last_input = input
        height, width = input.shape[0] - 2, input.shape[1] - 2
        output = np.zeros((height, width, len(self.filters)), input.dtype)
        for row in range(height):
            for column in range(width):
                region = input[row : row + 3, column : column + 3]
                output[row, column] = np.sum(region * self.filters, axis=(1, 2))
        return output

    def backprop(self, d_L_d_out: Array, learn_rate: float) -> None:
        """Update the filters, given the gradient for the feature maps."""
        d_L_d_filters = np.zeros_like(self.filters)
        height, width, num_filters = d_L_d_out.shape
        for row in range(height):
            for column in range(width):
                region = self.last_input[row : row + 3, column : column + 3]
                for k in range(num_filters):
                    d_L_d_filters[k] += d_L_d_out[row, column, k] * region
        self.filters -= learn_rate * d_L_d_filters


class MaxPool2:
    """Max pooling in windows of 2x2; an odd last row or column is dropped."""

    def forward(self, input: Array) -> Array:
        """Return the maxima, ``(height // 2, width // 2, filters)``, of feature maps of shape ``(height, width, filters)``."""
        self.last_input = input
        height, width, num_filters = input.shape[0] // 2, input.shape[1] // 2, input.shape[2]
        output = np.zeros((height, width, num_filters), input.dtype)
        for row in range(height):
            for column in range(width):
                output[row, column] = np.amax(input[2 * row : 2 * row + 2, 2 * column : 2 * column + 2], axis=(0, 1))
        return output

    def backprop(self, d_L_d_out: Array) -> Array:
        """Return the input's gradient: *every* pixel that equals its window's maximum gets the window's gradient."""
        d_L_d_input = np.zeros_like(self.last_input)
        height, width, num_filters = d_L_d_out.shape
        for row in range(height):
            for column in range(width):
                region = self.last_input[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                maxima = np.amax(region, axis=(0, 1))
                for u in range(2):
                    for v in range(2):
                        for k in range(num_filters):
                            if region[u, v, k] == maxima[k]:
                                d_L_d_input[2 * row + u, 2 * column + v, k] = d_L_d_out[row, column, k]
        return d_L_d_input


class Softmax:
    """A fully connected layer, from a flattened input of ``input_len`` numbers to ``nodes`` classes, and the softmax of its outputs.

    The weights, ``(input_len, nodes)``, are drawn from N(0, 1) / input_len; the biases start at zero.
    """

    def __init__(self, input_len: int, nodes: int, rng: np.random.Generator | None = None, dtype: npt.DTypeLike = np.float64) -> None:
        rng = rng or np.random.default_rng()
        self.weights: Array = (rng.standard_normal((input_len, nodes)) / input_len).astype(dtype)
        self.biases: Array = np.zeros(nodes, dtype)

    def forward(self, input: Array) -> Array:
        """Return the probabilities of the classes, ``(nodes,)``, for feature maps flattened in the order height, width, filters."""
        self.last_input_shape = input.shape
        self.last_input = input.flatten()
        self.last_exponentials = np.exp(self.last_input @ self.weights + self.biases)
        return np.asarray(self.last_exponentials / np.sum(self.last_exponentials))

    def backprop(self, d_L_d_out: Array, learn_rate: float) -> Array:
        """Update weights and biases, given the gradient for the probabilities, and return the gradient for the input."""
        exponentials = self.last_exponentials
        total = np.sum(exponentials)
        d_L_d_totals = np.zeros_like(exponentials)
        for i, gradient in enumerate(d_L_d_out):
            if gradient == 0:
                continue
            # The derivatives of e_i / S by the logits: -e_i e_k / S^2 for k != i, and e_i (S - e_i) / S^2 for k = i.
            d_out_d_totals = -exponentials[i] * exponentials / total**2
            d_out_d_totals[i] = exponentials[i] * (total - exponentials[i]) / total**2
            d_L_d_totals += gradient * d_out_d_totals
        d_L_d_input = self.weights @ d_L_d_totals
        self.weights -= learn_rate * np.outer(self.last_input, d_L_d_totals)
        self.biases -= learn_rate * d_L_d_totals
        return d_L_d_input.reshape(self.last_input_shape)


class ArticleCNN:
    """The tutorial's network, Conv3x3(8) - MaxPool2 - Softmax, and its training step.

    If ``frozen`` is set, training updates the softmax layer alone and not the filters, as in the tutorial's first test drive.
    """

    def __init__(self, rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> None:
        self.conv = Conv3x3(8, rng, dtype)
        self.pool = MaxPool2()
        self.softmax = Softmax(math.prod(POOLED_SHAPE), 10, rng, dtype)
        self.frozen = False

    def forward(self, image: Array) -> Array:
        """Return the ten probabilities for one scaled image of shape (28, 28)."""
        return self.softmax.forward(self.pool.forward(self.conv.forward(image)))

    def train(self, image: Array, label: int, learn_rate: float) -> float:
        """Do one training step on one scaled image and return its loss, -ln of the probability of the label."""
        probabilities = self.forward(image)
        gradient = np.zeros_like(probabilities)
        gradient[label] = -1 / probabilities[label]
        gradient = self.softmax.backprop(gradient, learn_rate)
        if not self.frozen:
            self.conv.backprop(self.pool.backprop(gradient), learn_rate)
        return float(-np.log(probabilities[label]))
