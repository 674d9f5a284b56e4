"""JAX's version of every scratch layer: pure functions of arrays, with parameters named as in scratch.

Each entry gives the function with its error theory, and the layouts that lead from the scratch layer to it, which orders the axes of everything as
JAX is told to here: NCHW, OIHW. A new layer is one more entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import scratch
from crosscheck.adapters.layout import LayerLayout
from crosscheck.oracles.optimizers import Settings
from crosscheck.oracles.theories import (
    GELU,
    Average,
    CrossEntropy,
    Elementwise,
    LeakyReLU,
    LogSoftmax,
    Multilinear,
    NegativeLogLikelihood,
    Normalization,
    Scaling,
    Selection,
    SquaredError,
    sigmoid,
    tanh,
)
from crosscheck.references.jax.oracle import JaxOracle, sign_kinks, window_kinks
from crosscheck.references.jax.training import NAME, JaxNetwork
from reference.copying import same, windows_of
from reference.counterpart import Counterpart
from scratch.normalisation import BatchNorm

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
    stride, dilation, groups = layer.stride, layer.dilation, layer.groups
    sides = "SAME" if layer.padding == "same" else [(size, size) for size in layer.padding]

    def convolution(x: Any, weight: Any, bias: Any = None) -> Any:
        y = lax.conv_general_dilated(x, weight, stride, sides, rhs_dilation=dilation, dimension_numbers=_IMAGES, feature_group_count=groups)
        return y if bias is None else y + bias[:, None, None]

    return JaxOracle(convolution, Multilinear(), windows_of(layer), shapes=_shapes(layer.params)), _same(layer)


@twin.register
def _(layer: scratch.MaxPool2d) -> Twin:
    # XLA has one tie rule, the first winner. A layer that declares another one gets the same function: the comparison names the difference.
    kernel, stride = layer.kernel_size, layer.stride
    padding: Any = layer.padding
    sides = [(0, 0), (0, 0), *((size, size) for size in padding)]

    def max_pooling(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *kernel), (1, 1, *stride), sides)

    overlapping = any(size > step for size, step in zip(kernel, stride, strict=True))
    return JaxOracle(max_pooling, Selection(overlapping), windows_of(layer), window_kinks(kernel, stride, padding), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.AvgPool2d) -> Twin:
    window, stride, area = (1, 1, *layer.kernel_size), (1, 1, *layer.stride), math.prod(layer.kernel_size)
    sides = [(0, 0), (0, 0), *((size, size) for size in layer.padding)]
    count_padding = layer.count_padding

    def summed(x: Any) -> Any:
        return lax.reduce_window(x, 0.0, lax.add, window, stride, sides)

    def average_pooling(x: Any) -> Any:
        return summed(x) / (area if count_padding else summed(jnp.ones_like(x)))

    return JaxOracle(average_pooling, Average(JaxOracle(summed)), windows_of(layer), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.GlobalAveragePool2d) -> Twin:
    return JaxOracle(lambda x: x.mean((2, 3)), Average(JaxOracle(lambda x: x.sum((2, 3)))), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.ZeroPad2d) -> Twin:
    sides = ((0, 0), (0, 0), *layer.sides)
    return JaxOracle(lambda x: jnp.pad(x, sides), Selection(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.ReLU) -> Twin:
    return JaxOracle(jax.nn.relu, Selection(), kinks=sign_kinks(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.LeakyReLU) -> Twin:
    # Its derivative at 0 is the slope, as in PyTorch; that of jax.nn.leaky_relu is 1.
    slope = layer.negative_slope
    return JaxOracle(lambda x: jnp.where(x > 0, x, slope * x), LeakyReLU(slope), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Sigmoid) -> Twin:
    return JaxOracle(jax.nn.sigmoid, Elementwise(sigmoid), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Tanh) -> Twin:
    return JaxOracle(jnp.tanh, Elementwise(tanh), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.GELU) -> Twin:
    approximate = layer.approximate == "tanh"
    return JaxOracle(lambda x: jax.nn.gelu(x, approximate), GELU[layer.approximate], shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.LogSoftmax) -> Twin:
    return JaxOracle(lambda x: jax.nn.log_softmax(x, axis=1), LogSoftmax(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Dropout) -> Twin:
    p = layer.p

    def dropped(x: Any, mask: Any) -> Any:
        return jnp.where(mask, x / (1 - p), 0)

    if not layer.training:
        return JaxOracle(_unchanged, Selection(), shapes={}, modes=True), LayerLayout()
    return JaxOracle(dropped, Scaling(p), shapes={}, modes=True, evaluation=_unchanged, masked=True), LayerLayout()


def _unchanged(x: Any) -> Any:
    return x


@twin.register
def _(layer: BatchNorm) -> Twin:
    in_training, in_evaluation = _batch_norm(layer, training=True), _batch_norm(layer, training=False)
    buffers = {name: value.astype(np.float64) for name, value in layer.buffers.items()}
    theory = Normalization(layer.eps, layer.momentum, layer.training, buffers)
    known: Any = {"shapes": _shapes(layer.params), "buffers": _shapes(layer.buffers), "modes": True, "evaluation": in_evaluation}
    return JaxOracle(in_training if layer.training else in_evaluation, theory, **known), _same(layer)


def _batch_norm(layer: BatchNorm, training: bool) -> Callable[..., Any]:
    """Return the function of one mode; without running statistics of its own the call gets those that the layer has now."""
    eps, momentum, biased = layer.eps, layer.momentum, layer.running_variance == "biased"
    own = {name: value.copy() for name, value in layer.buffers.items()}

    def normalised(x: Any, weight: Any = None, bias: Any = None, running_mean: Any = None, running_var: Any = None) -> Any:
        axes, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        given = running_mean is not None
        mean, var = (running_mean, running_var) if given else (own["running_mean"].astype(x.dtype), own["running_var"].astype(x.dtype))
        after = {"running_mean": mean, "running_var": var}
        if training:
            count = x.size // x.shape[1]
            mean = x.mean(axes)
            var = jnp.square(x - mean.reshape(shape)).mean(axes)
            spread = var if biased else var * (count / max(count - 1, 1))
            after = {name: (1 - momentum) * after[name] + momentum * new for name, new in (("running_mean", mean), ("running_var", spread))}
        y = (x - mean.reshape(shape)) * lax.rsqrt(var.reshape(shape) + eps)
        y = y if weight is None else y * weight.reshape(shape) + bias.reshape(shape)
        return (y, after) if given else y

    return normalised


@twin.register
def _(layer: scratch.Flatten) -> Twin:
    def flatten(x: Any) -> Any:
        return x.reshape(len(x), -1)

    return JaxOracle(flatten, Selection(), shapes={}), LayerLayout()


@twin.register
def _(layer: scratch.Linear) -> Twin:
    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        return x @ weight if bias is None else x @ weight + bias

    return JaxOracle(linear, Multilinear(), shapes=_shapes(layer.params)), _same(layer)


@twin.register
def _(layer: scratch.SoftmaxCrossEntropy) -> Twin:
    def cross_entropy(logits: Any, labels: Any) -> Any:
        return _at_labels(jax.nn.log_softmax(logits), labels)

    return JaxOracle(cross_entropy, CrossEntropy(), shapes={}, labels=True), LayerLayout()


@twin.register
def _(layer: scratch.NLLLoss) -> Twin:
    return JaxOracle(_at_labels, NegativeLogLikelihood(), shapes={}, labels=True), LayerLayout()


@twin.register
def _(layer: scratch.MSELoss) -> Twin:
    def mean_squared_error(x: Any, target: Any) -> Any:
        return jnp.square(x - target).mean()

    return JaxOracle(mean_squared_error, SquaredError(), shapes={}, labels=True), LayerLayout()


def _at_labels(log_probabilities: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


def _shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in arrays.items()}


def _same(layer: scratch.Layer) -> LayerLayout:
    return LayerLayout(params=same(layer.params), buffers=same(layer.buffers))


def network(layers: Mapping[str, object], loss: object) -> tuple[dict[str, JaxOracle], JaxOracle, dict[str, LayerLayout]]:
    """Return the functions, the loss and the layouts for named scratch layers, in the order of the forward pass."""
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
    """Return JAX's version of a network of named scratch layers, with its loss and its optimizer's settings.

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
    twins = JaxNetwork(oracles, of_loss, settings, frozen, sources or {}, device, tf32)
    return Counterpart(NAME, twins.architecture, twins.training, layouts, twins.place)
