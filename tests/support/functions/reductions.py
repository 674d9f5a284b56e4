"""Sum, mean, largest and smallest number along the second axis, and where these stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Forward, Functions, Pair
from tests.support.functions.row import Array, Fault, Row


def total(x: Array) -> tuple[Array, Any]:
    return x.sum(axis=1, keepdims=True), x.shape


def total_backward(grad: Array, shape: Any) -> Array:
    return np.broadcast_to(grad, shape).copy()


def total_pairwise(x: Array) -> tuple[Array, Any]:
    """Add in pairs and lose the last number if there is an odd one."""
    pairs = x[:, 0 : 2 * (x.shape[1] // 2) : 2] + x[:, 1::2]
    return pairs.sum(axis=1, keepdims=True), x.shape


def average(x: Array) -> tuple[Array, Any]:
    return x.mean(axis=1), x.shape


def average_backward(grad: Array, shape: Any) -> Array:
    return np.repeat(grad[:, None] / shape[1], shape[1], axis=1)


def average_backward_by_last_axis(grad: Array, shape: Any) -> Array:
    """Divide by the length of the last axis, which is right where both are equal."""
    return np.repeat(grad[:, None] / shape[-1], shape[1], axis=1)


def largest(x: Array) -> tuple[Array, Any]:
    place = x.argmax(axis=1)[:, None]
    return np.take_along_axis(x, place, axis=1)[:, 0], (place, x.shape)


def smallest(x: Array) -> tuple[Array, Any]:
    place = x.argmin(axis=1)[:, None]
    return np.take_along_axis(x, place, axis=1)[:, 0], (place, x.shape)


def extreme_backward(grad: Array, cache: Any) -> Array:
    place, shape = cache
    result = np.zeros(shape, grad.dtype)
    np.put_along_axis(result, place, grad[:, None], axis=1)
    return result


def largest_everywhere(x: Array) -> tuple[Array, Any]:
    """Remember each number that equals the largest."""
    most = x.max(axis=1)
    return most, x == most[:, None]


def everywhere_backward(grad: Array, chosen: Any) -> Array:
    return np.where(chosen, grad[:, None], 0)


def smallest_magnitude(x: Array) -> tuple[Array, Any]:
    """Take the number that is nearest to zero."""
    place = np.abs(x).argmin(axis=1)[:, None]
    return np.take_along_axis(x, place, axis=1)[:, 0], (place, x.shape)


def argmax(x: Array) -> Array:
    return x.argmax(axis=1)


def argmax_last(x: Array) -> Array:
    """Take the last of several largest numbers."""
    return x.shape[1] - 1 - x[:, ::-1].argmax(axis=1)


def argmin(x: Array) -> Array:
    return x.argmin(axis=1)


def argmin_of_whole(x: Array) -> Array:
    """Count along the whole sample, not along the axis."""
    flat = x.reshape(len(x), -1).argmin(axis=1)
    return np.broadcast_to(flat[:, None], (len(x), x.shape[2])).copy()


ROWS = {
    "sum": Row(Pair(Functions(total, total_backward), lambda x: torch.sum(x, 1, keepdim=True), [(3, 7, 4)]), Fault("output", forward=total_pairwise)),
    "mean": Row(
        Pair(Functions(average, average_backward), lambda x: torch.mean(x, 1), [(3, 5, 5)]),
        Fault("grad_input", backward=average_backward_by_last_axis),
    ),
    "max": Row(
        Pair(Functions(largest, extreme_backward), lambda x: torch.max(x, 1).values, [(3, 7, 4)]),
        Fault("grad_input", "ties", forward=largest_everywhere, backward=everywhere_backward),
    ),
    "min": Row(
        Pair(Functions(smallest, extreme_backward), lambda x: torch.min(x, 1).values, [(3, 7, 4)]), Fault("output", forward=smallest_magnitude)
    ),
    "argmax": Row(Pair(Forward(argmax), lambda x: torch.argmax(x, 1), [(3, 7, 4)]), Fault("output", "ties", function=argmax_last)),
    "argmin": Row(Pair(Forward(argmin), lambda x: torch.argmin(x, 1), [(3, 7, 4)]), Fault("output", function=argmin_of_whole)),
}
