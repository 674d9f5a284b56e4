"""Right layers in the conventions of hand-written code, each beside its reference. The tests execute this file with one line of it changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

import crosscheck
from crosscheck.core.precision import Array


def _windows(x: Array, kernel: tuple[int, ...], stride: int) -> Any:
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(-2, -1))
    return view[..., ::stride, ::stride, :, :]


class Conv:
    """Convolution over a batch; parameters and gradients in dicts."""

    def __init__(self, channels: int, filters: int, kernel: int) -> None:
        self.kernel = kernel
        rng = np.random.default_rng(0)
        self.params = {"weight": rng.standard_normal((filters, channels, kernel, kernel)), "bias": rng.standard_normal(filters)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        self.x = x
        windows = _windows(x, (self.kernel, self.kernel), 1)
        out = np.einsum("bchwuv,ocuv->bohw", windows, self.params["weight"])
        return np.asarray(out + self.params["bias"][:, None, None])

    def backward(self, grad_output: Array) -> Array:
        windows = _windows(self.x, (self.kernel, self.kernel), 1)
        self.grads["weight"] = np.einsum("bchwuv,bohw->ocuv", windows, grad_output)
        self.grads["bias"] = grad_output.sum(axis=(0, 2, 3))
        height, width = grad_output.shape[2:]
        grad_input = np.zeros_like(self.x)
        for u in range(self.kernel):
            for v in range(self.kernel):
                grad_input[:, :, u : u + height, v : v + width] += np.einsum("bohw,oc->bchw", grad_output, self.params["weight"][:, :, u, v])
        return grad_input


def conv_forward(x: Array, w: Array, b: Array, stride: int) -> tuple[Array, Any]:
    """Return a convolution with a stride, and its cache."""
    out = np.einsum("bchwuv,ocuv->bohw", _windows(x, w.shape[2:], stride), w) + b[None, :, None, None]
    return out, (x, w, stride)


def conv_backward(dout: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Return the gradients of a convolution with a stride."""
    x, w, stride = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = slice(i * stride, i * stride + w.shape[2]), slice(j * stride, j * stride + w.shape[3])
            dw += np.einsum("bcuv,bo->ocuv", x[:, :, rows, columns], dout[:, :, i, j])
            dx[:, :, rows, columns] += np.einsum("bo,ocuv->bcuv", dout[:, :, i, j], w)
    return dx, dw, dout.sum(axis=(0, 2, 3))


class Conv3x3:
    """One image at a time, channels last; updates inside the backward pass and stores no gradient."""

    def __init__(self, filters: int) -> None:
        self.filters = np.random.default_rng(0).standard_normal((filters, 3, 3)) / 9

    def forward(self, image: Array) -> Array:
        self.image = image
        height, width = image.shape[0] - 2, image.shape[1] - 2
        out = np.zeros((height, width, len(self.filters)), image.dtype)
        for row in range(height):
            for column in range(width):
                out[row, column] = np.sum(image[row : row + 3, column : column + 3] * self.filters, axis=(1, 2))
        return out

    def backprop(self, d_out: Array, learn_rate: float) -> None:
        d_filters = np.zeros_like(self.filters)
        height, width, filters = d_out.shape
        for row in range(height):
            for column in range(width):
                for k in range(filters):
                    d_filters[k] += d_out[row, column, k] * self.image[row : row + 3, column : column + 3]
        self.filters -= learn_rate * d_filters


class Pool:
    """Max pooling in windows of 2x2 that tells the first of equal values from the others."""

    def forward(self, x: Array) -> Array:
        self.x = x
        height, width = x.shape[2] // 2, x.shape[3] // 2
        self.windows = _windows(x, (2, 2), 2)[:, :, :height, :width].reshape(*x.shape[:2], height, width, 4)
        return np.asarray(self.windows.max(axis=-1))

    def backward(self, grad_output: Array) -> Array:
        grad_input = np.zeros_like(self.x)
        winners = self.windows.argmax(axis=-1)
        for index in np.ndindex(*grad_output.shape):
            sample, channel, row, column = index
            winner = int(winners[index])
            grad_input[sample, channel, 2 * row + winner // 2, 2 * column + winner % 2] = grad_output[index]
        return grad_input


class Relu:
    """The positive part."""

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self.mask


class Linear:
    """A fully connected layer; parameters and gradients in attributes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        rng = np.random.default_rng(0)
        self.W, self.b = rng.standard_normal((inputs, outputs)), rng.standard_normal(outputs)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Array) -> Array:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


def cross_entropy(logits: Array, labels: Any) -> tuple[Any, Array]:
    """Return softmax and cross-entropy, the mean over the batch, and its gradient."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = (np.log(sums[:, 0]) - shifted[rows, labels]).mean()
    grad = np.exp(shifted) / sums
    grad[rows, labels] -= 1
    return loss, grad / len(labels)


def cross_entropy_of_one(logits: Array, label: int) -> tuple[Any, Array]:
    """Return the same for one sample."""
    shifted = logits - logits.max()
    total = np.exp(shifted).sum()
    grad = np.exp(shifted) / total
    loss = np.log(total) - shifted[label]
    grad[label] -= 1
    return loss, grad


ONE_IMAGE = "h w -> 1 1 h w"
PAIRS = [
    crosscheck.Pair(Conv(2, 3, 3), nn.Conv2d(2, 3, 3), [(3, 2, 7, 6)], {"weight": "weight", "bias": "bias"}, name="conv"),
    crosscheck.Pair(
        crosscheck.Functions(conv_forward, conv_backward, extra=(2,)),
        nn.Conv2d(3, 4, 3, stride=2),
        [(2, 3, 8, 7)],
        {"w": "weight", "b": "bias"},
        name="conv-functions",
    ),
    crosscheck.Pair(
        crosscheck.Updating(Conv3x3(8), "filters"),
        nn.Conv2d(1, 8, 3, bias=False),
        [(2, 1, 12, 12)],
        {"filters": "weight: f kh kw -> f 1 kh kw"},
        ONE_IMAGE,
        "h w f -> 1 f h w",
        name="conv-updating",
    ),
    crosscheck.Pair(Pool(), nn.MaxPool2d(2), [(3, 2, 8, 6)], name="pool"),
    crosscheck.Pair(Relu(), nn.ReLU(), [(3, 2, 4, 5)], name="relu"),
    crosscheck.Pair(
        crosscheck.Attributes(Linear(12, 7), ("W", "b")), nn.Linear(12, 7), [(5, 12)], {"W": "weight: i o -> o i", "b": "bias"}, name="linear"
    ),
    crosscheck.Pair(crosscheck.LossFunction(cross_entropy), nn.CrossEntropyLoss(), [(4, 10)], name="loss"),
    crosscheck.Pair(crosscheck.LossFunction(cross_entropy_of_one, one_sample=True), nn.CrossEntropyLoss(), [(4, 10)], name="loss-of-one"),
]
