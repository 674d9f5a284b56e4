"""Matrix products: of matrices of all shapes, in batches, with a vector and with a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Functions, Pair
from tests.support.functions.row import Array, Fault, Row, transposed

BLOCK = 4
"""The length of a block, at most."""


def product(a: Array, b: Array) -> tuple[Array, Any]:
    return a @ b, (a, b)


def product_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    return grad @ transposed(b), transposed(a) @ grad


def product_backward_not_transposed(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Forget to transpose b."""
    a, b = cache
    return grad @ b, a.T @ grad


def sum_of_products(a: Array, b: Array) -> tuple[Array, Any]:
    return np.einsum("rk,kc->rc", a, b), (a, b)


def sum_of_products_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, b = cache
    return np.einsum("rc,kc->rk", grad, b), np.einsum("rk,rc->kc", a, grad)


def sum_of_products_backward_averaged(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Average the gradient of b over the rows of a."""
    grad_a, grad_b = sum_of_products_backward(grad, cache)
    return grad_a, grad_b / len(grad)


def blocks(length: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, length, BLOCK)]


def inner_blocks(a: Array, b: Array) -> tuple[Array, Any]:
    """Add the products of blocks of the inner axis."""
    output = np.zeros((len(a), b.shape[1]), a.dtype)
    for block in blocks(a.shape[1]):
        output += a[:, block] @ b[block]
    return output, (a, b)


def inner_blocks_whole(a: Array, b: Array) -> tuple[Array, Any]:
    """Leave the last block out if it is not a whole one."""
    output = np.zeros((len(a), b.shape[1]), a.dtype)
    for block in blocks(a.shape[1] // BLOCK * BLOCK):
        output += a[:, block] @ b[block]
    return output, (a, b)


def outer_products(a: Array, b: Array) -> tuple[Array, Any]:
    """Add the outer products of columns and rows."""
    output = np.zeros((len(a), b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        output += a[:, k, None] * b[k]
    return output, (a, b)


def outer_products_from_one(a: Array, b: Array) -> tuple[Array, Any]:
    """Count from one."""
    return outer_products(a[:, 1:], b[1:])[0], (a, b)


def tiles(a: Array, b: Array) -> tuple[Array, Any]:
    """Compute the output tile by tile."""
    output = np.empty((len(a), b.shape[1]), a.dtype)
    for rows in blocks(len(a)):
        for columns in blocks(b.shape[1]):
            output[rows, columns] = a[rows] @ b[:, columns]
    return output, (a, b)


def tiles_by_rows(a: Array, b: Array) -> tuple[Array, Any]:
    """Count the tiles across by the rows, as for a square output."""
    output = np.zeros((len(a), b.shape[1]), a.dtype)
    for rows in blocks(len(a)):
        for columns in blocks(len(a)):
            output[rows, columns] = a[rows] @ b[:, columns]
    return output, (a, b)


def row_blocks_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Add up the gradient of b block by block of the rows."""
    a, b = cache
    grad_b = np.zeros_like(b)
    for block in blocks(len(a)):
        grad_b += a[block].T @ grad[block]
    return grad @ b.T, grad_b


def row_blocks_backward_assigning(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Keep the gradient of the last block instead of adding."""
    a, b = cache
    for block in blocks(len(a)):
        grad_b = a[block].T @ grad[block]
    return grad @ b.T, grad_b


def product_of_first_batch(a: Array, b: Array) -> tuple[Array, Any]:
    """Multiply each sample with the first one of b."""
    return a @ b[0], (a, b)


def matrix_vector(a: Array, v: Array) -> tuple[Array, Any]:
    return np.einsum("rk,k->r", a, v), (a, v)


def matrix_vector_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, v = cache
    return np.outer(grad, v), grad @ a


def matrix_vector_backward_summed(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Give each number of a row the gradient of the row."""
    a, _ = cache
    return np.repeat(grad[:, None], a.shape[1], axis=1), grad @ a


def scaled(a: Array, factor: Array) -> tuple[Array, Any]:
    return a * factor, (a, factor)


def scaled_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    a, factor = cache
    return grad * factor, np.asarray((grad * a).sum(), a.dtype).reshape(factor.shape)


def scaled_backward_of_ones(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Forget the matrix in the factor's gradient."""
    a, factor = cache
    return grad * factor, np.asarray(grad.sum(), a.dtype).reshape(factor.shape)


def flattened(a: Array, b: Array) -> tuple[Array, Any]:
    """Multiply the last axis of an array with any number of axes before it."""
    rows = a.reshape(-1, a.shape[-1])
    return (rows @ b).reshape(*a.shape[:-1], -1), (rows, b, a.shape)


def flattened_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    rows, b, shape = cache
    flat = grad.reshape(-1, grad.shape[-1])
    return (flat @ b.T).reshape(shape), rows.T @ flat


def flattened_backward_averaged(grad: Array, cache: Any) -> tuple[Array, Array]:
    """Average the gradient of b over the samples."""
    grad_a, grad_b = flattened_backward(grad, cache)
    return grad_a, grad_b / len(grad)


def flattened_by_columns(a: Array, b: Array) -> tuple[Array, Any]:
    """Flatten the first axis fastest, and unflatten the last one fastest."""
    rows = a.reshape(-1, a.shape[-1], order="F")
    return (rows @ b).reshape(*a.shape[:-1], -1), (rows, b, a.shape)


PLAIN = {"a": "rows inner", "b": "inner columns"}
BATCHED = {"a": "batch rows inner", "b": "batch inner columns"}
THREE = {"a": "batch rows inner", "b": "inner columns"}
FOUR = {"a": "batch height width inner", "b": "inner columns"}


def of(rows: int, inner: int, columns: int, **more: int) -> dict[str, int]:
    """Return the sizes of a product."""
    return {"rows": rows, "inner": inner, "columns": columns, **more}


ROWS = {
    "square": Row(
        Pair(Functions(product, product_backward), torch.matmul, inputs=PLAIN, sizes=of(6, 6, 6)),
        Fault("grad_input.a", backward=product_backward_not_transposed),
    ),
    "rectangular": Row(
        Pair(Functions(sum_of_products, sum_of_products_backward), torch.matmul, inputs=PLAIN, sizes=of(4, 7, 5)),
        Fault("grad_input.b", backward=sum_of_products_backward_averaged),
    ),
    "large inner axis": Row(
        Pair(Functions(inner_blocks, product_backward), torch.matmul, inputs=PLAIN, sizes=of(3, 300, 2)),
        Fault("output", forward=inner_blocks_whole),
    ),
    "small inner axis": Row(
        Pair(Functions(outer_products, product_backward), torch.matmul, inputs=PLAIN, sizes=of(9, 2, 8)),
        Fault("output", forward=outer_products_from_one),
    ),
    "irregular": Row(
        Pair(Functions(tiles, product_backward), torch.matmul, inputs=PLAIN, sizes=of(5, 3, 11)), Fault("output", forward=tiles_by_rows)
    ),
    "tall": Row(
        Pair(Functions(product, row_blocks_backward), torch.matmul, inputs=PLAIN, sizes=of(65, 3, 4)),
        Fault("grad_input.b", backward=row_blocks_backward_assigning),
    ),
    "batched": Row(
        Pair(Functions(product, product_backward), torch.bmm, inputs=BATCHED, sizes=of(4, 5, 2, batch=3)),
        Fault("output", forward=product_of_first_batch),
    ),
    "matrix-vector": Row(
        Pair(Functions(matrix_vector, matrix_vector_backward), torch.mv, inputs={"a": "rows inner", "v": "inner"}, sizes={"rows": 5, "inner": 7}),
        Fault("grad_input.a", backward=matrix_vector_backward_summed),
    ),
    "times a scalar": Row(
        Pair(Functions(scaled, scaled_backward), torch.mul, inputs={"a": "rows columns", "factor": ()}, sizes={"rows": 5, "columns": 7}),
        Fault("grad_input.factor", backward=scaled_backward_of_ones),
    ),
    "3-D times a matrix": Row(
        Pair(Functions(flattened, flattened_backward), torch.matmul, inputs=THREE, sizes=of(4, 5, 2, batch=3)),
        Fault("grad_input.b", backward=flattened_backward_averaged),
    ),
    "4-D times a matrix": Row(
        Pair(
            Functions(flattened, flattened_backward), torch.matmul, inputs=FOUR, sizes={"batch": 2, "height": 3, "width": 4, "inner": 5, "columns": 6}
        ),
        Fault("output", forward=flattened_by_columns),
    ),
}
