"""JAX's version of every scratch layer: pure functions of arrays, with parameters named as in scratch.

Each entry gives the function with its error theory, and the layouts that lead from the scratch layer to it, which orders the axes of everything as
JAX is told to here: NCHW, OIHW. A new layer is one more entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

import scratch
from crosscheck.frameworks.jax import JaxOracle, sign_kinks, window_kinks
from crosscheck.layout import LayerLayout, Layout, Parameter
from crosscheck.rounding import CrossEntropy, Multilinear, Selection

Twin = tuple[JaxOracle, LayerLayout]

_IMAGES = ("NCHW", "OIHW", "NCHW")


@singledispatch
def twin(layer: object) -> Twin:
    """Return JAX's function for a scratch layer, and the layouts that lead from one to the other.

    Raises
    ------
    TypeError
        If the layer has no entry here.
    """
    raise TypeError(f"no JAX twin for {type(layer).__name__}; add an entry to reference/jax.py")


@twin.register
def _(layer: scratch.Conv2d) -> Twin:
    stride, sides = layer.stride, [(size, size) for size in layer.padding]

    def convolution(x: Any, weight: Any, bias: Any = None) -> Any:
        y = lax.conv_general_dilated(x, weight, stride, sides, dimension_numbers=_IMAGES)
        return y if bias is None else y + bias[:, None, None]

    settings = {"kernel": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
    return JaxOracle(convolution, Multilinear(), settings, shapes=_shapes(layer)), _same(layer)


@twin.register
def _(layer: scratch.MaxPool2d) -> Twin:
    # XLA has one tie rule, the first winner. A layer that declares another one gets the same function: the comparison names the difference.
    kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
    sides = [(0, 0), (0, 0), *((size, size) for size in padding)]

    def max_pooling(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *kernel), (1, 1, *stride), sides)

    overlapping = any(size > step for size, step in zip(kernel, stride, strict=True))
    settings = {"kernel": kernel, "stride": stride, "padding": padding}
    return JaxOracle(max_pooling, Selection(overlapping), settings, window_kinks(kernel, stride, padding), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.ReLU) -> Twin:
    return JaxOracle(jax.nn.relu, Selection(), kinks=sign_kinks(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    def flatten(x: Any) -> Any:
        return x.reshape(len(x), -1)

    return JaxOracle(flatten, Selection(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        return x @ weight if bias is None else x @ weight + bias

    return JaxOracle(linear, Multilinear(), shapes=_shapes(layer)), _same(layer)


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    def cross_entropy(logits: Any, labels: Any) -> Any:
        return _at_labels(jax.nn.log_softmax(logits), labels)

    return JaxOracle(cross_entropy, CrossEntropy(), shapes={}, labels=True), LayerLayout()


def _at_labels(log_probabilities: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


def _shapes(layer: scratch.Layer) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in layer.params.items()}


def _same(layer: scratch.Layer) -> LayerLayout:
    return LayerLayout(params={name: Parameter(name, Layout()) for name in layer.params})


def network(layers: Mapping[str, object], loss: object) -> tuple[dict[str, JaxOracle], JaxOracle, dict[str, LayerLayout]]:
    """Return the functions, the loss and the layouts for named scratch layers, in the order of the forward pass."""
    twins = {name: twin(layer) for name, layer in layers.items()}
    return {name: pair[0] for name, pair in twins.items()}, twin(loss)[0], {name: pair[1] for name, pair in twins.items()}
