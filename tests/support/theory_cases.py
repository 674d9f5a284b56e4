"""Right and wrong implementations of layers in several forms, each a function of a call, for the tests of error theories."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array

Results = dict[str, Array]
Layer = Callable[[Call], Results]

EPS, MOMENTUM = 1e-5, 0.1


def elementwise(forward: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Layer:

    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        return {"output": np.asarray(forward(call.x)), "grad_input": np.asarray(call.grad_output * slope(call.x))}

    return layer


def sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def naive_sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[x.dtype])(x))


def erfc(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erfc, otypes=[x.dtype])(x))


def gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))


def gelu_by_erfc(x: Array) -> Array:
    return np.asarray(x * (0.5 * erfc(-x * math.sqrt(0.5))))


def density(x: Array) -> Array:
    return np.asarray(np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def gelu_slope(x: Array) -> Array:
    return np.asarray(0.5 * erfc(-x * math.sqrt(0.5)) + x * density(x))


def gelu_slope_by_erf(x: Array) -> Array:
    return np.asarray(0.5 * (1 + erf(x / math.sqrt(2))) + x * density(x))


def gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def gelu_tanh_slope(x: Array) -> Array:
    t = np.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x))
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return np.where(np.abs(x) < 32, slope, x > 0).astype(x.dtype)


def gelu_by_sigmoid(x: Array) -> Array:
    return np.asarray(x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def log_softmax(x: Array) -> Array:
    depths = x - x.max(axis=1, keepdims=True)
    return np.asarray(depths - np.log(np.exp(depths).sum(axis=1, keepdims=True)))


def log_softmax_by_maximum(x: Array) -> Array:
    largest = x.max(axis=1, keepdims=True)
    return np.asarray(x - (largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))))


def of_log_softmax(forward: Callable[[Array], Array], fault: str = "") -> Layer:
    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        output, g = forward(call.x), call.grad_output
        total = g.mean(axis=1, keepdims=True) if fault == "mean" else g.sum(axis=1, keepdims=True)
        return {"output": output, "grad_input": g - total if fault == "p left out" else g - np.exp(output) * total}

    return layer


def of_labels(fault: str = "", spread: bool = False) -> Layer:

    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        rows, labels, count = np.arange(len(call.x)), call.constants["labels"], len(call.x)
        if fault == "label off by one":
            labels = (labels + 1) % call.x.shape[1]
        grad = np.zeros_like(call.x)
        grad[rows, labels] = -call.grad_output * call.dtype.type(1 / count) if spread else -call.grad_output / call.dtype.type(count)
        if fault == "sum":
            grad *= call.dtype.type(count)
        return {"output": np.asarray(-call.x[rows, labels].mean()), "grad_input": grad}

    return layer


def squared_error(fault: str = "", spread: bool = False) -> Layer:
    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        distance = call.x - call.constants["labels"]
        count = len(distance) if fault == "mean of the batch alone" else distance.size
        loss = (distance**2 / call.dtype.type(count)).sum() if spread else (distance * distance).mean()
        factor = call.dtype.type(1 if fault == "two left out" else 2)
        grad = (factor / call.dtype.type(count)) * distance * call.grad_output if spread else call.grad_output * factor * distance / count
        return {"output": np.asarray(loss), "grad_input": np.asarray(grad, call.dtype)}

    return layer


def dropout(p: float, fault: str = "", reciprocal: bool = False) -> Layer:
    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        mask, dtype = call.constants["mask"], call.dtype.type
        kept = dtype(p if fault == "kept for dropped" else 1 - p)

        def scaled(x: Array) -> Array:
            return np.asarray(x * (mask * (dtype(1) / kept))) if reciprocal else np.where(mask, x / kept, dtype(0))

        grad = call.grad_output * mask if fault == "not scaled" else scaled(call.grad_output)
        return {"output": scaled(call.x), "grad_input": grad}

    return layer


def leaky(slope: float, fault: str = "", by_maximum: bool = False) -> Layer:
    def layer(call: Call) -> Results:
        assert call.grad_output is not None
        a = call.dtype.type(slope)
        output = np.maximum(call.x, a * call.x) if by_maximum else np.where(call.x > 0, call.x, a * call.x)
        below = {"slope left out": 0.0, "slope of one": 1.0}.get(fault, a)
        return {"output": output, "grad_input": call.grad_output * np.where(call.x > 0, 1, below).astype(call.dtype)}

    return layer


def _axes(call: Call) -> tuple[tuple[int, ...], Callable[[Array], Array]]:
    """Return the axes of batch and positions, and what gives a number of each channel a place beside them."""
    return (0, *range(2, call.x.ndim)), lambda value: value.reshape(1, -1, *[1] * (call.x.ndim - 2))


def batch_norm(way: str = "compact", fault: str = "", training: bool = True, eps: float = EPS) -> Layer:
    """Return batch normalisation: ``compact``, ``step by step``, with the variance's own derivative, or ``fused``, as x * scale + shift."""

    def layer(call: Call) -> Results:
        axes, wide = _axes(call)
        dtype = call.dtype.type
        count = call.x.size // call.x.shape[1]
        weight, bias = (wide(call.params[name]) for name in ("weight", "bias"))
        results: Results = {}
        if training:
            mean = call.x.mean(axis=axes, keepdims=True)
            var = np.square(call.x - mean).mean(axis=axes, keepdims=True)
            spread = var if fault == "biased running variance" else var * dtype(count / (count - 1))
            share = dtype(1 - MOMENTUM if fault == "momentum the other way round" else MOMENTUM)
            for name, value in {"running_mean": mean, "running_var": spread}.items():
                old = call.buffers[name]
                results[name] = old + share * (value.ravel() - old) if way == "fused" else (1 - share) * old + share * value.ravel()
            if fault == "unbiased variance":
                var = var * dtype(count / (count - 1))
        else:
            mean, var = (wide(call.buffers[name]) for name in ("running_mean", "running_var"))
            results = dict(call.buffers)
        std = np.sqrt(var) + dtype(eps) if fault == "eps outside" else np.sqrt(var + dtype(eps))
        centred = call.x - mean
        hat = centred / std
        output = call.x * (weight / std) + (bias - mean * (weight / std)) if way == "fused" else weight * hat + bias
        return {"output": output, **results, **_backward(call, weight, centred, std, way, fault, training)}

    return layer


def _backward(call: Call, weight: Array, centred: Array, std: Array, way: str, fault: str, training: bool) -> Results:
    assert call.grad_output is not None
    g, (axes, _) = call.grad_output, _axes(call)
    count = call.dtype.type(g.size // g.shape[1])
    hat = centred / std
    total = g.sum(axis=axes, keepdims=True)
    projection = (g * centred).sum(axis=axes, keepdims=True) / std if way == "fused" else (g * hat).sum(axis=axes, keepdims=True)
    if not training:
        grad = g * (weight / std)
    elif way == "step by step":
        grad_hat = g * weight
        grad_var = (grad_hat * centred * -0.5 * std**-3).sum(axis=axes, keepdims=True)
        grad_mean = (-grad_hat / std).sum(axis=axes, keepdims=True) + grad_var * (-2 * centred).mean(axis=axes, keepdims=True)
        grad = grad_hat / std + grad_var * 2 * centred / count + grad_mean / count
    elif way == "fused":
        inverse = 1 / std
        factor = (g * centred).sum(axis=axes, keepdims=True) * inverse * inverse / count
        grad = (g - total / count - centred * factor) * inverse * weight
    else:
        through_mean = 0 if fault == "mean term missing" else total
        through_variance = 0 if fault == "variance term missing" else hat * projection
        grad = weight / std / count * (count * g - through_mean - through_variance)
    if fault == "std for variance":
        grad = grad * std
    if fault == "weight's gradient without the mean":
        projection = (g * (call.x / std)).sum(axis=axes, keepdims=True)
    return {"grad_input": grad, "weight.grad": projection.ravel(), "bias.grad": total.ravel()}


def changed(layer: Layer, quantity: str, relative: float) -> Layer:
    """Return a layer one of whose quantities is off by a relative error."""

    def wrong(call: Call) -> Results:
        results = layer(call)
        return {**results, quantity: np.asarray(results[quantity] * call.dtype.type(1 + relative))}

    return wrong


def of_torch(reference: Any) -> Layer:
    result: Layer = reference.vjp
    return result
