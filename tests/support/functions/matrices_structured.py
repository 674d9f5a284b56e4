"""Products of matrices that are transposed, symmetric, or known to be zero outside a triangle or the diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Functions, Pair
from tests.support.functions.matrices import of
from tests.support.functions.row import Array, Fault, Row


def diagonal_product(d: Array, b: Array) -> tuple[Array, Any]:
    return d[:, None] * b, (d, b)


def diagonal_product_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    d, b = cache
    return (grad * b).sum(axis=1), d[:, None] * grad


def diagonal_product_of_columns(d: Array, b: Array) -> tuple[Array, Any]:
    """Multiply columns instead of rows."""
    return d * b, (d, b)


def mirrored(a: Array) -> Array:
    """Return the symmetric matrix with the upper triangle of another one."""
    return np.triu(a) + np.triu(a, 1).T


def symmetric_product(a: Array, b: Array) -> tuple[Array, Any]:
    whole = mirrored(a)
    return whole @ b, (whole, b)


def symmetric_product_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    whole, b = cache
    grad_whole = grad @ b.T
    return np.triu(grad_whole) + np.tril(grad_whole, -1).T, whole @ grad


def symmetric_product_backward_half(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Forget that each number stands in two places."""
    whole, b = cache
    return np.triu(grad @ b.T), whole @ grad


def upper_product(a: Array, b: Array) -> tuple[Array, Any]:
    a, b = np.triu(a), np.triu(b)
    return np.triu(a @ b), (a, b)


def upper_product_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    grad = np.triu(grad)
    return np.triu(grad @ b.T), np.triu(a.T @ grad)


def upper_product_backward_strict(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Leave the diagonal out."""
    grad_a, grad_b = upper_product_backward(grad, cache)
    return np.triu(grad_a, 1), np.triu(grad_b, 1)


def lower_product(a: Array, b: Array) -> tuple[Array, Any]:
    """Multiply row by row, no longer than the numbers that are not zero."""
    a, b = np.tril(a), np.tril(b)
    output = np.zeros_like(a)
    for row in range(len(a)):
        output[row, : row + 1] = a[row, : row + 1] @ b[: row + 1, : row + 1]
    return output, (a, b)


def lower_product_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    grad = np.tril(grad)
    return np.tril(grad @ b.T), np.tril(a.T @ grad)


def lower_product_backward_full(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Give the zeros a gradient, too."""
    a, b = cache
    return np.tril(grad) @ b.T, a.T @ np.tril(grad)


def left_transposed(a: Array, b: Array) -> tuple[Array, Any]:
    return a.T @ b, (a, b)


def left_transposed_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    return b @ grad.T, a @ grad


def left_transposed_backward_turned(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Return the gradient of the transposed matrix."""
    a, b = cache
    return grad @ b.T, a @ grad


def right_transposed(a: Array, b: Array) -> tuple[Array, Any]:
    return a @ b.T, (a, b)


def right_transposed_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    return grad @ b, grad.T @ a


def right_transposed_backward_turned(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Forget to transpose the upstream gradient."""
    a, b = cache
    return grad @ b, grad @ a


def both_transposed(a: Array, b: Array) -> tuple[Array, Any]:
    return (b @ a).T.copy(), (a, b)


def both_transposed_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    return (grad @ b).T.copy(), (a @ grad).T.copy()


def both_transposed_in_order(a: Array, b: Array) -> tuple[Array, Any]:
    """Take the product of transposed matrices for the transposed product."""
    return (a @ b).T.copy(), (a, b)


def upper(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.triu(a.triu() @ b.triu())


def lower(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.tril(a.tril() @ b.tril())


def diagonal(d: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.diag(d) @ b


def symmetric(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (torch.triu(a) + torch.triu(a, 1).mT) @ b


SQUARE = {"a": "size size", "b": "size size"}
DIAGONAL = {"d": "rows", "b": "rows columns"}
SYMMETRIC = {"a": "size size", "b": "size columns"}
LEFT = {"a": "inner rows", "b": "inner columns"}
RIGHT = {"a": "rows inner", "b": "columns inner"}
TURNED = {"a": "inner rows", "b": "columns inner"}

ROWS = {
    "diagonal": Row(
        Pair(Functions(diagonal_product, diagonal_product_backward), diagonal, inputs=DIAGONAL, sizes={"rows": 6, "columns": 6}),
        Fault("output", forward=diagonal_product_of_columns),
    ),
    "symmetric": Row(
        Pair(Functions(symmetric_product, symmetric_product_backward), symmetric, inputs=SYMMETRIC, sizes={"size": 6, "columns": 4}),
        Fault("grad_input.a", backward=symmetric_product_backward_half),
    ),
    "upper triangular": Row(
        Pair(Functions(upper_product, upper_product_backward), upper, inputs=SQUARE, sizes={"size": 6}),
        Fault("grad_input.a", backward=upper_product_backward_strict),
    ),
    "lower triangular": Row(
        Pair(Functions(lower_product, lower_product_backward), lower, inputs=SQUARE, sizes={"size": 6}),
        Fault("grad_input.a", backward=lower_product_backward_full),
    ),
    "left transposed": Row(
        Pair(Functions(left_transposed, left_transposed_backward), lambda a, b: torch.matmul(a.T, b), inputs=LEFT, sizes=of(5, 5, 4)),
        Fault("grad_input.a", backward=left_transposed_backward_turned),
    ),
    "right transposed": Row(
        Pair(Functions(right_transposed, right_transposed_backward), lambda a, b: torch.matmul(a, b.T), inputs=RIGHT, sizes=of(5, 4, 5)),
        Fault("grad_input.b", backward=right_transposed_backward_turned),
    ),
    "both transposed": Row(
        Pair(Functions(both_transposed, both_transposed_backward), lambda a, b: torch.matmul(a.T, b.T), inputs=TURNED, sizes=of(5, 5, 5)),
        Fault("output", forward=both_transposed_in_order),
    ),
}
