"""Reference modules that PyTorch lacks: a convolution with "same" padding, a loss of probabilities, and a dropout with a given mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ``ceil(size / stride)`` rows and columns, for any stride.

    PyTorch's ``padding="same"`` refuses strides and warns about even kernels.

    The smallest sufficient number of zeros is added. If this number is odd, the extra zero is at the bottom or right, as in TensorFlow, JAX and Keras
    (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2) and as in PyTorch's ``padding="same"``. The parameters are the same as for
    torch.nn.Conv2d, without ``padding`` and ``padding_mode``.
    """

    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.padding = "same"

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's name
        """Return the convolution of ``(batch, channels, height, width)`` images."""
        around: list[int] = []
        for size, kernel, stride, dilation in zip(input.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True):
            total = max((-(size // -stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
            around = [total // 2, total - total // 2, *around]  # from the last axis to the first
        padded = nn.functional.pad(input, around)
        return nn.functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class NegativeLogLikelihood(nn.Module):
    """The mean of -ln p[label] over a batch of probabilities p, as the loss of a network that ends in a softmax."""

    def forward(self, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of ``(batch, classes)`` probabilities for ``(batch,)`` labels."""
        return nn.functional.nll_loss(probabilities.log(), labels)


class SharedDropout(nn.Module):
    """Dropout with a given mask, so that two implementations drop the same elements. ``p`` is the probability of dropping an element."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``x * mask / (1 - p)`` in training, and ``x`` in evaluation."""
        if not self.training:
            return x
        if mask is None:
            raise ValueError("SharedDropout got no mask in training, expected the mask that the other side drew")
        return x * mask / (1 - self.p)
