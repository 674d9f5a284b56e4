"""Attention: the mean of values, weighted by how well their keys fit a query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Functions, Pair
from tests.support.functions.row import Array, Fault, Row, transposed


def attention(query: Array, key: Array, value: Array) -> tuple[Array, Any]:
    scores = query @ transposed(key) / math.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ value, (query, key, value, weights)


def attention_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    query, key, value, weights = cache
    grad_weights = grad @ transposed(value)
    grad_scores = weights * (grad_weights - (grad_weights * weights).sum(axis=-1, keepdims=True)) / math.sqrt(query.shape[-1])
    return grad_scores @ key, transposed(grad_scores) @ query, transposed(weights) @ grad


def attention_backward_unscaled(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget that the scores were divided by the root of the dimension."""
    grad_query, grad_key, grad_value = attention_backward(grad, cache)
    root = math.sqrt(cache[0].shape[-1])
    return grad_query * root, grad_key * root, grad_value


TENSORS = {"query": "batch heads q_len dim", "key": "batch heads k_len dim", "value": "batch heads k_len dim"}
SIZES = {"batch": 2, "heads": 3, "q_len": 5, "k_len": 7, "dim": 8}

ROWS = {
    "attention": Row(
        Pair(Functions(attention, attention_backward), F.scaled_dot_product_attention, inputs=TENSORS, sizes=SIZES),
        Fault("grad_input.query", backward=attention_backward_unscaled),
    ),
}
