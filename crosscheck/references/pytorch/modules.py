"""PyTorch's convolution with "same" padding for every stride and kernel; it refuses strides itself and warns of even kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ``ceil(size / stride)`` rows and columns, whatever the stride.

    As few zeros are added as that takes; of an odd number, one more at the bottom and right, as TensorFlow, JAX and Keras do
    (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2), and PyTorch where it knows "same".

    Parameters
    ----------
    *sizes, **options
        Those of torch.nn.Conv2d, but for ``padding`` and ``padding_mode``.
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
