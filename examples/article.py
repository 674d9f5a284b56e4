"""In the style of a tutorial: one image at a time, channels last, ``backprop(d_L_d_out, learn_rate)`` updates inside and stores no gradient.

Run it: ``crosscheck check examples/article.py``. The pool that copies a window's gradient to every pixel that ties for its maximum agrees on dense
random numbers and differs on images with a constant background.
"""

import numpy as np


class Conv:
    """Square filters that slide over a grey image."""

    def __init__(self, num_filters, size=3):
        self.size = size
        self.filters = np.random.default_rng(0).standard_normal((num_filters, size, size)) / size**2

    def regions(self, image):
        height, width = image.shape
        for i in range(height - self.size + 1):
            for j in range(width - self.size + 1):
                yield image[i : i + self.size, j : j + self.size], i, j

    def forward(self, image):
        self.last_image = image
        height, width = image.shape
        out = np.zeros((height - self.size + 1, width - self.size + 1, len(self.filters)), image.dtype)
        for region, i, j in self.regions(image):
            out[i, j] = (region * self.filters).sum(axis=(1, 2))
        return out

    def backprop(self, d_L_d_out, learn_rate):
        d_L_d_filters = np.zeros_like(self.filters)
        for region, i, j in self.regions(self.last_image):
            d_L_d_filters += d_L_d_out[i, j][:, None, None] * region
        self.filters -= learn_rate * d_L_d_filters


class ConvLastRegion(Conv):
    """Overwrites the filters' gradient with that of each region where it should be added up."""

    def backprop(self, d_L_d_out, learn_rate):
        for region, i, j in self.regions(self.last_image):
            d_L_d_filters = d_L_d_out[i, j][:, None, None] * region
        self.filters -= learn_rate * d_L_d_filters


class Pool:
    """The largest of each two by two pixels; the first of those that tie wins."""

    def forward(self, image):
        self.last_image = image
        height, width, channels = image.shape
        windows = image[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2, channels)
        self.windows = windows.transpose(0, 2, 4, 1, 3).reshape(height // 2, width // 2, channels, 4)
        return self.windows.max(axis=-1)

    def winners(self):
        return np.arange(4) == self.windows.argmax(axis=-1)[..., None]

    def backprop(self, d_L_d_out):
        d_L_d_windows = self.winners() * d_L_d_out[..., None]
        height, width, channels = d_L_d_out.shape
        d_L_d_image = np.zeros_like(self.last_image)
        back = d_L_d_windows.reshape(height, width, channels, 2, 2).transpose(0, 3, 1, 4, 2)
        d_L_d_image[: 2 * height, : 2 * width] = back.reshape(2 * height, 2 * width, channels)
        return d_L_d_image


class PoolEveryMaximum(Pool):
    """Gives the gradient to every pixel that equals its window's maximum."""

    def winners(self):
        return self.windows == self.windows.max(axis=-1, keepdims=True)


# --- adapting ---
from torch import nn

from crosscheck import Pair, Updating

GREY = {"input": "h w -> 1 1 h w", "output": "h w f -> 1 f h w", "params": {"filters": "weight: f kh kw -> f 1 kh kw"}, "shapes": [(2, 1, 7, 6)]}
HWC = {"input": "h w c -> 1 c h w", "output": "h w c -> 1 c h w", "shapes": [(2, 3, 6, 5)]}
CONV, POOL = nn.Conv2d(1, 4, 3, bias=False), nn.MaxPool2d(2)
PAIRS = [
    Pair(Updating(Conv(4), "filters"), CONV, name="conv", **GREY),
    Pair(Updating(ConvLastRegion(4), "filters"), CONV, name="conv (wrong: only the last region's gradient is kept)", **GREY),
    Pair(Updating(Pool()), POOL, name="pool", **HWC),
    Pair(Updating(PoolEveryMaximum()), POOL, name="pool (wrong: every maximum of a window gets its gradient)", **HWC),
]
# --- end ---
