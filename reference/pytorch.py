"""PyTorch's version of every scratch layer, loss and optimizer, one entry each."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial, singledispatch
from typing import Any

from torch import nn

import scratch
from crosscheck.oracles.optimizers import Settings
from crosscheck.references.pytorch.modules import NegativeLogLikelihood, SameConv2d, SharedDropout
from crosscheck.references.pytorch.optimizers import TorchOptimizer
from crosscheck.references.pytorch.training import TorchNetwork
from crosscheck.references.pytorch.training import optimizer as made_optimizer
from reference.framework import Framework, OptimizerTwin, no_twin
from scratch import article
from scratch.normalisation import BatchNorm


def _optimizer(settings: Settings) -> OptimizerTwin:
    states = {name: name for name in settings.states} | {"momentum": "momentum_buffer"}
    return OptimizerTwin(TorchOptimizer(partial(made_optimizer, settings)), states)


@singledispatch
def entry(layer: object) -> nn.Module:
    """Return PyTorch's module for a scratch layer or loss, with its own random weights."""
    raise no_twin("PyTorch", layer, "reference/pytorch.py")


FRAMEWORK = Framework[nn.Module, TorchNetwork](entry, _optimizer, TorchNetwork)
twin, network, optimizer_twin = FRAMEWORK.twin, FRAMEWORK.network, FRAMEWORK.optimizer_twin
from_scratch = FRAMEWORK.from_scratch

entry.register(scratch.GlobalAveragePool2d, lambda layer: nn.Sequential(OrderedDict(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())))
entry.register(scratch.ReLU, lambda layer: nn.ReLU())
entry.register(scratch.LeakyReLU, lambda layer: nn.LeakyReLU(layer.negative_slope))
entry.register(scratch.Sigmoid, lambda layer: nn.Sigmoid())
entry.register(scratch.Tanh, lambda layer: nn.Tanh())
entry.register(scratch.GELU, lambda layer: nn.GELU(layer.approximate))
entry.register(scratch.LogSoftmax, lambda layer: nn.LogSoftmax(dim=1))
entry.register(scratch.Dropout, lambda layer: SharedDropout(layer.p).train(layer.training))
entry.register(scratch.Flatten, lambda layer: nn.Flatten())
entry.register(scratch.Linear, lambda layer: nn.Linear(*layer.params["weight"].shape, bias="bias" in layer.params))
entry.register(scratch.SoftmaxCrossEntropy, lambda loss: nn.CrossEntropyLoss())
entry.register(scratch.NLLLoss, lambda loss: nn.NLLLoss())
entry.register(scratch.MSELoss, lambda loss: nn.MSELoss())
entry.register(type(None), lambda loss: NegativeLogLikelihood())
entry.register(article.Conv3x3, lambda layer: nn.Conv2d(1, len(layer.filters), 3, bias=False))
entry.register(article.MaxPool2, lambda layer: nn.MaxPool2d(2))


@entry.register
def _(layer: scratch.Conv2d) -> nn.Module:
    channels_out, channels_in_group = layer.params["weight"].shape[:2]
    sizes: Any = (channels_in_group * layer.groups, channels_out, layer.kernel_size, layer.stride)
    options: Any = {"dilation": layer.dilation, "groups": layer.groups, "bias": "bias" in layer.params}
    return SameConv2d(*sizes, **options) if layer.padding == "same" else nn.Conv2d(*sizes, padding=layer.padding, **options)


@entry.register
def _(layer: scratch.MaxPool2d) -> nn.Module:
    # PyTorch has only the tie rule "first". A layer with another rule gets the same module: the comparison names the difference.
    return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)


@entry.register
def _(layer: scratch.AvgPool2d) -> nn.Module:
    return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, count_include_pad=layer.count_padding)


@entry.register
def _(layer: scratch.ZeroPad2d) -> nn.Module:
    (top, bottom), (left, right) = layer.sides
    return nn.ZeroPad2d((left, right, top, bottom))


@entry.register
def _(layer: BatchNorm) -> nn.Module:
    # PyTorch has only the unbiased running variance. A layer with the biased one gets the same module: the comparison names the difference.
    kind = nn.BatchNorm1d if isinstance(layer, scratch.BatchNorm1d) else nn.BatchNorm2d
    return kind(layer.num_features, layer.eps, layer.momentum, affine=bool(layer.params)).train(layer.training)


@entry.register
def _(layer: article.Softmax) -> nn.Module:
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(*layer.weights.shape), softmax=nn.Softmax(dim=1)))
