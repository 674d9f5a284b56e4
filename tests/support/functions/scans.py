"""Running sums and products along the second axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Functions, Mask, Pair
from tests.support.functions.row import Array, Fault, Row


def running_sum(x: Array) -> tuple[Array, Any]:
    return np.cumsum(x, axis=1), None


def running_sum_backward(grad: Array, _: Any) -> Array:
    return np.cumsum(grad[:, ::-1], axis=1)[:, ::-1].copy()


def running_sum_backward_forwards(grad: Array, _: Any) -> Array:
    """Run from the first number to the last."""
    return np.cumsum(grad, axis=1)


def sum_from_the_end(x: Array) -> tuple[Array, Any]:
    return np.cumsum(x[:, ::-1], axis=1)[:, ::-1].copy(), None


def sum_from_the_end_backward(grad: Array, _: Any) -> Array:
    return np.cumsum(grad, axis=1)


def sum_from_the_end_turned(x: Array) -> tuple[Array, Any]:
    """Forget to turn the result round again."""
    return np.cumsum(x[:, ::-1], axis=1), None


def sum_before(x: Array) -> tuple[Array, Any]:
    """Return the sum of what stands before each number."""
    result = np.zeros_like(x)
    result[:, 1:] = np.cumsum(x[:, :-1], axis=1)
    return result, None


def sum_before_backward(grad: Array, _: Any) -> Array:
    result = np.zeros_like(grad)
    result[:, :-1] = np.cumsum(grad[:, :0:-1], axis=1)[:, ::-1]
    return result


def sum_before_backward_inclusive(grad: Array, _: Any) -> Array:
    """Give each number the gradient of its own place, too."""
    return running_sum_backward(grad, None)


def masked_sum(x: Array, mask: Array) -> tuple[Array, Any]:
    return np.cumsum(np.where(mask, x, 0), axis=1), mask


def masked_sum_backward(grad: Array, mask: Array) -> Array:
    return np.where(mask, np.cumsum(grad[:, ::-1], axis=1)[:, ::-1], 0)


def masked_sum_backward_unmasked(grad: Array, mask: Array) -> Array:
    """Ignore the mask."""
    return running_sum_backward(grad, None)


def running_product(x: Array) -> tuple[Array, Any]:
    return np.cumprod(x, axis=1), x


def running_product_backward(grad: Array, x: Array) -> Array:
    """Return what is before a number, times the sum of what it is a factor of; nothing is divided, so that zeros are no exception."""
    result, after = np.empty_like(grad), np.zeros_like(grad[:, 0])
    for k in reversed(range(x.shape[1])):
        after = grad[:, k] + (x[:, k + 1] * after if k + 1 < x.shape[1] else 0)
        result[:, k] = after * np.prod(x[:, :k], axis=1)
    return result


def running_product_backward_dividing(grad: Array, x: Array) -> Array:
    """Divide by each number, which may be zero."""
    with np.errstate(all="ignore"):
        return running_sum_backward(grad * np.cumprod(x, axis=1), None) / x


def before(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1].cumsum(1)], 1)


def masked(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.cumsum(x * mask, 1)


ROWS = {
    "running sum": Row(
        Pair(Functions(running_sum, running_sum_backward), lambda x: torch.cumsum(x, 1), [(3, 7, 2)]),
        Fault("grad_input", backward=running_sum_backward_forwards),
    ),
    "running sum from the end": Row(
        Pair(Functions(sum_from_the_end, sum_from_the_end_backward), lambda x: torch.cumsum(x.flip(1), 1).flip(1), [(3, 7, 2)]),
        Fault("output", forward=sum_from_the_end_turned),
    ),
    "running sum, exclusive": Row(
        Pair(Functions(sum_before, sum_before_backward), before, [(3, 7, 2)]), Fault("grad_input", backward=sum_before_backward_inclusive)
    ),
    "running sum, masked": Row(
        Pair(
            Functions(masked_sum, masked_sum_backward), masked, inputs={"x": "batch time", "mask": Mask("batch time")}, sizes={"batch": 3, "time": 7}
        ),
        Fault("grad_input", backward=masked_sum_backward_unmasked),
    ),
    "running product": Row(
        Pair(Functions(running_product, running_product_backward), lambda x: torch.cumprod(x, 1), [(3, 7)]),
        Fault("grad_input", "kinks", backward=running_product_backward_dividing),
    ),
}
