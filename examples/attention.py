"""In the style of a transformer written from scratch: scaled dot-product attention of ``(batch, heads, length, dim)`` arrays, and its gradients.

Run it: ``crosscheck check examples/attention.py``. Several inputs have gradients of their own, each has its line in the verdict. The axes have
names, so that queries and keys can differ in number: code that mixes them up cannot hide behind a square matrix.
"""

import math

import numpy as np


def softmax(scores):
    """Return weights that add up to 1 over the keys."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def attention_forward(q, k, v):
    """Return ``softmax(q k^T / sqrt(dim)) v``."""
    weights = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return weights @ v, (q, k, v, weights)


def attention_backward(dout, cache):
    """Return the gradients of q, k and v."""
    q, k, v, weights = cache
    dweights = dout @ v.swapaxes(-1, -2)
    dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ dout


def attention_forward_scaled_by_dim(q, k, v):
    """Divide the scores by the dimension, not by its square root."""
    weights = softmax(q @ k.swapaxes(-1, -2) / q.shape[-1])
    return weights @ v, (q, k, v, weights)


def attention_forward_over_queries(q, k, v):
    """Let the weights add up to 1 over the queries."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    weights = softmax(scores.swapaxes(-1, -2)).swapaxes(-1, -2)
    return weights @ v, (q, k, v, weights)


def attention_forward_double(q, k, v):
    """Compute in float64 unawares: np.sqrt of a whole number is a float64 that float32 arrays follow."""
    weights = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    return weights @ v, (q, k, v, weights)


def attention_backward_diagonal(dout, cache):
    """Take the softmax for a function of each score alone, like the sigmoid."""
    q, k, v, weights = cache
    dscores = dout @ v.swapaxes(-1, -2) * weights * (1 - weights) / math.sqrt(q.shape[-1])
    return dscores @ k, dscores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ dout


# --- adapting ---
from torch.nn.functional import scaled_dot_product_attention

from crosscheck import Functions, Pair

INPUTS = {"q": "batch heads q_len dim", "k": "batch heads k_len dim", "v": "batch heads k_len dim"}
SAME = {"reference": scaled_dot_product_attention, "inputs": INPUTS, "sizes": {"batch": 2, "heads": 3, "q_len": 5, "k_len": 7, "dim": 4}}
PAIRS = [
    Pair(Functions(attention_forward, attention_backward), name="attention", **SAME),
    Pair(Functions(attention_forward_scaled_by_dim, attention_backward), name="attention (wrong: scaled by dim, not by its root)", **SAME),
    Pair(Functions(attention_forward_over_queries, attention_backward), name="attention (wrong: softmax over the queries)", **SAME),
    Pair(Functions(attention_forward_double, attention_backward), name="attention (wrong: float32 becomes float64)", **SAME),
    Pair(Functions(attention_forward, attention_backward_diagonal), name="attention (wrong: the gradient of a sigmoid)", **SAME),
]
# --- end ---
