"""The way back of a convolution, beside the definition: each number of the output's gradient goes to every pixel that its window sees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scratch.fast.col2im import add_back, phases
from scratch.windows import Window

WINDOWS = [
    Window((3, 3), (1, 1)), Window((1, 1), (2, 3)), Window((2, 3), (3, 1)), Window((3, 2), (2, 2)), Window((3, 2), (2, 1), dilation=(3, 2)),
    Window((4, 1), (2, 1), dilation=(2, 1)), Window((5, 2), (3, 2), dilation=(2, 1)),
]  # fmt: skip
"""Of every kind: steps of one, longer than the window, shorter; pixels apart that meet all rows of the stride, or only some."""


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_each_gradient_goes_to_what_its_window_sees(window: Window) -> None:
    rng = np.random.default_rng(0)
    batch, groups, filters, channels, size = 2, 2, 3, 4, (3, 5)
    weight = rng.integers(-9, 10, (groups, filters, channels, *window.kernel)).astype(np.float64)
    grad = rng.integers(-9, 10, (batch, groups, filters, *size)).astype(np.float64)
    height, width = ((count - 1) * stride + reach + 1 for count, stride, reach in zip(size, window.stride, window.reach, strict=True))
    images = rng.integers(-9, 10, (batch, groups, channels, height, width)).astype(np.float64)
    expected = images.copy()
    for i, j, u, v in itertools.product(range(size[0]), range(size[1]), range(window.kernel[0]), range(window.kernel[1])):
        row, column = window.stride[0] * i + window.dilation[0] * u, window.stride[1] * j + window.dilation[1] * v
        expected[..., row, column] += np.einsum("bgf,gfc->bgc", grad[..., i, j], weight[..., u, v])
    add_back(images, grad, window, phases(window, weight))
    assert np.array_equal(images, expected)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_nothing_is_multiplied_twice(window: Window) -> None:
    weight = np.arange(2.0 * 3 * 4 * window.kernel[0] * window.kernel[1]).reshape(2, 3, 4, *window.kernel)
    taps = np.concatenate([phase.filters.ravel() for phase in phases(window, weight)])
    assert sorted(taps.tolist()) == weight.ravel().tolist()
