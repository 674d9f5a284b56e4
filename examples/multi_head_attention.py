"""In the style of a port of ``nn.MultiheadAttention``: one layer with PyTorch's names of parameters, three inputs, ``params`` and ``grads``.

Run it: ``crosscheck check examples/multi_head_attention.py``. The layer needs no adapter: the harness passes query, key and value by position, and
takes three gradients back. Names with a dot, as PyTorch gives them, are keys of the dicts like any other.
"""

import math

import numpy as np


class MultiHeadAttention:
    """``softmax(q k^T / sqrt(dim / heads)) v`` in each head, between one projection for q, k and v and one for the output."""

    def __init__(self, dim, heads):
        rng = np.random.default_rng(0)
        self.heads = heads
        self.params = {
            "in_proj_weight": rng.standard_normal((3 * dim, dim)),
            "in_proj_bias": np.zeros(3 * dim),
            "out_proj.weight": rng.standard_normal((dim, dim)),
            "out_proj.bias": np.zeros(dim),
        }
        self.grads = {}

    def split(self, x):
        """Turn ``(batch, length, dim)`` into ``(batch, heads, length, dim / heads)``."""
        batch, length, dim = x.shape
        return x.reshape(batch, length, self.heads, dim // self.heads).transpose(0, 2, 1, 3)

    def merge(self, x):
        """Undo ``split``."""
        batch, heads, length, dim = x.shape
        return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * dim)

    def scale(self, dim):
        """Return what the scores are divided by."""
        return math.sqrt(dim // self.heads)

    def forward(self, query, key, value):
        self.inputs = query, key, value
        projections = zip(self.inputs, np.split(self.params["in_proj_weight"], 3), np.split(self.params["in_proj_bias"], 3), strict=True)
        self.q, self.k, self.v = (self.split(x @ w.T + b) for x, w, b in projections)
        scores = self.q @ self.k.swapaxes(-1, -2) / self.scale(query.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.weights = weights / weights.sum(axis=-1, keepdims=True)
        self.merged = self.merge(self.weights @ self.v)
        return self.merged @ self.params["out_proj.weight"].T + self.params["out_proj.bias"]

    def backward(self, dout):
        self.grads["out_proj.weight"] = np.einsum("bto,bti->oi", dout, self.merged)
        self.grads["out_proj.bias"] = dout.sum(axis=(0, 1))
        dq, dk, dv = self.backward_heads(self.split(dout @ self.params["out_proj.weight"]), self.scale(dout.shape[-1]))
        projected = [self.merge(dq), self.merge(dk), self.merge(dv)]
        self.grads["in_proj_weight"] = np.concatenate([np.einsum("bto,bti->oi", d, x) for d, x in zip(projected, self.inputs, strict=True)])
        self.grads["in_proj_bias"] = np.concatenate([d.sum(axis=(0, 1)) for d in projected])
        return tuple(d @ w for d, w in zip(projected, np.split(self.params["in_proj_weight"], 3), strict=True))

    def backward_heads(self, dout, scale):
        """Return the gradients of q, k and v in each head."""
        dweights = dout @ self.v.swapaxes(-1, -2)
        dscores = self.weights * (dweights - (dweights * self.weights).sum(axis=-1, keepdims=True)) / scale
        return dscores @ self.k, dscores.swapaxes(-1, -2) @ self.q, self.weights.swapaxes(-1, -2) @ dout


class HeadsBySlices(MultiHeadAttention):
    """Cuts the memory in pieces of the right shape: a head gets some positions whole, not its share of each."""

    def split(self, x):
        batch, length, dim = x.shape
        return x.reshape(batch, self.heads, length, dim // self.heads)

    def merge(self, x):
        batch, heads, length, dim = x.shape
        return x.reshape(batch, length, heads * dim)


class ScaleOfAllHeads(MultiHeadAttention):
    """Divides by the root of the whole dimension, not by that of one head's share."""

    def scale(self, dim):
        return math.sqrt(dim)


class NotScaledBack(MultiHeadAttention):
    """Forgets the scale on the way back."""

    def backward_heads(self, dout, scale):
        return super().backward_heads(dout, 1)


class KeyAndValueSwapped(MultiHeadAttention):
    """Returns the gradients in another order than the inputs."""

    def backward(self, dout):
        dquery, dkey, dvalue = super().backward(dout)
        return dquery, dvalue, dkey


# --- adapting ---
from torch import nn

from crosscheck import Pair

REFERENCE = nn.MultiheadAttention(6, 2, batch_first=True)
INPUTS = {"query": "batch q_len 6", "key": "batch k_len 6", "value": "batch k_len 6"}
SAME = {"inputs": INPUTS, "sizes": {"batch": 2, "q_len": 4, "k_len": 5}, "params": {"out_proj.weight": "out_proj.weight"}}
PAIRS = [
    Pair(MultiHeadAttention(6, 2), REFERENCE, name="attention", **SAME),
    Pair(HeadsBySlices(6, 2), REFERENCE, name="attention (wrong: heads are slices of the memory)", **SAME),
    Pair(ScaleOfAllHeads(6, 2), REFERENCE, name="attention (wrong: the scale of all heads together)", **SAME),
    Pair(NotScaledBack(6, 2), REFERENCE, name="attention (wrong: not scaled on the way back)", **SAME),
    Pair(KeyAndValueSwapped(6, 2), REFERENCE, name="attention (wrong: gradients of key and value swapped)", **SAME),
]
# --- end ---
