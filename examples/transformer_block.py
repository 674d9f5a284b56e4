"""In the style of a small GPT from scratch: one object for a whole block, LayerNorm, attention and an MLP, each beside its residual.

Run it: ``crosscheck check examples/transformer_block.py``. The reference is a module of one's own; its parameters keep the names that PyTorch gives
them, ``attention.in_proj_weight`` and the like, so that nothing has to be mapped.
"""

import math

import numpy as np
import torch
from torch import nn

EPS, SLOPE = 1e-5, math.sqrt(2 / math.pi)


class TorchBlock(nn.Module):
    """What was ported: the block in PyTorch."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.MultiheadAttention(dim, heads, batch_first=True)
        self.up, self.down, self.gelu = nn.Linear(dim, hidden), nn.Linear(hidden, dim), nn.GELU(approximate="tanh")

    def forward(self, x):
        n, future = self.norm1(x), torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        x = x + self.attention(n, n, n, attn_mask=future, need_weights=False)[0]
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class Block:
    """``x + attention(norm1(x))`` and then ``x + mlp(norm2(x))``; the future is hidden."""

    def __init__(self, dim, heads, hidden):
        rng = np.random.default_rng(0)
        shapes = {
            "norm1.weight": (dim,),
            "norm1.bias": (dim,),
            "attention.in_proj_weight": (3 * dim, dim),
            "attention.in_proj_bias": (3 * dim,),
            "attention.out_proj.weight": (dim, dim),
            "attention.out_proj.bias": (dim,),
            "norm2.weight": (dim,),
            "norm2.bias": (dim,),
            "up.weight": (hidden, dim),
            "up.bias": (hidden,),
            "down.weight": (dim, hidden),
            "down.bias": (dim,),
        }
        self.heads = heads
        self.params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        self.grads = {}
        self.cache = {}

    def forward(self, x):
        x = x + self.attention(self.norm("norm1", x))
        return x + self.mlp(self.norm("norm2", x))

    def backward(self, dout):
        dx = dout + self.norm_backward("norm2", self.mlp_backward(dout))
        return dx + self.norm_backward("norm1", self.attention_backward(dx))

    def linear(self, weight, bias, x):
        self.cache[weight] = x
        return x @ self.params[weight].T + self.params[bias]

    def linear_backward(self, weight, bias, dout):
        self.grads[weight] = np.einsum("bto,bti->oi", dout, self.cache[weight])
        self.grads[bias] = dout.sum(axis=(0, 1))
        return dout @ self.params[weight]

    def norm(self, name, x):
        std = np.sqrt(x.var(axis=-1, keepdims=True) + EPS)
        normal = (x - x.mean(axis=-1, keepdims=True)) / std
        self.cache[name] = normal, std
        return self.params[f"{name}.weight"] * normal + self.params[f"{name}.bias"]

    def norm_backward(self, name, dout):
        normal, std = self.cache[name]
        self.grads[f"{name}.weight"] = (dout * normal).sum(axis=(0, 1))
        self.grads[f"{name}.bias"] = dout.sum(axis=(0, 1))
        d = dout * self.params[f"{name}.weight"]
        return (d - d.mean(axis=-1, keepdims=True) - normal * (d * normal).mean(axis=-1, keepdims=True)) / std

    def attention(self, x):
        (batch, time, dim), share = x.shape, x.shape[-1] // self.heads
        projected = self.linear("attention.in_proj_weight", "attention.in_proj_bias", x)
        q, k, v = projected.reshape(batch, time, 3, self.heads, share).transpose(2, 0, 3, 1, 4)
        scores = np.where(np.tril(np.ones((time, time), bool)), q @ k.swapaxes(-1, -2) / math.sqrt(share), -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = weights / weights.sum(axis=-1, keepdims=True)
        self.cache["attention"] = q, k, v, weights
        merged = (weights @ v).swapaxes(1, 2).reshape(batch, time, dim)
        return self.linear("attention.out_proj.weight", "attention.out_proj.bias", merged)

    def attention_backward(self, dout):
        q, k, v, weights = self.cache["attention"]
        batch, heads, time, share = q.shape
        dmerged = self.linear_backward("attention.out_proj.weight", "attention.out_proj.bias", dout)
        dheads = dmerged.reshape(batch, time, heads, share).swapaxes(1, 2)
        dweights = dheads @ v.swapaxes(-1, -2)
        dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True)) / math.sqrt(share)
        dqkv = np.stack([dscores @ k, dscores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ dheads])
        dprojected = dqkv.transpose(1, 3, 0, 2, 4).reshape(batch, time, 3 * heads * share)
        return self.linear_backward("attention.in_proj_weight", "attention.in_proj_bias", dprojected)

    def mlp(self, x):
        h = self.linear("up.weight", "up.bias", x)
        tanh = np.tanh(SLOPE * (h + 0.044715 * h**3))
        self.cache["mlp"] = h, tanh
        return self.linear("down.weight", "down.bias", h * (1 + tanh) / 2)

    def mlp_backward(self, dout):
        h, tanh = self.cache["mlp"]
        dh = self.linear_backward("down.weight", "down.bias", dout) * self.gelu_slope(h, tanh)
        return self.linear_backward("up.weight", "up.bias", dh)

    def gelu_slope(self, h, tanh):
        return (1 + tanh) / 2 + h * (1 - tanh**2) / 2 * SLOPE * (1 + 3 * 0.044715 * h**2)


class NormAfter(Block):
    """Normalizes the sum, as the first transformer did."""

    def forward(self, x):
        x = self.norm("norm1", x + self.attention(x))
        return self.norm("norm2", x + self.mlp(x))


class ResidualForgotten(Block):
    """Sends the gradient through attention alone, and not past it."""

    def backward(self, dout):
        dx = dout + self.norm_backward("norm2", self.mlp_backward(dout))
        return self.norm_backward("norm1", self.attention_backward(dx))


class SlopeOfRelu(Block):
    """Differentiates GELU as if its gate were a constant."""

    def gelu_slope(self, h, tanh):
        return (1 + tanh) / 2


# --- adapting ---
from crosscheck import Pair

SQUARE = "attention.out_proj.weight"
SAME = {"reference": TorchBlock(6, 2, 8), "shapes": [(2, 4, 6)], "params": {SQUARE: SQUARE}}
PAIRS = [
    Pair(Block(6, 2, 8), name="block", **SAME),
    Pair(NormAfter(6, 2, 8), name="block (wrong: normalized after the sum)", **SAME),
    Pair(ResidualForgotten(6, 2, 8), name="block (wrong: no gradient past the attention)", **SAME),
    Pair(SlopeOfRelu(6, 2, 8), name="block (wrong: GELU's gate taken for a constant)", **SAME),
]
# --- end ---
