"""Thirty comparisons such as public test suites make in float32: right NumPy code that takes another way than PyTorch's kernels.

What is right here is the mathematics: sums are added in another order, blocks are put together, a formula is another one of equal accuracy. None
loses digits that the reference keeps, as a variance computed as a difference of two large numbers does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.nn import functional

from crosscheck.core.precision import Array

Inputs = Sequence[Any]
Draw = Callable[[np.random.Generator], Inputs]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a test suite."""

    way: str  # what the code does otherwise than PyTorch's kernel
    actual: Callable[..., Array]  # the code under test: gets float32 and returns float32
    reference: Callable[..., torch.Tensor]  # the same in PyTorch
    draw: Draw  # draws the inputs, in float64 where they are real

    def inputs(self, seed: int) -> list[Any]:
        """Return the inputs for a seed: real numbers in float32, labels as whole numbers."""
        drawn = self.draw(np.random.default_rng(seed))
        return [one.astype(np.float32) if one.dtype == np.float64 else one for one in map(np.asarray, drawn)]


def normal(*shapes: tuple[int, ...], scale: float = 1.0) -> Draw:
    """Return what draws arrays of normal numbers, one of each shape."""
    return lambda rng: [scale * rng.standard_normal(shape) for shape in shapes]


def uniform(*shapes: tuple[int, ...]) -> Draw:
    """Return what draws arrays of numbers between 0 and 1, as images and activations are."""
    return lambda rng: [rng.random(shape) for shape in shapes]


def whole_numbers(below: int, *shape: int) -> Draw:
    """Return what draws an array of whole numbers from 0 on, stored as real ones."""
    return lambda rng: [rng.integers(0, below, shape).astype(np.float64)]


def then(first: Draw, second: Draw) -> Draw:
    """Return what draws one list after another."""
    return lambda rng: [*first(rng), *second(rng)]


def labels(classes: int, *shape: int) -> Draw:
    """Return what draws class labels."""
    return lambda rng: [rng.integers(0, classes, shape)]


def blocked_product(a: Array, b: Array, block: int = 32) -> Array:
    """Return A B, added up over blocks of the inner axis."""
    total = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for start in range(0, a.shape[-1], block):
        total += a[..., start : start + block] @ b[..., start : start + block, :]
    return total


def one_after_another(terms: Array) -> Array:
    """Return the sums over the last axis, from the first term to the last."""
    total = np.zeros(terms.shape[:-1], terms.dtype)
    for place in range(terms.shape[-1]):
        total += terms[..., place]
    return total


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Return bias + x W', the bias first."""
    return bias + blocked_product(x, weight.T, 16)


def by_columns(x: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 0) -> Array:
    """Return a convolution as one product of matrices."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    rows, columns = windows.shape[2:4]
    flat = windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x) * rows * columns, -1)
    product = flat @ weight.reshape(len(weight), -1).T + bias
    return np.ascontiguousarray(product.reshape(len(x), rows, columns, -1).transpose(0, 3, 1, 2))


def by_offsets(x: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 0) -> Array:
    """Return a convolution as a sum over the kernel's elements."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = weight.shape[2:]
    rows, columns = (x.shape[2] - height) // stride + 1, (x.shape[3] - width) // stride + 1
    total = np.zeros((len(x), len(weight), rows, columns), x.dtype) + bias[:, None, None]
    for u, v in np.ndindex(height, width):
        part = x[:, :, u : u + stride * rows : stride, v : v + stride * columns : stride]
        total += np.einsum("nchw,fc->nfhw", part, weight[:, :, u, v])
    return total


def along_time(x: Array, weight: Array) -> Array:
    """Return a one-dimensional convolution, one tap after another."""
    steps = x.shape[2] - weight.shape[2] + 1
    return sum((np.einsum("nct,fc->nft", x[:, :, k : k + steps], weight[:, :, k]) for k in range(weight.shape[2])), np.zeros((), x.dtype))


def each_channel(x: Array, weight: Array) -> Array:
    """Return a convolution of each channel with a kernel of its own."""
    rows, columns = x.shape[2] - weight.shape[2] + 1, x.shape[3] - weight.shape[3] + 1
    total = np.zeros((*x.shape[:2], rows, columns), x.dtype)
    for u, v in np.ndindex(*weight.shape[2:]):
        total += x[:, :, u : u + rows, v : v + columns] * weight[:, 0, u, v, None, None]
    return total


def spread(x: Array, weight: Array, stride: int = 2) -> Array:
    """Return a transposed convolution: each number spreads a kernel over the output."""
    height, width = weight.shape[2:]
    rows, columns = x.shape[2:]
    total = np.zeros((len(x), weight.shape[1], stride * (rows - 1) + height, stride * (columns - 1) + width), x.dtype)
    for i, j in np.ndindex(rows, columns):
        total[:, :, stride * i : stride * i + height, stride * j : stride * j + width] += np.einsum("nc,cfuv->nfuv", x[:, :, i, j], weight)
    return total


def online_attention(query: Array, key: Array, value: Array, block: int = 16, causal: bool = False) -> Array:
    """Return attention over blocks of keys, the maximum and the sum carried on (Milakov and Gimelshein, 2018; Dao et al., 2022)."""
    query = query * query.dtype.type(1 / math.sqrt(query.shape[-1]))
    largest = np.full((*query.shape[:-1], 1), -np.inf, query.dtype)
    total, weighted = np.zeros_like(largest), np.zeros((*query.shape[:-1], value.shape[-1]), query.dtype)
    for start in range(0, key.shape[-2], block):
        scores = query @ key[..., start : start + block, :].swapaxes(-1, -2)
        if causal:
            later = np.arange(start, start + scores.shape[-1]) > np.arange(scores.shape[-2])[:, None]
            scores = np.where(later, -np.inf, scores).astype(query.dtype)
        now = np.maximum(largest, scores.max(axis=-1, keepdims=True))
        before, weights = np.exp(largest - now), np.exp(scores - now)
        total = total * before + weights.sum(axis=-1, keepdims=True)
        weighted = weighted * before + weights @ value[..., start : start + block, :]
        largest = now
    return weighted / total


def standardised(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    """Return the numbers less their mean, divided by the root of their variance, all sums from the first term to the last."""
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    flat = x.transpose(*rest, *axes).reshape(*(x.shape[axis] for axis in rest), -1)
    count = x.dtype.type(flat.shape[-1])
    centred = flat - (one_after_another(flat) / count)[..., None]
    variance = one_after_another(np.square(centred)) / count
    done = centred / np.sqrt(variance + x.dtype.type(eps))[..., None]
    back = np.argsort([*rest, *axes])
    return np.asarray(done.reshape(*(x.shape[axis] for axis in (*rest, *axes))).transpose(*back))


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """Return layer normalisation over the last axis."""
    return standardised(x, (x.ndim - 1,)) * weight + bias


def batch_norm(x: Array, weight: Array, bias: Array) -> Array:
    """Return batch normalisation in training."""
    return standardised(x, (0, 2, 3)) * weight[:, None, None] + bias[:, None, None]


def group_norm(x: Array, weight: Array, bias: Array, groups: int = 2) -> Array:
    """Return group normalisation."""
    apart = x.reshape(len(x), groups, -1, *x.shape[2:])
    return standardised(apart, (2, 3, 4)).reshape(x.shape) * weight[:, None, None] + bias[:, None, None]


def rms_norm(x: Array, weight: Array) -> Array:
    """Return the numbers divided by their root mean square."""
    mean = one_after_another(np.square(x)) / x.dtype.type(x.shape[-1])
    return x / np.sqrt(mean + x.dtype.type(1e-5))[..., None] * weight


def softmax(x: Array) -> Array:
    """Return exponentials of the differences to the maximum, over their sum, added from the first to the last."""
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / one_after_another(exponentials)[..., None])


def log_sum(x: Array) -> Array:
    """Return the logarithm of the sum of exponentials, as a fold of logaddexp."""
    return np.asarray(np.logaddexp.reduce(x, axis=-1))


def log_softmax(x: Array) -> Array:
    """Return each number less the logarithm of the sum of exponentials."""
    return x - log_sum(x)[..., None]


def cross_entropy(logits: Array, classes: Any) -> Array:
    """Return the mean of log-sum-exp less the label's logit."""
    losses = log_sum(logits) - logits[np.arange(len(logits)), classes]
    return np.asarray(one_after_another(losses) / logits.dtype.type(len(logits)))


def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """Return the mean of log(1 + exp(x)) - x t."""
    losses = np.logaddexp(logits, logits.dtype.type(0)) - logits * target
    return np.asarray(one_after_another(losses.ravel()) / logits.dtype.type(losses.size))


def squared_error(x: Array, target: Array) -> Array:
    """Return the mean of the squares of the differences, row by row."""
    return one_after_another(one_after_another(np.square(x - target))) / x.dtype.type(x.size)


def doubled_sums(x: Array) -> Array:
    """Return prefix sums by doubling."""
    before = 1
    while before < x.shape[-1]:
        x = np.concatenate([x[..., :before], x[..., before:] + x[..., :-before]], axis=-1)
        before *= 2
    return x


def variance(x: Array) -> Array:
    """Return the unbiased variance of rows."""
    count = x.dtype.type(x.shape[-1])
    centred = x - (one_after_another(x) / count)[..., None]
    return one_after_another(np.square(centred)) / (count - 1)


def gelu(x: Array) -> Array:
    """Return the approximation of GELU, tanh written as a sigmoid."""
    inner = x.dtype.type(2 * math.sqrt(2 / math.pi)) * (x + x.dtype.type(0.044715) * x * x * x)
    return x * sigmoid(inner)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without an overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, x.dtype.type(1), small) / (1 + small))


def gated(x: Array, gate: Array, up: Array, down: Array) -> Array:
    """Return (silu(x G) * x U) D, each product over blocks (Shazeer, 2020)."""
    opened = blocked_product(x, gate)
    return blocked_product(opened * sigmoid(opened) * blocked_product(x, up), down)


def torch_gated(x: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Return the same in PyTorch."""
    return functional.silu(x @ gate) * (x @ up) @ down


def recurrent(x: Array, by_input: Array, by_state: Array) -> Array:
    """Return the last state of h' = tanh(x W + h U), both in one product of what is put side by side."""
    state, both = np.zeros((len(x), by_state.shape[0]), x.dtype), np.concatenate([by_state, by_input])
    for step in range(x.shape[1]):
        state = np.tanh(np.concatenate([state, x[:, step]], axis=1) @ both)
    return state


def torch_recurrent(x: torch.Tensor, by_input: torch.Tensor, by_state: torch.Tensor) -> torch.Tensor:
    """Return the same in PyTorch."""
    state = torch.zeros(len(x), by_state.shape[0], dtype=x.dtype)
    for step in range(x.shape[1]):
        state = torch.tanh(x[:, step] @ by_input + state @ by_state)
    return state


def cosine(a: Array, b: Array) -> Array:
    """Return the cosine of the angle between rows."""
    lengths = np.sqrt(one_after_another(np.square(a)) * one_after_another(np.square(b)))
    return one_after_another(a * b) / lengths


CONV, HEADS = ((2, 8, 12, 12), (6, 8, 3, 3), (6,)), ((1, 2, 24, 16), (1, 2, 40, 16), (1, 2, 40, 16))

COMPARISONS: dict[str, Comparison] = {
    "matrix product, 256 terms": Comparison("blocks of 32 terms", blocked_product, torch.matmul, normal((16, 256), (256, 16))),
    "matrix product, 4,096 terms": Comparison("blocks of 32 terms", blocked_product, torch.matmul, normal((4, 4096), (4096, 4))),
    "matrix product of positive numbers": Comparison("blocks of 32 terms", blocked_product, torch.matmul, uniform((16, 512), (512, 16))),
    "batched matrix product": Comparison("blocks of 32 terms", blocked_product, torch.bmm, normal((4, 16, 64), (4, 64, 16))),
    "linear layer of images from 0 to 255": Comparison(
        "bias first, blocks of 16 terms", linear, functional.linear, then(whole_numbers(256, 8, 784), normal((16, 784), (16,)))
    ),
    "convolution 3x3": Comparison("one product of matrices", by_columns, functional.conv2d, normal(*CONV)),
    "convolution 3x3 of images from 0 to 255": Comparison(
        "kernel elements one after another", by_offsets, functional.conv2d, then(whole_numbers(256, *CONV[0]), normal(*CONV[1:]))
    ),
    "convolution, stride 2, padding 1": Comparison(
        "kernel elements one after another",
        lambda x, weight, bias: by_offsets(x, weight, bias, 2, 1),
        lambda x, weight, bias: functional.conv2d(x, weight, bias, 2, 1),
        normal(*CONV),
    ),
    "convolution over time": Comparison("taps one after another", along_time, functional.conv1d, normal((2, 16, 40), (8, 16, 5))),
    "depthwise convolution": Comparison(
        "kernel elements one after another", each_channel, lambda x, weight: functional.conv2d(x, weight, groups=8), normal(CONV[0], (8, 1, 3, 3))
    ),
    "transposed convolution": Comparison(
        "pixels one after another", spread, lambda x, weight: functional.conv_transpose2d(x, weight, stride=2), normal((2, 8, 6, 6), (8, 4, 3, 3))
    ),
    "attention": Comparison("blocks of 16 keys", online_attention, functional.scaled_dot_product_attention, normal(*HEADS)),
    "causal attention": Comparison(
        "blocks of 16 keys",
        lambda query, key, value: online_attention(query, key, value, causal=True),
        lambda query, key, value: functional.scaled_dot_product_attention(query, key, value, is_causal=True),
        normal(*(HEADS[0],) * 3),
    ),
    "attention with large scores": Comparison(
        "blocks of 16 keys", online_attention, functional.scaled_dot_product_attention, then(normal(*HEADS[:2], scale=4.0), normal(HEADS[2]))
    ),
    "layer normalisation": Comparison(
        "sums from the first term to the last",
        layer_norm,
        lambda x, weight, bias: functional.layer_norm(x, (128,), weight, bias),
        normal((16, 128), (128,), (128,)),
    ),
    "layer normalisation of an offset": Comparison(
        "sums from the first term to the last",
        layer_norm,
        lambda x, weight, bias: functional.layer_norm(x, (128,), weight, bias),
        lambda rng: [10 + rng.standard_normal((16, 128)), rng.standard_normal(128), rng.standard_normal(128)],
    ),
    "root mean square normalisation": Comparison(
        "sums from the first term to the last",
        rms_norm,
        lambda x, weight: functional.rms_norm(x, (128,), weight, 1e-5),
        normal((16, 128), (128,)),
    ),
    "batch normalisation": Comparison(
        "sums from the first term to the last",
        batch_norm,
        lambda x, weight, bias: functional.batch_norm(x, None, None, weight, bias, training=True),
        normal((4, 6, 8, 8), (6,), (6,)),
    ),
    "group normalisation": Comparison(
        "sums from the first term to the last",
        group_norm,
        lambda x, weight, bias: functional.group_norm(x, 2, weight, bias),
        normal((4, 6, 8, 8), (6,), (6,)),
    ),
    "softmax": Comparison("sums from the first term to the last", softmax, lambda x: functional.softmax(x, -1), normal((16, 200), scale=3.0)),
    "logarithm of softmax": Comparison("a fold of logaddexp", log_softmax, lambda x: functional.log_softmax(x, -1), normal((16, 200), scale=3.0)),
    "cross-entropy": Comparison("a fold of logaddexp", cross_entropy, functional.cross_entropy, then(normal((64, 10)), labels(10, 64))),
    "binary cross-entropy": Comparison(
        "logaddexp", binary_cross_entropy, functional.binary_cross_entropy_with_logits, then(normal((64, 10)), uniform((64, 10)))
    ),
    "squared error": Comparison("rows one after another", squared_error, functional.mse_loss, normal((64, 32), (64, 32))),
    "cosine of rows": Comparison(
        "sums from the first term to the last", cosine, lambda a, b: functional.cosine_similarity(a, b, -1), normal((16, 100), (16, 100))
    ),
    "sum of 4,096 numbers": Comparison("from the first term to the last", one_after_another, lambda x: x.sum(-1), normal((8, 4096))),
    "prefix sums": Comparison("doubling", doubled_sums, lambda x: x.cumsum(-1), normal((8, 512))),
    "variance": Comparison("sums from the first term to the last", variance, lambda x: x.var(-1), lambda rng: [10 + rng.standard_normal((4, 1000))]),
    "gated layers": Comparison("blocks of 32 terms", gated, torch_gated, normal((8, 32), (32, 64), (32, 64), (64, 32))),
    "recurrent layer, 8 steps": Comparison(
        "both products in one", recurrent, torch_recurrent, then(normal((4, 8, 8)), normal((8, 16), (16, 16), scale=0.3))
    ),
}
"""By name: what is compared."""
