"""PyTorch's version of every scratch layer, loss and optimizer.

Each entry gives the module, and as einops patterns how the scratch layer orders the axes of its input, its output and its parameters. The
patterns are read forwards to copy weights into PyTorch and backwards to copy them back. A new layer is one more entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial, singledispatch
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

import scratch
from crosscheck.adapters.layout import LayerLayout, Layout, Parameter
from crosscheck.core.training import TrainState
from crosscheck.oracles.optimizers import Settings
from crosscheck.references.pytorch.modules import NegativeLogLikelihood, SameConv2d, SharedDropout
from crosscheck.references.pytorch.training import NAME, TorchNetwork, TorchTraining
from crosscheck.references.pytorch.training import optimizer as made_optimizer
from reference import copying
from reference.copying import same, settings_of
from reference.counterpart import Counterpart
from scratch import article
from scratch.normalisation import BatchNorm
from scratch.optimizer import Optimizer

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
    return module, LayerLayout(params=same(layer.params))


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
def _(layer: scratch.LeakyReLU) -> Twin:
    return nn.LeakyReLU(layer.negative_slope), LayerLayout()


@twin.register
def _(layer: scratch.Sigmoid) -> Twin:
    return nn.Sigmoid(), LayerLayout()


@twin.register
def _(layer: scratch.Tanh) -> Twin:
    return nn.Tanh(), LayerLayout()


@twin.register
def _(layer: scratch.GELU) -> Twin:
    return nn.GELU(layer.approximate), LayerLayout()


@twin.register
def _(layer: scratch.LogSoftmax) -> Twin:
    return nn.LogSoftmax(dim=1), LayerLayout()


@twin.register
def _(layer: scratch.Dropout) -> Twin:
    return SharedDropout(layer.p).train(layer.training), LayerLayout()


@twin.register
def _(layer: scratch.BatchNorm1d) -> Twin:
    return _batch_norm(nn.BatchNorm1d, layer)


@twin.register
def _(layer: scratch.BatchNorm2d) -> Twin:
    return _batch_norm(nn.BatchNorm2d, layer)


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    return nn.Flatten(), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    features_in, features_out = layer.params["weight"].shape
    params = same(layer.params) | {"weight": Parameter("weight", Layout("i o -> o i"))}
    return nn.Linear(features_in, features_out, bias="bias" in layer.params), LayerLayout(params=params)


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    return nn.CrossEntropyLoss(), LayerLayout()


@twin.register
def _(layer: scratch.NLLLoss) -> Twin:
    return nn.NLLLoss(), LayerLayout()


@twin.register
def _(layer: scratch.MSELoss) -> Twin:
    return nn.MSELoss(), LayerLayout()


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


def _batch_norm(kind: type[nn.Module], layer: BatchNorm) -> Twin:
    # PyTorch has one convention, the unbiased running variance. A layer that declares the other one gets the same module, as with ties in a pool.
    module = kind(layer.num_features, layer.eps, layer.momentum, affine=bool(layer.params))
    return module.train(layer.training), LayerLayout(params=same(layer.params), buffers=same(layer.buffers))


def optimizer_twin(optimizer: object) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    """Return a maker of PyTorch's optimizer, with the settings that a scratch optimizer has now, for a list of tensors."""
    return partial(made_optimizer, settings_of(optimizer))


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


def counterpart(
    layers: Mapping[str, object],
    loss: object | None,
    settings: Settings,
    frozen: frozenset[str] = frozenset(),
    sources: Mapping[str, tuple[str, ...]] | None = None,
    device: str = "cpu",
    tf32: bool = False,
) -> Counterpart:
    """Return PyTorch's version of a network of named scratch layers, with its loss and its optimizer's settings.

    Parameters
    ----------
    layers, loss
        As for :func:`network`.
    settings : Settings
    frozen : frozenset of str
        Layers whose parameters do not train.
    sources : mapping of str to tuple of str, optional
        The wiring, as for :class:`crosscheck.oracles.network.Architecture`; one layer after another if left out.
    device : str
        Where it computes: ``"cuda:0"``.
    tf32 : bool
        Whether references in float32 may multiply in TF32 on a GPU.
    """
    modules, torch_loss, layouts = network(layers, loss)
    twins = TorchNetwork(modules, torch_loss, settings, frozen, sources or {}, device, tf32)
    return Counterpart(NAME, twins.architecture, twins.training, layouts, twins.place)


def from_scratch(model: scratch.Sequential, optimizer: Optimizer, dtype: npt.DTypeLike | None = None) -> TorchTraining:
    """Return the same network in PyTorch with the same weights, running statistics, optimizer settings and optimizer state."""
    modules, loss, layouts = network(model.layers, scratch.SoftmaxCrossEntropy())
    precision: Any = next(iter(model.params.values())).dtype if dtype is None else dtype
    training = TorchNetwork(modules, loss, settings_of(optimizer), frozenset(model.frozen), copying.sources_of(model)).training(precision)
    training.load(copying.to_reference(model, optimizer, layouts))
    return training


def to_scratch(training: TorchTraining, model: scratch.Sequential, optimizer: Optimizer) -> None:
    """Copy weights, running statistics and optimizer state from PyTorch into a scratch network of the same architecture, in place."""
    layouts = network(model.layers, scratch.SoftmaxCrossEntropy())[2]
    copying.to_scratch(TrainState(training.params, training.state, training.buffers), model, optimizer, layouts)
