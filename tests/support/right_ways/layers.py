"""The table of layers: what each computes, the oracle, the ways, the shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from crosscheck.core.inputs import Family
from crosscheck.core.operation import Call, Constants, Shape
from crosscheck.core.precision import Array
from crosscheck.references.pytorch.oracle import oracle
from tests.support.cases import classes, targets
from tests.support.right_ways import convolution, functions, linear, losses, normalisation, pooling
from tests.support.right_ways.frameworks import torch_ways
from tests.support.right_ways.task import LayerTask, Results, Way, cotangent
from tests.support.theory_kinds import dropped


def kept(rng: np.random.Generator, family: Family, x: Array) -> Constants:
    return {"mask": rng.random(x.shape) < 0.7}


def conv(name: str, windows: convolution.Windows, kernel: tuple[int, int], shapes: list[Shape]) -> LayerTask:
    module = nn.Conv2d(2, 3, kernel, windows.stride, windows.padding)
    written, params = {**convolution.ways(windows), **torch_ways(module)}, {"weight": (3, 2, *kernel), "bias": (3,)}
    return LayerTask(name, lambda: oracle(module), written, shapes, params, sensitive=(*convolution.BY_BLAS, *BY_TORCH))


def dense(name: str, inputs: int, outputs: int, batches: tuple[int, ...], ways: Mapping[str, Way], cost: float = 1.0) -> LayerTask:
    module, params = nn.Linear(inputs, outputs), {"weight": (outputs, inputs), "bias": (outputs,)}
    shapes = [(batch, inputs) for batch in batches]
    return LayerTask(name, lambda: oracle(module), {**ways, **torch_ways(module)}, shapes, params, sensitive=(*linear.BY_BLAS, *BY_TORCH), cost=cost)


def plain(name: str, module: nn.Module, ways: Mapping[str, Way], shapes: list[Shape], **options: Any) -> LayerTask:
    return LayerTask(name, lambda: oracle(module), {**ways, "torch": torch_ways(module)["torch"]}, shapes, **options)


def normalised(name: str, module: nn.Module, ways: Mapping[str, Way], shapes: list[Shape], **options: Any) -> LayerTask:
    """Return a batch normalisation."""
    size = (module.num_features,)
    return plain(name, module, ways, shapes, params={"weight": size, "bias": size}, buffers={"running_mean": size, "running_var": size}, **options)


def measured(name: str, function: Callable[..., Any], written: Mapping[str, Way], shapes: list[Shape], params: Mapping[str, Shape]) -> LayerTask:
    """Return a layer whose reference is a function, the rounding of which is measured."""
    return LayerTask(name, lambda: oracle(function), written, shapes, params, cost=15.0)


def summed(call: Call) -> Results:
    """Return the sum of a layer and of what it was given, as in a residual block, the branch first."""
    x, w, g = call.x, call.params["weight"], cotangent(call)
    return {"output": np.maximum(x @ w.T, 0) + x, "grad_input": (g * (x @ w.T > 0)) @ w + g, "weight.grad": (g * (x @ w.T > 0)).T @ x}


def summed_by_einsum(call: Call) -> Results:
    """Return the same, what it was given first."""
    x, w, g = call.x, call.params["weight"], cotangent(call)
    branch = np.einsum("ni,oi->no", x, w)
    passed = np.where(branch > 0, g, g.dtype.type(0))
    grad = g + np.einsum("no,oi->ni", passed, w)
    return {"output": x + np.where(branch > 0, branch, 0), "grad_input": grad, "weight.grad": np.einsum("no,ni->oi", passed, x)}


CONVOLUTIONS = convolution.ways(convolution.Windows())
BY_TORCH = ("torch", "torch, no oneDNN")
MATRICES: list[Shape] = [(6, 10), (1, 10), (5, 3)]
FLAT: list[Shape] = [(6, 7), (1, 5)]
IMAGES: list[Shape] = [(3, 2, 6, 7), (1, 2, 5, 4)]
LAYERS = (
    conv("conv2d", convolution.Windows(), (3, 2), [(3, 2, 5, 6), (1, 2, 4, 3)]),
    conv("conv2d, stride 2, padding 1", convolution.Windows(2, 1), (3, 3), [(3, 2, 7, 6), (2, 2, 4, 5)]),
    dense("linear", 12, 5, (4, 1), linear.WAYS),
    dense("linear, 400 to 40", 400, 40, (48,), linear.LARGE, cost=45.0),
    plain("max pool 2", nn.MaxPool2d(2), pooling.maximum_ways(pooling.Pool(2, 2)), IMAGES),
    plain("max pool 3, stride 1", nn.MaxPool2d(3, 1), pooling.maximum_ways(pooling.Pool(3, 1)), IMAGES),
    plain("average pool 2", nn.AvgPool2d(2), pooling.average_ways(pooling.Pool(2, 2)), IMAGES),
    plain("average pool 3, stride 1", nn.AvgPool2d(3, 1), pooling.average_ways(pooling.Pool(3, 1)), IMAGES),
    plain("relu", nn.ReLU(), functions.RELU, FLAT),
    plain("leaky relu", nn.LeakyReLU(0.1), functions.LEAKY, FLAT),
    plain("sigmoid", nn.Sigmoid(), functions.SIGMOID, FLAT),
    plain("tanh", nn.Tanh(), functions.TANH, FLAT),
    plain("gelu", nn.GELU(), functions.GELU, FLAT),
    plain("gelu by tanh", nn.GELU(approximate="tanh"), functions.GELU_TANH, FLAT),
    plain("softmax", nn.Softmax(1), losses.SOFTMAX, MATRICES),
    plain("log softmax", nn.LogSoftmax(1), losses.LOG_SOFTMAX, MATRICES),
    plain("cross-entropy", nn.CrossEntropyLoss(), losses.CROSS_ENTROPY, MATRICES, constants=classes),
    plain("log-likelihood", nn.NLLLoss(), losses.LOG_LIKELIHOOD, MATRICES, constants=classes),
    plain("squared error", nn.MSELoss(), losses.SQUARED_ERROR, MATRICES, constants=targets),
    LayerTask("dropout", lambda: dropped(0.3), functions.DROPOUT, FLAT, constants=kept),
    normalised("batch norm 2d", nn.BatchNorm2d(3), normalisation.WAYS, [(4, 3, 4, 3), (2, 3, 5, 5)]),
    normalised("batch norm 1d", nn.BatchNorm1d(4), normalisation.WAYS, [(9, 4), (4, 4)]),
    normalised("batch norm 2d, evaluation", nn.BatchNorm2d(3).eval(), normalisation.EVALUATION, [(3, 3, 4, 3)]),
    measured("linear, measured", functional.linear, linear.WAYS, [(4, 12)], {"weight": (5, 12), "bias": (5,)}),
    measured("conv2d, measured", functional.conv2d, CONVOLUTIONS, [(3, 2, 5, 6)], {"weight": (3, 2, 3, 2), "bias": (3,)}),
    measured("softmax, measured", lambda x: torch.softmax(x, 1), losses.BY_SHIFT, [(6, 10)], {}),
    measured("sigmoid, measured", torch.sigmoid, functions.SIGMOID, [(6, 7)], {}),
    measured("tanh, measured", torch.tanh, functions.TANH, [(6, 7)], {}),
    measured("gelu, measured", functional.gelu, functions.GELU, [(6, 7)], {}),
    measured(
        "residual sum, measured",
        lambda x, weight: x + torch.relu(functional.linear(x, weight)),
        {"branch first": summed, "branch last": summed_by_einsum},
        [(4, 6)],
        {"weight": (6, 6)},
    ),
)
"""Layers written here, beside PyTorch."""
