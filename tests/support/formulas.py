"""Right formulas in NumPy, as functions of arrays, and batch normalisation with its usual faults; pairs of them with references."""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
from torch import nn

from crosscheck import Functions, Pair
from crosscheck.core.precision import Array

EPS = 1e-5


def elementwise(forward: Callable[[Array], Array], backward: Callable[[Array, Array], Array]) -> Functions:
    """Return a subject without parameters whose backward pass gets the cotangent and the input."""
    return Functions(lambda x: (forward(x), x), backward)


def sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def by_jacobian(grad: Array, x: Array) -> Array:
    return np.stack([(np.diag(p) - np.outer(p, p)) @ g for p, g in zip(softmax(x), grad, strict=True)])


def log_softmax(x: Array) -> Array:
    depths = x - x.max(axis=1, keepdims=True)
    return np.asarray(depths - np.log(np.exp(depths).sum(axis=1, keepdims=True)))


def normal_cdf(x: Array) -> Array:
    return (1 + np.array([erf(value) for value in (x / x.dtype.type(np.sqrt(2))).ravel()], x.dtype).reshape(x.shape)) / 2


def gelu_slope(x: Array) -> Array:
    return normal_cdf(x) + x * np.exp(-x * x / 2) / x.dtype.type(np.sqrt(2 * np.pi))


def layer_norm(x: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + x.dtype.type(EPS)))


def layer_norm_backward(grad: Array, x: Array) -> Array:
    std = np.sqrt(x.var(axis=1, keepdims=True) + x.dtype.type(EPS))
    hat = (x - x.mean(axis=1, keepdims=True)) / std
    return np.asarray((grad - grad.mean(axis=1, keepdims=True) - hat * (grad * hat).mean(axis=1, keepdims=True)) / std)


def cross_entropy(x: Array, labels: Any) -> tuple[Array, Array]:
    rows = np.arange(len(x))
    slope = softmax(x)
    slope[rows, labels] -= 1
    return -log_softmax(x)[rows, labels].mean(), slope / x.dtype.type(len(x))


def batch_norm(x: Array, gamma: Array, beta: Array, fault: str = "") -> tuple[Array, Any]:
    centred = x - x.mean(axis=0)
    var = (centred**2).sum(axis=0) / (len(x) - (fault == "unbiased"))
    eps = x.dtype.type(EPS)
    std = np.sqrt(var) + eps if fault == "eps outside" else np.sqrt(var + eps)
    return gamma * (centred / std) + beta, (centred, std, gamma)


def compactly(grad: Array, cache: Any, fault: str = "") -> tuple[Array, Array, Array]:
    centred, std, gamma = cache
    hat, count = centred / std, len(grad)
    grad_gamma, grad_beta = (grad * hat).sum(axis=0), grad.sum(axis=0)
    through_mean = 0 if fault == "mean term missing" else grad_beta
    result = gamma / std / count * (count * grad - through_mean - hat * grad_gamma)
    relative = {"float64": 1e-9, "float32": 1e-3}[str(grad.dtype)] if fault == "relative" else 0.0
    return result * grad.dtype.type(1 + relative), grad_gamma, grad_beta


def step_by_step(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    centred, std, gamma = cache
    grad_hat = grad * gamma
    grad_var = (grad_hat * centred * -0.5 / std**3).sum(axis=0)
    grad_mean = -(grad_hat / std).sum(axis=0) + grad_var * (-2 * centred).mean(axis=0)
    grad_input = grad_hat / std + grad_var * 2 * centred / len(grad) + grad_mean / len(grad)
    return grad_input, (grad * (centred / std)).sum(axis=0), grad.sum(axis=0)


def linear(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    return x @ w + b, (x, w)


def linear_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    x, w = cache
    return grad @ w.T, x.T @ grad, grad.sum(axis=0)


def linear_tanh(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    output = np.tanh(x @ w + b)
    return output, (x, w, output)


def linear_tanh_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    x, w, output = cache
    return linear_backward(grad * (1 - output) * (1 + output), (x, w))


def batch_norm_pair(way: Any = compactly, fault: str = "") -> Pair:
    names = {"gamma": "weight", "beta": "bias"}

    def forward(x: Array, gamma: Array, beta: Array) -> tuple[Array, Any]:
        return batch_norm(x, gamma, beta, fault)

    def backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
        return step_by_step(grad, cache) if way is step_by_step else compactly(grad, cache, fault)

    return Pair(Functions(forward, backward), nn.BatchNorm1d(4), shapes=[(6, 4)], params=names, name=f"batch norm {fault}")


def without_params(forward: Any, backward: Any, reference: Any) -> Pair:
    return Pair(elementwise(forward, backward), reference, shapes=[(5, 4)], name="elementwise")
