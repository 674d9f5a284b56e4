"""In the style of a course's framework: channels last, weights ``(kh, kw, in, out)``, ``parameters`` and ``gradients``, which ``backward`` adds to.

Run it: ``crosscheck check examples/accumulating_nhwc.py``. Every layout is a pattern, from the subject to the reference; so is the order in which a
dense layer after an image flattens it, the usual trap when weights come from somewhere else.
"""

import numpy as np


class Conv2D:
    """Convolution with as many zeros around the image as keep its size."""

    def __init__(self, kh, kw, channels, filters):
        self.parameters = {"kernel": np.random.default_rng(0).standard_normal((kh, kw, channels, filters)), "bias": np.zeros(filters)}
        self.clear()

    def clear(self):
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def pad(self, X):
        kh, kw = self.parameters["kernel"].shape[:2]
        return np.pad(X, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))

    def unpad(self, padded):
        kh, kw = self.parameters["kernel"].shape[:2]
        return padded[:, kh // 2 : padded.shape[1] - kh // 2, kw // 2 : padded.shape[2] - kw // 2]

    def forward(self, X):
        self.padded, kernel = self.pad(X), self.parameters["kernel"]
        _, h, w, _ = X.shape
        taps = np.ndindex(kernel.shape[:2])
        return sum(self.padded[:, u : u + h, v : v + w] @ kernel[u, v] for u, v in taps) + self.parameters["bias"]

    def backward(self, dLdy):
        kernel = self.parameters["kernel"]
        _, h, w, _ = dLdy.shape
        dLdX = np.zeros_like(self.padded)
        for u, v in np.ndindex(kernel.shape[:2]):
            self.gradients["kernel"][u, v] += np.einsum("nhwc,nhwf->cf", self.padded[:, u : u + h, v : v + w], dLdy)
            dLdX[:, u : u + h, v : v + w] += dLdy @ kernel[u, v].T
        self.gradients["bias"] += dLdy.sum(axis=(0, 1, 2))
        return self.unpad(dLdX)


class Conv2DBorderLost(Conv2D):
    """Stops one row too early where it takes the zeros around the gradient off."""

    def unpad(self, padded):
        dLdX = super().unpad(padded)
        dLdX[:, -1] = 0
        return dLdX


class Conv2DBiasOfOneRow(Conv2D):
    """Adds up the bias's gradient over the batch and the columns, and not over the rows."""

    def backward(self, dLdy):
        before = self.gradients["bias"].copy()
        dLdX = super().backward(dLdy)
        self.gradients["bias"] = before + dLdy[:, 0].sum(axis=(0, 1))
        return dLdX


class DenseAfterImage:
    """Flattens ``(batch, height, width, channels)`` images and multiplies."""

    def __init__(self, h, w, channels, units):
        self.parameters = {"weights": np.random.default_rng(0).standard_normal((h * w * channels, units))}
        self.gradients = {"weights": np.zeros((h * w * channels, units))}

    def flatten(self, X):
        return X.reshape(len(X), -1)

    def forward(self, X):
        self.X = X
        return self.flatten(X) @ self.parameters["weights"]

    def backward(self, dLdy):
        self.gradients["weights"] += self.flatten(self.X).T @ dLdy
        return (dLdy @ self.parameters["weights"].T).reshape(self.X.shape)


class DenseChannelsFirst(DenseAfterImage):
    """Flattens channel by channel on the way forward."""

    def flatten(self, X):
        return X.transpose(0, 3, 1, 2).reshape(len(X), -1)


# --- adapting ---
from torch import nn

from crosscheck import Dicts, Pair

ADDING = {"params": "parameters", "grads": "gradients", "accumulates": True}
IMAGE = {"shapes": [(2, 2, 5, 4)], "params": {"kernel": "weight: kh kw i o -> o i kh kw", "bias": "bias"}}
FLAT = {"shapes": [(2, 24)], "sizes": {"h": 3, "w": 4, "c": 2}, "params": {"weights": "weight: (h w c) k -> k (c h w)"}}
NHWC, ROWS, CONV, DENSE = "n h w c -> n c h w", "n h w c -> n (c h w)", nn.Conv2d(2, 3, 3, padding=1), nn.Linear(24, 5, bias=False)
PAIRS = [
    Pair(Dicts(Conv2D(3, 3, 2, 3), **ADDING), CONV, input=NHWC, output=NHWC, name="conv", **IMAGE),
    Pair(Dicts(Conv2DBorderLost(3, 3, 2, 3), **ADDING), CONV, input=NHWC, output=NHWC, name="conv (wrong: the border is lost)", **IMAGE),
    Pair(Dicts(Conv2DBiasOfOneRow(3, 3, 2, 3), **ADDING), CONV, input=NHWC, output=NHWC, name="conv (wrong: the bias of one row)", **IMAGE),
    Pair(Dicts(DenseAfterImage(3, 4, 2, 5), **ADDING), DENSE, input=ROWS, name="dense", **FLAT),
    Pair(Dicts(DenseChannelsFirst(3, 4, 2, 5), **ADDING), DENSE, input=ROWS, name="dense (wrong: flattened channel by channel)", **FLAT),
]
# --- end ---
