"""Hand-written layers that have no reference: right ones, and the pieces that wrong ones are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention
from crosscheck.adapters.functions import Functions, LossFunction
from crosscheck.pairs.pair import Pair

Array = Any


@dataclass(frozen=True)
class Layer:
    """A layer as two functions, the shapes of its input and its parameters."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    shape: tuple[int, ...]
    params: dict[str, tuple[int, ...]]
    one_sample: bool = False

    def pair(self, backward: Callable[..., Any] | None = None, forward: Callable[..., Any] | None = None) -> Pair:
        """Return the pair without a reference, perhaps with another pass of either kind."""
        convention: Convention = Functions(forward or self.forward, backward or self.backward, one_sample=self.one_sample)
        return Pair(convention, None, [self.shape], param_shapes=self.params, name="layer")


def linear(x: Array, weight: Array, bias: Array) -> Any:
    return x @ weight + bias, (x, weight)


def linear_backward(grad: Array, cache: Any) -> Any:
    x, weight = cache
    return grad @ weight.T, x.T @ grad, grad.sum(axis=0)


def one_linear(x: Array, w: Array, b: Array) -> Any:
    return x @ w + b, (x, w)


def one_linear_backward(grad: Array, cache: Any) -> Any:
    x, w = cache
    return w @ grad, np.outer(x, grad), grad


def conv(x: Array, w: Array) -> Any:
    out = np.zeros((x.shape[0] - 2, x.shape[1] - 2, len(w)))
    for i, j in np.ndindex(*out.shape[:2]):
        out[i, j] = np.sum(x[i : i + 3, j : j + 3] * w, axis=(1, 2))
    return out, (x, w)


def conv_backward(grad: Array, cache: Any) -> Any:
    x, w = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(*grad.shape[:2]):
        dx[i : i + 3, j : j + 3] += np.tensordot(grad[i, j], w, 1)
        dw += grad[i, j][:, None, None] * x[i : i + 3, j : j + 3]
    return dx, dw


def elementwise(function: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Layer:
    def forward(x: Array) -> Any:
        return function(x), x

    def backward(grad: Array, x: Array) -> Any:
        return (grad * derivative(x),)

    return Layer(forward, backward, (3, 7), {})


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _windows(x: Array) -> Array:
    batch, height, width = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2).transpose(0, 1, 3, 2, 4).reshape(batch, height // 2, width // 2, 4)


def pool(x: Array) -> Any:
    return _windows(x).max(axis=-1), x


def pool_backward(rule: str) -> Callable[[Array, Array], Any]:
    def backward(grad: Array, x: Array) -> Any:
        windows = _windows(x)
        tied = windows == windows.max(axis=-1, keepdims=True)
        shares = {
            "first": np.arange(4) == windows.argmax(axis=-1)[..., None],
            "last": np.arange(4) == 3 - windows[..., ::-1].argmax(axis=-1)[..., None],
            "split": tied / tied.sum(axis=-1, keepdims=True),
            "all": tied,
        }
        batch, height, width = x.shape
        parts = (shares[rule] * grad[..., None]).reshape(batch, height // 2, width // 2, 2, 2)
        return (parts.transpose(0, 1, 3, 2, 4).reshape(x.shape),)

    return backward


def logsumexp(x: Array) -> Any:
    largest = x.max(axis=1, keepdims=True)
    powers = np.exp(x - largest)
    total = powers.sum(axis=1, keepdims=True)
    return (largest + np.log(total))[:, 0], powers / total


def product(x: Array) -> Any:
    return np.prod(x, axis=1), x


def product_backward(grad: Array, x: Array) -> Any:
    return (grad[:, None] * np.stack([np.prod(np.delete(x, i, axis=1), axis=1) for i in range(x.shape[1])], axis=1),)


def deep(x: Array, v: Array, w: Array, u: Array) -> Any:
    first = np.tanh(x @ v)
    second = first @ w
    kept = np.maximum(second, 0)
    return kept @ u, (x, v, w, u, first, second, kept)


def deep_backward(grad: Array, cache: Any) -> Any:
    x, v, w, u, first, second, kept = cache
    grad_second = grad @ u.T * (second > 0)
    grad_first = grad_second @ w.T * (1 - first**2)
    return grad_first @ v.T, x.T @ grad_first, first.T @ grad_second, kept.T @ grad


def convnet(x: Array, w: Array, v: Array) -> Any:
    maps, cache = conv(x, w)
    pooled, before = pool(maps.transpose(2, 0, 1))
    return pooled.ravel() @ v, (cache, before, pooled, v)


def convnet_backward(grad: Array, cache: Any) -> Any:
    inner, before, pooled, v = cache
    (grad_maps,) = pool_backward("first")((v @ grad).reshape(pooled.shape), before)
    return *conv_backward(grad_maps.transpose(1, 2, 0), inner), np.outer(pooled.ravel(), grad)


def cross_entropy(x: Array, labels: Array) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    grad = np.exp(shifted) / total
    grad[rows, labels] -= 1
    return np.mean(np.log(total[:, 0]) - shifted[rows, labels]), grad / len(x)


LAYERS: dict[str, Layer] = {
    "linear": Layer(linear, linear_backward, (3, 6), {"weight": (6, 6), "bias": (6,)}),
    "linear-large": Layer(linear, linear_backward, (25, 40), {"weight": (40, 25), "bias": (25,)}),
    "linear-one-sample": Layer(one_linear, one_linear_backward, (3, 5), {"w": (5, 4), "b": (4,)}, one_sample=True),
    "conv": Layer(conv, conv_backward, (2, 5, 6), {"w": (2, 3, 3)}, one_sample=True),
    "relu": elementwise(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "relu-half": elementwise(lambda x: np.maximum(x, 0), lambda x: (np.sign(x) + 1) / 2),
    "tanh": elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": elementwise(sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "square": elementwise(np.square, lambda x: 2 * x),
    "sqrt": elementwise(lambda x: np.sqrt(x**2 + 1e-8), lambda x: x / np.sqrt(x**2 + 1e-8)),
    "pool-first": Layer(pool, pool_backward("first"), (2, 6, 4), {}),
    "pool-last": Layer(pool, pool_backward("last"), (2, 6, 4), {}),
    "pool-split": Layer(pool, pool_backward("split"), (2, 6, 4), {}),
    "logsumexp": Layer(logsumexp, lambda grad, shares: (grad[:, None] * shares,), (3, 5), {}),
    "product": Layer(product, product_backward, (3, 5), {}),
    "deep": Layer(deep, deep_backward, (3, 6), {"v": (6, 5), "w": (5, 4), "u": (4, 3)}),
    "convnet": Layer(convnet, convnet_backward, (1, 6, 6), {"w": (2, 3, 3), "v": (8, 3)}, one_sample=True),
}


def pair_of(name: str) -> Pair:
    """Return a right layer, or the loss, without a reference."""
    if name == "cross-entropy":
        return Pair(LossFunction(cross_entropy), None, [(3, 5), (1, 5)], labels=True)
    return LAYERS[name].pair()


RIGHT = [*LAYERS, "cross-entropy"]
