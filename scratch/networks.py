"""Networks by name, built with fresh weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.convolution import Conv2d
from scratch.linear import Linear
from scratch.pooling import MaxPool2d
from scratch.sequential import Sequential
from scratch.shape import Flatten


def tutorial(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return the tutorial's network for MNIST: 8 filters of 3x3 without bias, max pooling 2x2, one linear layer to the logits of 10 classes.

    The input is a batch of shape (batch, 1, 28, 28), scaled to ``pixel / 255 - 0.5``.
    """
    return Sequential(
        conv=Conv2d(1, 8, 3, bias=False, rng=rng, dtype=dtype),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        linear=Linear(8 * 13 * 13, 10, rng=rng, dtype=dtype),
    )
