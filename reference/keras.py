"""Keras's version of every scratch layer, on JAX.

Each entry gives the layer as an oracle, and as einops patterns how the scratch layer orders the axes of its parameters: Keras keeps kernels channels
last. A new layer is one more entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any

import scratch
from crosscheck.frameworks.jax import JaxOracle, window_kinks
from crosscheck.frameworks.keras import oracle  # before Keras itself, so that it finds its backend
from crosscheck.layout import LayerLayout, Layout, Parameter
from crosscheck.rounding import Multilinear, Selection

import keras  # isort: skip

Twin = tuple[JaxOracle, LayerLayout]

_FIRST = "channels_first"


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
    channels_out, channels_in = layer.params["weight"].shape[:2]
    convolution = keras.layers.Conv2D(channels_out, layer.kernel_size, layer.stride, data_format=_FIRST, use_bias="bias" in layer.params)
    # Keras pads by nothing or by as much as keeps the size; anything else is a layer of its own.
    padding = keras.layers.ZeroPadding2D(layer.padding, data_format=_FIRST)
    chain = keras.Sequential([keras.Input((channels_in, None, None)), padding, convolution])
    settings = {"kernel": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
    return replace(oracle(chain), theory=Multilinear(), settings=settings), _kernel(layer, "o i h w -> h w i o")


@twin.register
def _(layer: scratch.MaxPool2d) -> Twin:
    # One tie rule, the first winner, as in reference/jax.py.
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    overlapping = any(size > step for size, step in zip(kernel, stride, strict=True))
    settings = {"kernel": kernel, "stride": stride, "padding": padding}
    pooling = oracle(PaddedMaxPooling2D(kernel, stride, padding))
    return replace(pooling, theory=Selection(overlapping), settings=settings, kinks=window_kinks(kernel, stride, padding), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.ReLU) -> Twin:
    return replace(oracle(keras.layers.ReLU()), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    # Told that channels come last, it leaves the axes in their order.
    return replace(oracle(keras.layers.Flatten(data_format="channels_last")), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    features_in, features_out = layer.params["weight"].shape
    dense = keras.layers.Dense(features_out, use_bias="bias" in layer.params)
    dense.build((None, features_in))
    return oracle(dense), _kernel(layer, "")


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    return replace(oracle(keras.losses.SparseCategoricalCrossentropy(from_logits=True)), shapes={}), LayerLayout()


def _kernel(layer: scratch.Layer, pattern: str) -> LayerLayout:
    """Return the layout of a layer whose weight Keras calls the kernel, with the axes in another order."""
    names = {"weight": Parameter("kernel", Layout(pattern)), "bias": Parameter("bias", Layout())}
    return LayerLayout(params={name: names[name] for name in layer.params})


def network(layers: Mapping[str, object], loss: object) -> tuple[dict[str, JaxOracle], JaxOracle, dict[str, LayerLayout]]:
    """Return the oracles of layers and loss, and the layouts for named scratch layers, in the order of the forward pass."""
    twins = {name: twin(layer) for name, layer in layers.items()}
    return {name: pair[0] for name, pair in twins.items()}, twin(loss)[0], {name: pair[1] for name, pair in twins.items()}
