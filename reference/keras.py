"""Keras's version of every scratch layer, on JAX.

Each entry gives the layer as an oracle, and as einops patterns how the scratch layer orders the axes of its parameters: Keras keeps kernels channels
last. A new layer is one more entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

import scratch
from crosscheck.adapters.layout import LayerLayout, Layout, Parameter
from crosscheck.core.operation import Call, Rounding
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers import Settings
from crosscheck.oracles.theories import (
    GELU,
    Average,
    Elementwise,
    LeakyReLU,
    LogSoftmax,
    Multilinear,
    NegativeLogLikelihood,
    Scaling,
    Selection,
    SquaredError,
    sigmoid,
    tanh,
)
from crosscheck.references.jax.oracle import JaxOracle, window_kinks
from crosscheck.references.keras.oracle import oracle
from crosscheck.references.keras.training import NAME, KerasNetwork
from reference.copying import windows_of
from reference.counterpart import Counterpart
from scratch.normalisation import BatchNorm

import keras  # isort: skip

Twin = tuple[JaxOracle, LayerLayout]

_FIRST = "channels_first"

_UNDRAWN = {"kernel_initializer": "zeros"}
"""The weights are the scratch layer's: to draw others takes a program for each shape, whose compilation takes longer than all that is asked of it."""


class PaddedMaxPooling2D(keras.layers.MaxPooling2D):
    """Max pooling of images with a border of values that never win, which Keras itself has none of.

    Parameters
    ----------
    pool_size, strides : (int, int)
    border : (int, int)
        Rows added above and below, columns on the left and right.
    **options
        Of every Keras layer.
    """

    def __init__(self, pool_size: Any, strides: Any, border: tuple[int, int], **options: Any) -> None:
        super().__init__(pool_size, strides, data_format=_FIRST, **{key: value for key, value in options.items() if key in ("name", "dtype")})
        self.border = border

    def call(self, inputs: Any) -> Any:
        """Return the largest value of each window."""
        rows, columns = self.border
        return super().call(keras.ops.pad(inputs, ((0, 0), (0, 0), (rows, rows), (columns, columns)), constant_values=-float("inf")))

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made from."""
        return {**super().get_config(), "border": self.border}


@singledispatch
def twin(layer: object) -> Twin:
    """Return Keras's oracle for a scratch layer, and the layouts that lead from one to the other.

    Raises
    ------
    TypeError
        If the layer has no entry here.
    """
    raise TypeError(f"no Keras twin for {type(layer).__name__}; add an entry to reference/keras.py")


@twin.register
def _(layer: scratch.Conv2d) -> Twin:
    channels_out, channels_in_group = layer.params["weight"].shape[:2]
    layout = _kernel(layer, "o i h w -> h w i o")
    if layer.dilation != (1, 1) and layer.stride != (1, 1):
        # A setting that Keras's layer refuses, and its function does not.
        return replace(oracle(_dilated_and_strided(layer)), theory=Multilinear(), shapes=_shapes(layer, layout)), layout
    options: Any = {"dilation_rate": layer.dilation, "groups": layer.groups, "use_bias": "bias" in layer.params, "data_format": _FIRST, **_UNDRAWN}
    padding = [] if layer.padding == "same" else [keras.layers.ZeroPadding2D(layer.padding, data_format=_FIRST)]
    mode = "same" if layer.padding == "same" else "valid"
    convolution = keras.layers.Conv2D(channels_out, layer.kernel_size, layer.stride, mode, **options)
    # Keras pads by nothing or by as much as keeps the size; anything else is a layer of its own.
    chain = keras.Sequential([keras.Input((channels_in_group * layer.groups, None, None)), *padding, convolution])
    return replace(oracle(chain), theory=Multilinear(), settings=windows_of(layer)), layout


def _dilated_and_strided(layer: scratch.Conv2d) -> Callable[..., Any]:
    stride, dilation = layer.stride, layer.dilation
    same = layer.padding == "same"
    sides = [] if same else [(size, size) for size in layer.padding]

    def convolution(x: Any, kernel: Any, bias: Any = None) -> Any:
        padded = x if same else keras.ops.pad(x, [(0, 0), (0, 0), *sides])
        y = keras.ops.conv(padded, kernel, stride, "same" if same else "valid", data_format=_FIRST, dilation_rate=dilation)
        return y if bias is None else y + keras.ops.reshape(bias, (1, -1, 1, 1))

    return convolution


@twin.register
def _(layer: scratch.MaxPool2d) -> Twin:
    # One tie rule, the first winner, as in reference/jax.py.
    kernel, stride = layer.kernel_size, layer.stride
    padding: Any = layer.padding
    overlapping = any(size > step for size, step in zip(kernel, stride, strict=True))
    known: Any = {"theory": Selection(overlapping), "settings": windows_of(layer), "kinks": window_kinks(kernel, stride, padding), "shapes": {}}
    return replace(oracle(PaddedMaxPooling2D(kernel, stride, padding)), **known), LayerLayout()


@twin.register
def _(layer: scratch.AvgPool2d) -> Twin:
    kernel, stride, own = layer.kernel_size, layer.stride, not layer.count_padding
    sides, area = [(0, 0), (0, 0), *((size, size) for size in layer.padding)], math.prod(layer.kernel_size)

    def mean(x: Any) -> Any:
        return keras.ops.average_pool(keras.ops.pad(x, sides), kernel, stride, "valid", _FIRST)

    def average_pooling(x: Any) -> Any:
        return mean(x) / mean(keras.ops.ones_like(x)) if own else mean(x)

    def summed(x: Any) -> Any:
        return mean(x) * area

    return replace(oracle(average_pooling), theory=Average(_Counting(oracle(summed))), settings=windows_of(layer), shapes={}), LayerLayout()


@dataclass(frozen=True)
class _Counting:
    """Sums that are means multiplied again, which gives whole numbers of ones but for rounding."""

    sums: JaxOracle

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return whole numbers."""
        return {name: np.rint(value) for name, value in self.sums.vjp(call).items()}


@twin.register
def _(layer: scratch.GlobalAveragePool2d) -> Twin:
    average = oracle(keras.layers.GlobalAveragePooling2D(data_format=_FIRST))
    return replace(average, theory=Average(oracle(lambda x: keras.ops.sum(x, (2, 3)))), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.ZeroPad2d) -> Twin:
    return _without_params(keras.layers.ZeroPadding2D(layer.sides, data_format=_FIRST), Selection())


@twin.register
def _(layer: scratch.ReLU) -> Twin:
    return replace(oracle(keras.layers.ReLU()), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.LeakyReLU) -> Twin:
    # Its derivative at 0 is the slope, as in PyTorch; that of keras.layers.LeakyReLU is 1.
    slope = layer.negative_slope
    return _without_params(lambda x: keras.ops.where(x > 0, x, slope * x), LeakyReLU(slope))


@twin.register
def _(layer: scratch.Sigmoid) -> Twin:
    return _without_params(keras.layers.Activation("sigmoid"), Elementwise(sigmoid))


@twin.register
def _(layer: scratch.Tanh) -> Twin:
    return _without_params(keras.layers.Activation("tanh"), Elementwise(tanh))


@twin.register
def _(layer: scratch.GELU) -> Twin:
    approximate = layer.approximate == "tanh"
    return _without_params(lambda x: keras.ops.gelu(x, approximate), GELU[layer.approximate])


@twin.register
def _(layer: scratch.LogSoftmax) -> Twin:
    return _without_params(lambda x: keras.ops.log_softmax(x, axis=1), LogSoftmax())


@twin.register
def _(layer: scratch.Dropout) -> Twin:
    # Keras's own layer draws its mask itself.
    p = layer.p

    def dropped(x: Any, mask: Any) -> Any:
        return keras.ops.where(mask, x / (1 - p), 0)

    unchanged = _without_params(keras.layers.Identity(), Selection())
    if not layer.training:
        return unchanged
    return replace(oracle(dropped), theory=Scaling(p), shapes={}, modes=True, evaluation=unchanged[0].function, masked=True), LayerLayout()


@twin.register
def _(layer: BatchNorm) -> Twin:
    # Keras has one convention, the biased running variance. A layer that declares the other one gets the same layer: the comparison names it.
    affine = bool(layer.params)
    normalization = keras.layers.BatchNormalization(1, 1 - layer.momentum, layer.eps, center=affine, scale=affine)
    normalization.build((None, layer.num_features, *[None] * (len(layer.axes.split()) - 2)))
    normalization.moving_mean.assign(layer.buffers["running_mean"])
    normalization.moving_variance.assign(layer.buffers["running_var"])
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    params, buffers = ({name: Parameter(names[name], Layout()) for name in arrays} for arrays in (layer.params, layer.buffers))
    kept = {parameter.name: layer.buffers[name].shape for name, parameter in buffers.items()}
    evaluation = oracle(normalization).function
    return replace(oracle(normalization, layer.training), buffers=kept, evaluation=evaluation), LayerLayout(params=params, buffers=buffers)


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    # Told that channels come last, it leaves the axes in their order.
    return replace(oracle(keras.layers.Flatten(data_format="channels_last")), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    features_in, features_out = layer.params["weight"].shape
    dense = keras.layers.Dense(features_out, use_bias="bias" in layer.params, **_UNDRAWN)
    dense.build((None, features_in))
    return oracle(dense), _kernel(layer, "")


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    return replace(oracle(keras.losses.SparseCategoricalCrossentropy(from_logits=True)), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.NLLLoss) -> Twin:
    def negative_log_likelihood(log_probabilities: Any, labels: Any) -> Any:
        return -keras.ops.mean(keras.ops.take_along_axis(log_probabilities, labels[:, None], axis=1))

    return replace(oracle(negative_log_likelihood), theory=NegativeLogLikelihood(), shapes={}, labels=True), LayerLayout()


@twin.register
def _(layer: scratch.MSELoss) -> Twin:
    return _without_params(keras.losses.MeanSquaredError(), SquaredError())


def _without_params(reference: Any, theory: Rounding) -> Twin:
    return replace(oracle(reference), theory=theory, shapes={}), LayerLayout()


def _kernel(layer: scratch.Layer, pattern: str) -> LayerLayout:
    """Return the layout of a layer whose weight Keras calls the kernel, with the axes in another order."""
    names = {"weight": Parameter("kernel", Layout(pattern)), "bias": Parameter("bias", Layout())}
    return LayerLayout(params={name: names[name] for name in layer.params})


def _shapes(layer: scratch.Layer, layout: LayerLayout) -> dict[str, tuple[int, ...]]:
    return {parameter.name: parameter.layout.to_reference(layer.params[name]).shape for name, parameter in layout.params.items()}


def network(layers: Mapping[str, object], loss: object) -> tuple[dict[str, JaxOracle], JaxOracle, dict[str, LayerLayout]]:
    """Return the oracles of layers and loss, and the layouts for named scratch layers, in the order of the forward pass."""
    twins = {name: twin(layer) for name, layer in layers.items()}
    return {name: pair[0] for name, pair in twins.items()}, twin(loss)[0], {name: pair[1] for name, pair in twins.items()}


def counterpart(
    layers: Mapping[str, object],
    loss: object,
    settings: Settings,
    frozen: frozenset[str] = frozenset(),
    sources: Mapping[str, tuple[str, ...]] | None = None,
    device: str = "cpu",
    tf32: bool = False,
) -> Counterpart:
    """Return Keras's version of a network of named scratch layers, with its loss and its optimizer's settings.

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
    oracles, of_loss, layouts = network(layers, loss)
    twins = KerasNetwork(oracles, of_loss, settings, frozen, sources or {}, device, tf32)
    # Keras keeps momentum as a velocity.
    return Counterpart(NAME, twins.architecture, twins.training, layouts, twins.place, frozenset({"momentum"}))
