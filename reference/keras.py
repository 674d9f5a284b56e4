"""Keras's version of every scratch layer, loss and optimizer, on JAX, one entry each.

Keras's kernels have the channels last and its parameters have other names: the entries translate inside the compiled function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, singledispatch
from typing import Any

import scratch
from crosscheck.core.operation import Rounding
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings
from crosscheck.oracles.theories import Normalization
from crosscheck.references.jax.oracle import Function
from crosscheck.references.keras.optimizers import KerasOptimizer
from crosscheck.references.keras.oracle import LayerFunction, oracle
from crosscheck.references.keras.training import KerasNetwork
from reference.framework import PARAM, OptimizerTwin, no_twin
from reference.on_jax import OnJax, sides_of, theory_of
from scratch.normalisation import BatchNorm

import keras  # isort: skip


@singledispatch
def entry(layer: object) -> Any:
    """Return Keras's layer, loss or function for a scratch layer or loss."""
    raise no_twin("Keras", layer, "reference/keras.py")


@singledispatch
def optimizer_entry(settings: object) -> OptimizerTwin:
    """Return Keras's version of an optimizer with these settings, or the closest one that it has, and what differs.

    Keras's momentum holds steps, PyTorch's holds gradients; Keras's weight decay is decoupled, and its epsilons are elsewhere in the formulas.
    """
    raise no_twin("Keras", settings, "reference/keras.py")


def _theory(layer: object) -> Rounding:
    theory = theory_of(layer)
    return replace(theory, biased=True, expanded=True) if isinstance(theory, Normalization) else theory


FRAMEWORK = OnJax[KerasNetwork](entry, optimizer_entry, KerasNetwork, oracle, _theory)
twin, network, optimizer_twin = FRAMEWORK.twin, FRAMEWORK.network, FRAMEWORK.optimizer_twin

_FIRST = "channels_first"

_KERNEL = (2, 3, 1, 0)
"""For each axis of Keras's convolution kernel, the same axis of PyTorch's weight."""

_UNDRAWN = {"kernel_initializer": "zeros"}
"""Weights are copied from the scratch layer: drawing others would compile a program for each shape, which takes longer than the comparison."""

entry.register(scratch.GlobalAveragePool2d, lambda layer: keras.layers.GlobalAveragePooling2D(data_format=_FIRST))
entry.register(scratch.ZeroPad2d, lambda layer: keras.layers.ZeroPadding2D(layer.sides, data_format=_FIRST))
entry.register(scratch.Flatten, lambda layer: keras.layers.Flatten(data_format="channels_last"))  # keeps the order of the axes
entry.register(scratch.ReLU, lambda layer: keras.layers.ReLU())
entry.register(scratch.Sigmoid, lambda layer: keras.layers.Activation("sigmoid"))
entry.register(scratch.Tanh, lambda layer: keras.layers.Activation("tanh"))
entry.register(scratch.GELU, lambda layer: partial(keras.ops.gelu, approximate=layer.approximate == "tanh"))
entry.register(scratch.LogSoftmax, lambda layer: partial(keras.ops.log_softmax, axis=1))
entry.register(scratch.SoftmaxCrossEntropy, lambda loss: keras.losses.SparseCategoricalCrossentropy(from_logits=True))
entry.register(scratch.MSELoss, lambda loss: keras.losses.MeanSquaredError())


@entry.register
def _(layer: scratch.Conv2d) -> Function:
    channels_out, channels_in_group = layer.params["weight"].shape[:2]
    same = layer.padding == "same"
    if layer.dilation != (1, 1) and layer.stride != (1, 1):
        # Keras's layer refuses this setting, its function does not.
        return _dilated_and_strided(layer)
    options: Any = {"dilation_rate": layer.dilation, "groups": layer.groups, "use_bias": "bias" in layer.params, "data_format": _FIRST, **_UNDRAWN}
    # Keras has "valid" and "same"; other padding is a layer before the convolution.
    padding = [] if same else [keras.layers.ZeroPadding2D(layer.padding, data_format=_FIRST)]
    convolution = keras.layers.Conv2D(channels_out, layer.kernel_size, layer.stride, "same" if same else "valid", **options)
    return _of_weight(keras.Sequential([keras.Input((channels_in_group * layer.groups, None, None)), *padding, convolution]), _KERNEL)


def _dilated_and_strided(layer: scratch.Conv2d) -> Function:
    same = layer.padding == "same"
    settings: Any = {"strides": layer.stride, "padding": "same" if same else "valid", "data_format": _FIRST, "dilation_rate": layer.dilation}
    sides = [(0, 0)] * 4 if same else sides_of(layer)

    def convolution(x: Any, weight: Any, bias: Any = None) -> Any:
        y = keras.ops.conv(keras.ops.pad(x, sides), keras.ops.transpose(weight, _KERNEL), **settings)
        return y if bias is None else y + keras.ops.reshape(bias, (1, -1, 1, 1))

    return convolution


@entry.register
def _(layer: scratch.MaxPool2d) -> Function:
    # Only the tie rule "first", as in reference/jax.py.
    kernel, stride, sides = layer.kernel_size, layer.stride, sides_of(layer)

    def max_pooling(x: Any) -> Any:
        padded = keras.ops.pad(x, sides, constant_values=-float("inf"))
        return keras.ops.max_pool(padded, kernel, stride, "valid", _FIRST)

    return max_pooling


@entry.register
def _(layer: scratch.AvgPool2d) -> Function:
    kernel, stride, sides = layer.kernel_size, layer.stride, sides_of(layer)

    def average_pooling(x: Any) -> Any:
        return keras.ops.average_pool(keras.ops.pad(x, sides), kernel, stride, "valid", _FIRST)

    return average_pooling if layer.count_padding else lambda x: average_pooling(x) / average_pooling(keras.ops.ones_like(x))


@entry.register
def _(layer: scratch.LeakyReLU) -> Function:
    # The derivative at 0 is the slope, as in PyTorch; keras.layers.LeakyReLU has 1.
    slope = layer.negative_slope
    return lambda x: keras.ops.where(x > 0, x, slope * x)


@entry.register
def _(layer: scratch.Dropout) -> Any:
    # A function, because Keras's layer draws its own mask.
    p = layer.p
    return (lambda x, mask: keras.ops.where(mask, x / (1 - p), 0)) if layer.training else keras.layers.Identity()


@entry.register
def _(layer: BatchNorm) -> Function:
    # Keras has only the biased running variance. A layer with the unbiased one gets the same Keras layer: the comparison names the difference.
    affine = bool(layer.params)
    normalization = keras.layers.BatchNormalization(1, 1 - layer.momentum, layer.eps, center=affine, scale=affine)
    normalization.build((None, layer.num_features, *[None] * (len(layer.axes.split()) - 2)))
    normalization.moving_mean.assign(layer.buffers["running_mean"])
    normalization.moving_variance.assign(layer.buffers["running_var"])
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    own = LayerFunction(normalization, layer.training)

    def normalised(x: Any, **given: Any) -> Any:
        result = own(x, **{names[name]: value for name, value in given.items()})
        if not isinstance(result, tuple):
            return result
        output, after = result
        return output, {name: after[names[name]] for name in given if names[name] in after}

    return normalised


@entry.register
def _(layer: scratch.Linear) -> Function:
    features_in, features_out = layer.params["weight"].shape
    dense = keras.layers.Dense(features_out, use_bias="bias" in layer.params, **_UNDRAWN)
    dense.build((None, features_in))
    return _of_weight(dense, (1, 0))


def _of_weight(layer: Any, axes: tuple[int, ...]) -> Function:
    """Return a Keras layer as a function of PyTorch's weight; ``axes`` are the weight's axes in the order of Keras's kernel."""
    own = LayerFunction(layer)

    def function(x: Any, weight: Any, **bias: Any) -> Any:
        return own(x, kernel=keras.ops.transpose(weight, axes), **bias)

    function.__name__ = own.__name__
    return function


@entry.register
def _(loss: scratch.NLLLoss) -> Function:
    def negative_log_likelihood(log_probabilities: Any, labels: Any) -> Any:
        return -keras.ops.mean(keras.ops.take_along_axis(log_probabilities, labels[:, None], axis=1))

    return negative_log_likelihood


_DECAY = "Keras's weight decay shrinks the parameters and stays out of the gradient"


@optimizer_entry.register
def _(s: SgdSettings) -> OptimizerTwin:
    differs: dict[str, str] = {}
    if s.momentum and s.weight_decay:
        differs = dict.fromkeys((PARAM, "momentum"), _DECAY)
    elif s.momentum and s.dampening:
        differs = dict.fromkeys((PARAM, "momentum"), "Keras's SGD has no dampening: its buffer adds the whole gradient")
    # Keras's buffer holds a step, -lr times PyTorch's.
    make = _made(keras.optimizers.SGD, s.lr, s.weight_decay, momentum=s.momentum, nesterov=s.nesterov)
    return OptimizerTwin(make, {"momentum": "momentum"}, {"momentum": -1 / s.lr}, differs)


@optimizer_entry.register
def _(s: AdadeltaSettings) -> OptimizerTwin:
    differs = dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay else {}
    make = _made(keras.optimizers.Adadelta, s.lr, s.weight_decay, rho=s.rho, epsilon=s.eps)
    return OptimizerTwin(make, {"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"}, differs=differs)


@optimizer_entry.register
def _(s: RmspropSettings) -> OptimizerTwin:
    reason = "Keras's RMSprop has its epsilon inside of the root"
    differs = {quantity: reason for quantity in (PARAM, *s.states) if s.eps and quantity in (PARAM, "momentum")}
    differs |= dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay else {}
    make = _made(keras.optimizers.RMSprop, s.lr, s.weight_decay, rho=s.alpha, momentum=s.momentum, epsilon=s.eps, centered=s.centered)
    states = {"square_avg": "velocity", "momentum": "momentum", "grad_avg": "average_gradient"}
    return OptimizerTwin(make, states, {"momentum": 1 / s.lr}, differs)


@optimizer_entry.register
def _(s: AdamSettings) -> OptimizerTwin:
    differs = {PARAM: "Keras's Adam adds its epsilon before the correction for the start"} if s.eps else {}
    differs |= dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay and not s.decoupled else {}
    kind = keras.optimizers.AdamW if s.decoupled else keras.optimizers.Adam
    options: Any = {"beta_1": s.betas[0], "beta_2": s.betas[1], "epsilon": s.eps, "amsgrad": s.amsgrad}
    states = {"exp_avg": "momentum", "exp_avg_sq": "velocity", "max_exp_avg_sq": "velocity_hat"}
    return OptimizerTwin(_made(kind, s.lr, s.weight_decay, **options), states, differs=differs)


def _made(kind: Callable[..., Any], lr: float, weight_decay: float, **options: Any) -> KerasOptimizer:
    return KerasOptimizer(lambda params: kind(lr, weight_decay=weight_decay or None, **options))
