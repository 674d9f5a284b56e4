"""PyTorch's version of every scratch layer.

Each entry gives the module, and as einops patterns how the scratch layer orders the axes of its input, its output and its parameters. The
patterns are read forwards to copy weights into PyTorch and backwards to copy them back. A new layer is one more entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy.typing as npt
from torch import nn

import scratch
from crosscheck.frameworks.pytorch import NegativeLogLikelihood
from crosscheck.frameworks.pytorch_same import SameConv2d
from crosscheck.frameworks.pytorch_training import TorchTraining
from crosscheck.layout import LayerLayout, Layout, Parameter
from crosscheck.update import SgdSettings
from scratch import article

Twin = tuple[nn.Module, LayerLayout]


@singledispatch
def twin(layer: object) -> Twin:
    """Return PyTorch's module for a scratch layer, with weights of its own, and the layouts that lead from one to the other.

    Raises
    ------
    TypeError
        If the layer has no entry here.
    """
    raise TypeError(f"no PyTorch twin for {type(layer).__name__}; add an entry to reference/pytorch.py")


@twin.register
def _(layer: scratch.Conv2d) -> Twin:
    channels_out, channels_in_group = layer.params["weight"].shape[:2]
    sizes: Any = (channels_in_group * layer.groups, channels_out, layer.kernel_size, layer.stride)
    options: Any = {"dilation": layer.dilation, "groups": layer.groups, "bias": "bias" in layer.params}
    module = SameConv2d(*sizes, **options) if layer.padding == "same" else nn.Conv2d(*sizes, padding=layer.padding, **options)
    return module, LayerLayout(params=_same(layer))


@twin.register
def _(layer: scratch.MaxPool2d) -> Twin:
    # PyTorch has one tie rule, the first winner. A layer that declares another one gets the same module: the comparison names the difference.
    return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding), LayerLayout()


@twin.register
def _(layer: scratch.AvgPool2d) -> Twin:
    return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, count_include_pad=layer.count_padding), LayerLayout()


@twin.register
def _(layer: scratch.GlobalAveragePool2d) -> Twin:
    return nn.Sequential(OrderedDict(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())), LayerLayout()


@twin.register
def _(layer: scratch.ZeroPad2d) -> Twin:
    (top, bottom), (left, right) = layer.sides
    return nn.ZeroPad2d((left, right, top, bottom)), LayerLayout()


@twin.register
def _(layer: scratch.ReLU) -> Twin:
    return nn.ReLU(), LayerLayout()


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    return nn.Flatten(), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    features_in, features_out = layer.params["weight"].shape
    params = _same(layer) | {"weight": Parameter("weight", Layout("i o -> o i"))}
    return nn.Linear(features_in, features_out, bias="bias" in layer.params), LayerLayout(params=params)


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    return nn.CrossEntropyLoss(), LayerLayout()


@twin.register
def _(layer: article.Conv3x3) -> Twin:
    params = {"filters": Parameter("weight", Layout("f kh kw -> f 1 kh kw"))}
    return nn.Conv2d(1, len(layer.filters), 3, bias=False), LayerLayout(Layout("h w -> 1 1 h w"), Layout("h w f -> 1 f h w"), params)


@twin.register
def _(layer: article.MaxPool2) -> Twin:
    images = Layout("h w c -> 1 c h w")
    return nn.MaxPool2d(2), LayerLayout(images, images)


@twin.register
def _(layer: article.Softmax) -> Twin:
    inputs, nodes = layer.weights.shape
    height, width, channels = article.POOLED_SHAPE
    if inputs != height * width * channels:
        raise ValueError(f"article.Softmax has {inputs} inputs; known is the order of {article.POOLED_SHAPE}, {height * width * channels} inputs")
    params = {
        "weights": Parameter("weight", Layout("(h w c) k -> k (c h w)", {"h": height, "w": width, "c": channels})),
        "biases": Parameter("bias", Layout()),
    }
    parts = OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(inputs, nodes), softmax=nn.Softmax(dim=1))
    return nn.Sequential(parts), LayerLayout(Layout("h w c -> 1 c h w"), Layout("k -> 1 k"), params)


def _same(layer: scratch.Layer) -> dict[str, Parameter]:
    return {name: Parameter(name, Layout()) for name in layer.params}


def network(layers: Mapping[str, object], loss: object | None = None) -> tuple[dict[str, nn.Module], nn.Module, dict[str, LayerLayout]]:
    """Return the modules, the loss and the layouts for named scratch layers.

    Parameters
    ----------
    layers : mapping of str to layer
        In the order of the forward pass.
    loss : scratch loss, optional
        Without one, the last layer is taken to end in probabilities, and the loss is their negative log-likelihood.
    """
    twins = {name: twin(layer) for name, layer in layers.items()}
    module = NegativeLogLikelihood() if loss is None else twin(loss)[0]
    return {name: pair[0] for name, pair in twins.items()}, module, {name: pair[1] for name, pair in twins.items()}


def from_scratch(model: scratch.Sequential, optimizer: scratch.SGD, dtype: npt.DTypeLike | None = None) -> TorchTraining:
    """Return the same network in PyTorch with the same weights, optimizer settings and optimizer state."""
    modules, loss, layouts = network(model.layers, scratch.SoftmaxCrossEntropy())
    o = optimizer
    settings = SgdSettings(o.lr, o.momentum, o.dampening, o.nesterov, o.weight_decay)
    precision: Any = next(iter(model.params.values())).dtype if dtype is None else dtype
    training = TorchTraining(modules, loss, settings, frozenset(model.frozen), precision)
    training.load(renamed(model.params, layouts), renamed(optimizer.buffers, layouts))
    return training


def to_scratch(training: TorchTraining, model: scratch.Sequential, optimizer: scratch.SGD) -> None:
    """Copy weights and optimizer state from PyTorch into a scratch network of the same architecture, in place."""
    params, state = training.params, training.state
    for layer, twin_layout in network(model.layers, scratch.SoftmaxCrossEntropy())[2].items():
        for name, parameter in twin_layout.params.items():
            ours, theirs = f"{layer}.{name}", f"{layer}.{parameter.name}"
            model.params[ours][...] = parameter.layout.to_subject(params[theirs])
            if theirs in state:
                optimizer.buffers[ours] = parameter.layout.to_subject(state[theirs]).astype(model.params[ours].dtype)
            else:
                optimizer.buffers.pop(ours, None)


def renamed(arrays: Mapping[str, Any], layouts: Mapping[str, LayerLayout]) -> dict[str, Any]:
    """Return arrays named ``layer.parameter`` under the reference's names and in its layouts."""
    result = {}
    for key, value in arrays.items():
        layer, _, name = key.partition(".")
        parameter = layouts[layer].params[name]
        result[f"{layer}.{parameter.name}"] = parameter.layout.to_reference(value)
    return result
