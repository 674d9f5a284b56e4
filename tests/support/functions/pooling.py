"""Pooling in one to three axes: the largest number of each window, or its mean."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from crosscheck import Functions, Pair
from tests.support.functions.row import Array, Fault, Row
from tests.support.functions.windows import Geometry, along, placed, windows_of


def flat_windows(x: Array, how: Geometry, fill: float) -> Array:
    """Return windows ``(batch, channels, *positions, numbers)``."""
    windows = windows_of(x, along(how.kernel, x.ndim - 2), how, fill)
    return windows.reshape(*windows.shape[: x.ndim], -1)


def max_pool(x: Array, how: Geometry) -> tuple[Array, Any]:
    windows = flat_windows(x, how, -np.inf)
    winners = windows.argmax(axis=-1)[..., None]
    return np.take_along_axis(windows, winners, axis=-1)[..., 0], (winners, x.shape[2:], how)


def max_pool_backward(grad: Array, cache: Any) -> Array:
    winners, size, how = cache
    kernel = along(how.kernel, len(size))
    shares = np.zeros((*grad.shape, math.prod(kernel)), grad.dtype)
    np.put_along_axis(shares, winners, grad[..., None], axis=-1)
    return placed(shares.reshape(*grad.shape, *kernel), size, how)


def max_pool_last(x: Array, how: Geometry) -> tuple[Array, Any]:
    """Let the last of several largest numbers win."""
    output, (_, size, _) = max_pool(x, how)
    windows = flat_windows(x, how, -np.inf)
    winners = windows.shape[-1] - 1 - windows[..., ::-1].argmax(axis=-1)
    return output, (winners[..., None], size, how)


def max_pool_backward_assigning(grad: Array, cache: Any) -> Array:
    """Write the gradient of a number that wins in several windows instead of adding it."""
    winners, size, how = cache
    every = placed_numbers(size, how)
    result = np.zeros((*grad.shape[:2], math.prod(size)), grad.dtype)
    for place in np.ndindex(*grad.shape):
        result[(*place[:2], every[(*place[2:], int(winners[place][0]))])] = grad[place]
    return result.reshape(*grad.shape[:2], *size)


def placed_numbers(size: tuple[int, ...], how: Geometry) -> Any:
    """Return which number of an image each one of each window is, -1 for the padding."""
    numbers = np.arange(math.prod(size)).reshape(1, 1, *size)
    return flat_windows(numbers, how, -1)[0, 0]


def max_pool_of_zeros(x: Array, how: Geometry) -> tuple[Array, Any]:
    """Pad with zeros, which win against negative numbers."""
    windows = flat_windows(x, how, 0.0)
    winners = windows.argmax(axis=-1)[..., None]
    return np.take_along_axis(windows, winners, axis=-1)[..., 0], (winners, x.shape[2:], how)


def mean_pool(x: Array, how: Geometry) -> tuple[Array, Any]:
    return flat_windows(x, how, 0.0).mean(axis=-1), (x.shape[2:], how)


def mean_pool_backward(grad: Array, cache: Any) -> Array:
    size, how = cache
    kernel = along(how.kernel, len(size))
    share = (grad / math.prod(kernel)).reshape(*grad.shape, *[1] * len(kernel))
    return placed(np.broadcast_to(share, (*grad.shape, *kernel)), size, how)


def mean_pool_of_image(x: Array, how: Geometry) -> tuple[Array, Any]:
    """Divide by how many numbers of the image a window holds, without the padding."""
    inside = flat_windows(np.ones_like(x), how, 0.0).sum(axis=-1)
    return flat_windows(x, how, 0.0).sum(axis=-1) / inside, (x.shape[2:], how)


def mean_pool_backward_undivided(grad: Array, cache: Any) -> Array:
    """Divide by the length of a window, not by how many numbers it holds."""
    size, how = cache
    return mean_pool_backward(grad, cache) * (math.prod(along(how.kernel, len(size))) / along(how.kernel, len(size))[0])


def mean_pool_backward_unstrided(grad: Array, cache: Any) -> Array:
    """Place the windows side by side, as if the stride were the kernel's size."""
    size, how = cache
    aside = replace(how, stride=how.kernel)
    longer = tuple(max(s, n * k) for s, n, k in zip(size, grad.shape[2:], along(how.kernel, len(size)), strict=True))
    return mean_pool_backward(grad, (longer, aside))[(..., *(slice(s) for s in size))]


def maxima(**how: Any) -> Functions:
    return Functions(max_pool, max_pool_backward, extra={"how": Geometry(**how)})


def means(**how: Any) -> Functions:
    return Functions(mean_pool, mean_pool_backward, extra={"how": Geometry(**how)})


ROWS = {
    "max pooling 1-D, dilated": Row(
        Pair(maxima(kernel=3, padding=1, dilation=3), nn.MaxPool1d(3, 1, 1, 3), [(2, 3, 11)]), Fault("grad_input", "ties", forward=max_pool_last)
    ),
    "max pooling 2-D, overlapping": Row(
        Pair(maxima(kernel=3, stride=2, padding=1), nn.MaxPool2d(3, 2, 1), [(2, 3, 7, 8)]),
        Fault("grad_input", backward=max_pool_backward_assigning),
    ),
    "max pooling 3-D, dilated": Row(
        Pair(maxima(kernel=2, stride=2, padding=1, dilation=3), nn.MaxPool3d(2, 2, 1, 3), [(2, 2, 5, 6, 7)]),
        Fault("output", forward=max_pool_of_zeros),
    ),
    "average pooling 1-D": Row(
        Pair(means(kernel=4, stride=1, padding=2), nn.AvgPool1d(4, 1, 2), [(2, 3, 11)]), Fault("output", forward=mean_pool_of_image)
    ),
    "average pooling 2-D": Row(
        Pair(means(kernel=(3, 2), stride=(2, 1)), nn.AvgPool2d((3, 2), (2, 1)), [(2, 3, 7, 8)]),
        Fault("grad_input", backward=mean_pool_backward_unstrided),
    ),
    "average pooling 3-D": Row(
        Pair(means(kernel=3, stride=2, padding=1), nn.AvgPool3d(3, 2, 1), [(2, 2, 5, 6, 7)]),
        Fault("grad_input", backward=mean_pool_backward_undivided),
    ),
}
