"""JAX's version of every scratch layer and loss, as pure functions of arrays, and optax's version of every optimizer, one entry each."""

from __future__ import annotations

import math
from functools import partial, singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

import scratch
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings
from crosscheck.references.jax.optimizers import OptaxOptimizer
from crosscheck.references.jax.oracle import Function, oracle
from crosscheck.references.jax.training import JaxNetwork
from reference.framework import PARAM, OptimizerTwin, no_twin
from reference.on_jax import OnJax, sides_of, summed
from scratch.normalisation import BatchNorm


@singledispatch
def entry(layer: object) -> Function:
    """Return JAX's function for a scratch layer or loss."""
    raise no_twin("JAX", layer, "reference/jax.py")


@singledispatch
def optimizer_entry(settings: object) -> OptimizerTwin:
    """Return optax's version of an optimizer with these settings, chained so that each setting has PyTorch's meaning."""
    raise no_twin("optax", settings, "reference/jax.py")


FRAMEWORK = OnJax[JaxNetwork](entry, optimizer_entry, JaxNetwork, oracle)
twin, network, optimizer_twin = FRAMEWORK.twin, FRAMEWORK.network, FRAMEWORK.optimizer_twin

entry.register(scratch.GlobalAveragePool2d, lambda layer: lambda x: x.mean((2, 3)))
entry.register(scratch.ZeroPad2d, lambda layer: partial(jnp.pad, pad_width=((0, 0), (0, 0), *layer.sides)))
entry.register(scratch.Flatten, lambda layer: lambda x: x.reshape(len(x), -1))
entry.register(scratch.ReLU, lambda layer: jax.nn.relu)
entry.register(scratch.Sigmoid, lambda layer: jax.nn.sigmoid)
entry.register(scratch.Tanh, lambda layer: jnp.tanh)
entry.register(scratch.GELU, lambda layer: partial(jax.nn.gelu, approximate=layer.approximate == "tanh"))
entry.register(scratch.LogSoftmax, lambda layer: partial(jax.nn.log_softmax, axis=1))
entry.register(scratch.SoftmaxCrossEntropy, lambda loss: lambda logits, labels: _at_labels(jax.nn.log_softmax(logits), labels))
entry.register(scratch.NLLLoss, lambda loss: _at_labels)
entry.register(scratch.MSELoss, lambda loss: lambda x, target: jnp.square(x - target).mean())


def _at_labels(log_probabilities: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


@entry.register
def _(layer: scratch.Conv2d) -> Function:
    sides = "SAME" if layer.padding == "same" else sides_of(layer)[2:]
    settings: Any = {"rhs_dilation": layer.dilation, "feature_group_count": layer.groups, "dimension_numbers": ("NCHW", "OIHW", "NCHW")}
    stride = layer.stride

    def convolution(x: Any, weight: Any, bias: Any = None) -> Any:
        y = lax.conv_general_dilated(x, weight, stride, sides, **settings)
        return y if bias is None else y + bias[:, None, None]

    return convolution


@entry.register
def _(layer: scratch.MaxPool2d) -> Function:
    # XLA has only the tie rule "first". A layer with another rule gets the same function: the comparison names the difference.
    window, stride, sides = (1, 1, *layer.kernel_size), (1, 1, *layer.stride), sides_of(layer)

    def max_pooling(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, window, stride, sides)

    return max_pooling


@entry.register
def _(layer: scratch.AvgPool2d) -> Function:
    def average_pooling(x: Any) -> Any:
        return summed(layer, x) / (math.prod(layer.kernel_size) if layer.count_padding else summed(layer, jnp.ones_like(x)))

    return average_pooling


@entry.register
def _(layer: scratch.LeakyReLU) -> Function:
    # The derivative at 0 is the slope, as in PyTorch; jax.nn.leaky_relu has 1.
    slope = layer.negative_slope
    return lambda x: jnp.where(x > 0, x, slope * x)


@entry.register
def _(layer: scratch.Dropout) -> Function:
    p = layer.p
    return (lambda x, mask: jnp.where(mask, x / (1 - p), 0)) if layer.training else (lambda x: x)


@entry.register
def _(layer: BatchNorm) -> Function:
    """Return the function for the layer's mode; a call without running statistics uses the layer's current ones."""
    eps, momentum, biased, training = layer.eps, layer.momentum, layer.running_variance == "biased", layer.training
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


@entry.register
def _(layer: scratch.Linear) -> Function:
    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        return x @ weight.T if bias is None else x @ weight.T + bias

    return linear


@optimizer_entry.register
def _(s: SgdSettings) -> OptimizerTwin:
    transformation = optax.chain(*_decay(s.weight_decay), optax.sgd(s.lr, s.momentum or None, s.nesterov))
    reason = "optax.sgd has no dampening: its buffer adds the whole gradient"
    differs = {PARAM: reason, "momentum": reason} if s.momentum and s.dampening else {}
    return OptimizerTwin(_optax(transformation), {"momentum": "trace"}, differs=differs)


@optimizer_entry.register
def _(s: AdadeltaSettings) -> OptimizerTwin:
    transformation = optax.chain(*_decay(s.weight_decay), optax.adadelta(s.lr, s.rho, s.eps))
    return OptimizerTwin(_optax(transformation), {"square_avg": "e_g", "acc_delta": "e_x"})


@optimizer_entry.register
def _(s: RmspropSettings) -> OptimizerTwin:
    # Not optax.rmsprop, which applies the momentum after the learning rate.
    scale = optax.scale_by_stddev if s.centered else optax.scale_by_rms
    momentum = [optax.trace(s.momentum)] if s.momentum else []
    scaled = scale(decay=s.alpha, eps=s.eps, eps_in_sqrt=False)
    transformation = optax.chain(*_decay(s.weight_decay), scaled, *momentum, optax.scale_by_learning_rate(s.lr))
    return OptimizerTwin(_optax(transformation), {"square_avg": "nu", "momentum": "trace", "grad_avg": "mu"})


@optimizer_entry.register
def _(s: AdamSettings) -> OptimizerTwin:
    scale = optax.scale_by_amsgrad if s.amsgrad else optax.scale_by_adam
    coupled, decoupled = ([], _decay(s.weight_decay)) if s.decoupled else (_decay(s.weight_decay), [])
    transformation = optax.chain(*coupled, scale(*s.betas, s.eps), *decoupled, optax.scale_by_learning_rate(s.lr))
    reason = "optax keeps the largest of the corrected mean squares, PyTorch of those before the correction for their start"
    differs = {PARAM: reason, "max_exp_avg_sq": reason} if s.amsgrad else {}
    return OptimizerTwin(_optax(transformation), {"exp_avg": "mu", "exp_avg_sq": "nu", "max_exp_avg_sq": "nu_max"}, differs=differs)


def _decay(weight_decay: float) -> list[Any]:
    """Return a list with the transformation that adds the weight decay; empty without decay."""
    return [optax.add_decayed_weights(weight_decay)] if weight_decay else []


def _optax(transformation: Any) -> OptaxOptimizer:
    return OptaxOptimizer(lambda params: transformation)
