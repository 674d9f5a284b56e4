"""Copying weights, running statistics, optimizer state and settings from a scratch network to a reference of any framework, and back.

:func:`layout_of` has an entry for each layer whose parameters have other names or another order of axes in PyTorch, and so in every reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

import scratch
from crosscheck.adapters.layout import LayerLayout, Layout, Parameter
from crosscheck.core.training import Training, TrainState
from crosscheck.oracles.network import INPUT
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings
from scratch import article, composite
from scratch.optimizer import Optimizer

Layouts = Mapping[str, LayerLayout]


@singledispatch
def layout_of(layer: object) -> LayerLayout:
    """Return the layouts that translate the arrays of a scratch layer or loss to those of its version in any framework."""
    return LayerLayout()


@layout_of.register
def _(layer: scratch.Layer) -> LayerLayout:
    return LayerLayout(params=_same(layer.params), buffers=_same(layer.buffers))


@layout_of.register
def _(layer: scratch.Linear) -> LayerLayout:
    return LayerLayout(params=_same(layer.params) | {"weight": Parameter("weight", Layout("i o -> o i"))})


@layout_of.register
def _(layer: article.Conv3x3) -> LayerLayout:
    params = {"filters": Parameter("weight", Layout("f kh kw -> f 1 kh kw"))}
    return LayerLayout(Layout("h w -> 1 1 h w"), Layout("h w f -> 1 f h w"), params)


@layout_of.register
def _(layer: article.MaxPool2) -> LayerLayout:
    images = Layout("h w c -> 1 c h w")
    return LayerLayout(images, images)


@layout_of.register
def _(layer: article.Softmax) -> LayerLayout:
    inputs, (height, width, channels) = len(layer.weights), article.POOLED_SHAPE
    if inputs != height * width * channels:
        raise ValueError(f"article.Softmax has {inputs} inputs; known is the order of {article.POOLED_SHAPE}, {height * width * channels} inputs")
    weight = Layout("(h w c) k -> k (c h w)", {"h": height, "w": width, "c": channels})
    params = {"weights": Parameter("weight", weight), "biases": Parameter("bias", Layout())}
    return LayerLayout(Layout("h w c -> 1 c h w"), Layout("k -> 1 k"), params)


def layouts_of(layers: Mapping[str, object]) -> dict[str, LayerLayout]:
    """Return the layouts of named scratch layers."""
    return {name: layout_of(layer) for name, layer in layers.items()}


@singledispatch
def settings_of(optimizer: object) -> Settings:
    """Return the current settings of a scratch optimizer; raise a TypeError if its class has no entry."""
    raise TypeError(f"no settings are known for {type(optimizer).__name__}; add an entry to reference/copying.py")


settings_of.register(scratch.SGD, lambda o: SgdSettings(o.lr, o.momentum, o.dampening, o.nesterov, o.weight_decay))
settings_of.register(scratch.Adadelta, lambda o: AdadeltaSettings(o.lr, o.rho, o.eps, o.weight_decay))
settings_of.register(scratch.RMSprop, lambda o: RmspropSettings(o.lr, o.alpha, o.eps, o.weight_decay, o.momentum, o.centered))
settings_of.register(scratch.Adam, lambda o: AdamSettings(o.lr, o.betas, o.eps, o.weight_decay, isinstance(o, scratch.AdamW), o.amsgrad))


def to_reference(model: scratch.Sequential, optimizer: Optimizer) -> TrainState:
    """Return the state of a scratch network's training, with the references' names and layouts."""
    layouts, state = layouts_of(model.layers), dict[str, dict[str, Any]]()
    for ours, theirs, layout in _names(layouts, "params"):
        kept = {name: arrays[ours] for name, arrays in optimizer.state.items() if ours in arrays}
        state[theirs] = {name: layout.to_reference(value) if np.ndim(value) else np.asarray(value) for name, value in kept.items()}
    params, buffers = model.params, model.buffers
    return TrainState(
        {theirs: layout.to_reference(params[ours]) for ours, theirs, layout in _names(layouts, "params")},
        {key: own for key, own in state.items() if own},
        {theirs: layout.to_reference(buffers[ours]) for ours, theirs, layout in _names(layouts, "buffers")},
    )


def to_scratch(position: Training | TrainState, model: scratch.Sequential, optimizer: Optimizer, layouts: Layouts | None = None) -> None:
    """Copy weights, running statistics and optimizer state of a training into a scratch network of the same architecture and its optimizer, in place.

    The state's arrays have the given ``layouts``, by layer, or by default a reference's layouts.
    """
    layouts = layouts_of(model.layers) if layouts is None else layouts
    params, buffers = model.params, model.buffers
    for ours, theirs, layout in _names(layouts, "params"):
        params[ours][...] = layout.to_subject(position.params[theirs])
        left = position.state.get(theirs, {})
        for name, arrays in optimizer.state.items():
            if name in left:
                arrays[ours] = _in_layout(left[name], layout, params[ours].dtype)
            else:
                arrays.pop(ours, None)
    for ours, theirs, layout in _names(layouts, "buffers"):
        buffers[ours][...] = layout.to_subject(position.buffers[theirs])


def sources_of(model: scratch.Sequential) -> dict[str, tuple[str, ...]]:
    """Return, for each layer, the layers whose outputs add up to its input, named as in the harness."""
    return {name: tuple(INPUT if source == composite.INPUT else source for source in sources) for name, (_, sources) in model.graph().items()}


def _in_layout(value: Any, layout: Layout, dtype: npt.DTypeLike) -> Any:
    # A count of steps is a single number and has no axes to reorder.
    return np.array(layout.to_subject(value) if np.ndim(value) else value, dtype)


def _names(layouts: Layouts, kind: str) -> Iterator[tuple[str, str, Layout]]:
    """Yield the name in scratch, the name in the reference and the layout of every parameter, or of every buffer."""
    for layer, layout in layouts.items():
        for name, parameter in getattr(layout, kind).items():
            yield f"{layer}.{name}", f"{layer}.{parameter.name}", parameter.layout


def _same(names: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the layouts of arrays that have the same names and order of axes in scratch and in the references."""
    return {name: Parameter(name, Layout()) for name in names}
