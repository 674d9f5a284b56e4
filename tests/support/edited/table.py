"""The table of right layers whose source is edited: the class, its arguments, and how it corresponds to PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from crosscheck import Integers, Labels, Layer, Pair, Target
from tests.support.edited.layers import activations, attention, classifiers, images, losses, normalization, recurrent, tables

IMAGES = [(2, 4, 5, 5)]
ROWS = {"shapes": [(4, 5)]}
TOKENS = [(2, 3, 6)]
BOTH = {"inputs": {"x": "batch n", "y": Target("batch n")}, "sizes": {"batch": 4, "n": 3}}
SHARES = {"inputs": {"x": "batch n", "y": Target("batch n", of="unit")}, "sizes": {"batch": 4, "n": 3}}
CELLS = {"W_x": "weight_ih_l0", "W_h": "weight_hh_l0", "b_x": "bias_ih_l0", "b_h": "bias_hh_l0"}
AFFINE = {"gamma": "weight", "beta": "bias"}
BY_CHANNEL = {"gamma": "weight: 1 c 1 1 -> c", "beta": "bias: 1 c 1 1 -> c"}
HEADS = {"W": "in_proj_weight", "b": "in_proj_bias", "W_out": "out_proj.weight", "b_out": "out_proj.bias"}


@dataclass(frozen=True)
class Row:
    """A right layer and its reference.

    Parameters
    ----------
    layer : type
        The class, with ``forward`` and ``backward``. The gradient of a parameter ``W`` is in the attribute ``dW``.
    reference : callable
        Returns the reference.
    declared : mapping of str to object
        What else is declared of the pair: shapes, inputs.
    params : mapping of str to str
        For each parameter, its name and layout in the reference.
    arguments : tuple
        The arguments of the class.
    """

    layer: type
    reference: Callable[[], Any]
    declared: Mapping[str, Any]
    params: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()

    def pair(self, layer: type) -> Pair:
        """Return an edited class, or the right one, beside the reference."""
        adapter = Layer(layer(*self.arguments), {name: f"d{name}" for name in self.params})
        return Pair(adapter, self.reference(), params=self.params, name=self.layer.__name__, **self.declared)


class SelfAttention(nn.Module):  # type: ignore[misc]
    """PyTorch's attention in several heads, of one input."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        of = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.in_proj_weight, self.in_proj_bias, self.out_proj = of.in_proj_weight, of.in_proj_bias, nn.Linear(dim, dim)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, dim = x.shape
        qkv = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (part.reshape(n, length, self.heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, dim)
        return self.out_proj(mixed)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """Return log(1 + exp(x)). PyTorch's own function returns x itself above 20."""
    return -functional.logsigmoid(-x)


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return PyTorch's attention in which no place looks ahead."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


LAYERS: dict[str, Row] = {
    "dense": Row(tables.Dense, lambda: nn.Linear(4, 4), {"shapes": [(3, 4)]}, {"W": "weight: i o -> o i", "b": "bias"}, (4, 4)),
    "ReLU": Row(activations.ReLU, nn.ReLU, ROWS),
    "leaky ReLU": Row(activations.LeakyReLU, lambda: nn.LeakyReLU(0.1), ROWS),
    "sigmoid": Row(activations.Sigmoid, nn.Sigmoid, ROWS),
    "tanh": Row(activations.Tanh, nn.Tanh, ROWS),
    "GELU": Row(activations.GELU, lambda: nn.GELU("tanh"), ROWS),
    "softplus": Row(activations.Softplus, lambda: softplus, ROWS),
    "SiLU": Row(activations.SiLU, nn.SiLU, ROWS),
    "softmax": Row(classifiers.Softmax, lambda: nn.Softmax(dim=1), ROWS),
    "log-softmax": Row(classifiers.LogSoftmax, lambda: nn.LogSoftmax(dim=1), ROWS),
    "cross-entropy": Row(classifiers.CrossEntropy, nn.CrossEntropyLoss, {"inputs": {"x": (4, 5), "labels": Labels((4,), below=5)}}),
    "MSE": Row(losses.MSE, nn.MSELoss, BOTH),
    "Huber": Row(losses.Huber, lambda: nn.HuberLoss(delta=0.5), BOTH),
    "BCE with logits": Row(losses.BCEWithLogits, nn.BCEWithLogitsLoss, SHARES),
    "layer norm": Row(normalization.LayerNorm, lambda: nn.LayerNorm(6), {"shapes": TOKENS}, AFFINE, (6,)),
    "RMS norm": Row(normalization.RMSNorm, lambda: nn.RMSNorm(6, eps=1e-5), {"shapes": TOKENS}, {"gamma": "weight"}, (6,)),
    "batch norm": Row(normalization.BatchNorm, lambda: nn.BatchNorm2d(4), {"shapes": [(3, 4, 2, 3)]}, BY_CHANNEL, (4,)),
    "group norm": Row(normalization.GroupNorm, lambda: nn.GroupNorm(2, 4), {"shapes": [(2, 4, 3, 2)]}, AFFINE, (2, 4)),
    "conv2d": Row(
        images.Conv2d,
        lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1),
        {"shapes": [(2, 2, 5, 6)]},
        {"W": "weight", "b": "bias"},
        (2, 4, 3, 2, 1),
    ),
    "max pool": Row(images.MaxPool, lambda: nn.MaxPool2d(2), {"shapes": IMAGES}),
    "average pool": Row(images.AvgPool, lambda: nn.AvgPool2d(3, stride=2), {"shapes": IMAGES}),
    "embedding": Row(
        tables.Embedding,
        lambda: nn.Embedding(7, 4),
        {"inputs": {"ids": Integers("batch time", below=7)}, "sizes": {"batch": 3, "time": 5}},
        {"W": "weight"},
        (7, 4),
    ),
    "RNN": Row(recurrent.RNN, lambda: nn.RNN(3, 4, batch_first=True), {"shapes": [(2, 4, 3)]}, CELLS, (3, 4)),
    "GRU": Row(recurrent.GRU, lambda: nn.GRU(3, 4, batch_first=True), {"shapes": [(2, 4, 3)]}, CELLS, (3, 4)),
    "LSTM": Row(recurrent.LSTM, lambda: nn.LSTM(3, 4, batch_first=True), {"shapes": [(2, 4, 3)]}, CELLS, (3, 4)),
    "causal attention": Row(
        attention.CausalAttention,
        lambda: causal,
        {"inputs": dict.fromkeys("qkv", "batch length dim"), "sizes": {"batch": 2, "length": 4, "dim": 3}},
    ),
    "attention in heads": Row(attention.MultiHeadAttention, lambda: SelfAttention(6, 2), {"shapes": [(2, 4, 6)]}, HEADS, (6, 2)),
}
"""The layers by name."""
