"""The probes of JAX, stax (its small library of layers) and optax, by convention and by the code that they call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, nn
from jax.example_libraries import stax

from conventions.answers import BIASED_IN, BIASED_OUT, CHANNELS_IN, CHANNELS_OUT, FAN_IN, FAN_OUT, KERNEL, Measured, Probes, moments
from conventions.probes import EQUAL, SQUARES, WINDOW, epsilon, numbers, of_optimizers, renamed, shape

NAME = "JAX"
VERSION = f"JAX {jax.__version__}, optax {optax.__version__}"


def _key() -> Any:
    return jax.random.PRNGKey(0)


def gradient(function: Callable[[Any], Any], at: Any) -> Measured:
    """Return the gradient of a function that maps one array to one number."""
    return numbers(jax.grad(function)(jnp.asarray(at)))


def _max_pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID")[0, 0]


def _layer(layer: Any, size: tuple[int, ...], x: Any = None) -> tuple[Any, Any]:
    """Return the parameters of a stax layer and its output for ``x``, or for zeros without ``x``."""
    start, apply = layer
    _, params = start(_key(), size)
    return params, apply(params, jnp.zeros(size) if x is None else jnp.asarray(x), rng=_key())


def _line_convolved(kernel: Sequence[float], line: Sequence[float], stride: int, padding: Any) -> tuple[float, ...]:
    return numbers(lax.conv_general_dilated(jnp.asarray(line)[None, None], jnp.asarray(kernel)[None, None], (stride,), padding))


def _cross_entropy(logits: Any, labels: Any) -> Measured:
    return numbers(optax.softmax_cross_entropy_with_integer_labels(jnp.array(logits), jnp.array(labels)))


def _moves(kind: str, grads: Sequence[float], start: float = 0.0, rates: Sequence[float] = (), **settings: Any) -> tuple[float, ...]:
    """Return how much each step of an optimizer decreases a single parameter."""
    settings = renamed(settings, {"lr": "learning_rate", "rho": "decay" if kind == "RMSprop" else "rho"})
    if rates:
        settings["learning_rate"] = jnp.asarray(rates).__getitem__
    return _updates(getattr(optax, kind.lower())(**settings), grads, start)


def _updates(transformation: Any, grads: Sequence[float], start: float = 0.0) -> tuple[float, ...]:
    weight = jnp.array([start])
    state, moved = transformation.init(weight), []
    for grad in grads:
        update, state = transformation.update(jnp.array([float(grad)]), state, weight)
        weight = optax.apply_updates(weight, update)
        moved.append(-float(update[0]))
    return tuple(moved)


def _decayed(transformation: Any) -> Measured:
    """Return the value of a parameter that starts at 1 after two steps with zero gradient."""
    return (1 - sum(_updates(transformation, [0.0, 0.0], start=1.0)),)


_OPTIMIZERS = of_optimizers(_moves, lambda kind: f"optax.{kind.lower()}", epsilon_inside=True)

PROBES: Probes = {
    "max-pool-ties": {"lax.reduce_window(..., lax.max, ...)": lambda: gradient(_max_pool, WINDOW)},
    "max-reduction-ties": {
        "jnp.max": lambda: gradient(jnp.max, EQUAL),
        "lax.top_k(x, 1)": lambda: gradient(lambda x: lax.top_k(x, 1)[0][0], EQUAL),
    },
    "relu-at-zero": {"jax.nn.relu": lambda: gradient(nn.relu, 0.0)},
    "maximum-at-zero": {
        "jnp.maximum(x, 0)": lambda: gradient(lambda x: jnp.maximum(x, 0), 0.0),
        "jnp.clip(x, min=0)": lambda: gradient(lambda x: jnp.clip(x, min=0), 0.0),
    },
    "leaky-relu-at-zero": {"jax.nn.leaky_relu": lambda: gradient(lambda x: nn.leaky_relu(x, 0.25), 0.0)},
    "leaky-relu-slope": {"jax.nn.leaky_relu": lambda: numbers(-nn.leaky_relu(jnp.array(-1.0)))},
    "abs-at-zero": {"jnp.abs": lambda: gradient(jnp.abs, 0.0)},
    "image-layout": {
        "stax.Conv": lambda: (_layer(stax.Conv(3, (1, 1)), (1, 4, 4, 4))[1].shape.index(3),),
        "lax.conv": lambda: (lax.conv(jnp.zeros((1, 4, 4, 4)), jnp.zeros((3, 4, 1, 1)), (1, 1), "VALID").shape.index(3),),
    },
    "flatten-order": {"stax.Flatten": lambda: numbers(_layer(stax.Flatten, (1, 1, 2, 2), [[[[0.1, 1.1], [0.2, 1.2]]]])[1])},
    "linear-weight-shape": {"stax.Dense": lambda: shape(_layer(stax.Dense(3), (1, 2))[0][0])},
    "conv-weight-shape": {"stax.Conv": lambda: shape(_layer(stax.Conv(3, (4, 5)), (1, 6, 6, 2))[0][0])},
    "convolution-flip": {
        "lax.conv": lambda: _line_convolved([1.0, 10.0], [1.0, 2.0, 3.0], 1, "VALID"),
        "jnp.convolve": lambda: numbers(jnp.convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 10.0]), "valid")),
    },
    "same-with-stride": {'lax.conv(..., "SAME")': lambda: (len(_line_convolved([1.0] * 3, [0.0] * 5, 2, "SAME")),)},
    "same-odd-padding": {'lax.conv(..., "SAME")': lambda: _line_convolved([1.0, 10.0], [1.0, 2.0, 3.0], 1, "SAME")},
    "stride-padding-offset": {'lax.conv(..., "SAME")': lambda: _line_convolved([1.0, 10.0, 100.0], [1.0, 2.0, 3.0, 4.0], 2, "SAME")},
    "average-pool-padding": {
        'stax.AvgPool(..., "SAME")': lambda: numbers(_layer(stax.AvgPool((2, 2), (1, 1), "SAME"), (1, 2, 2, 1), np.ones((1, 2, 2, 1)))[1][0, 1, 1, 0])
    },
    "batch-norm-epsilon": {
        "stax.BatchNorm": lambda: epsilon(lambda batch: _layer(stax.BatchNorm(0), (2, 1), np.reshape(batch, (2, 1)))[1]),
        "jax.nn.standardize": lambda: epsilon(lambda batch: nn.standardize(jnp.array(batch), 0)),
    },
    "batch-norm-one-value": {"stax.BatchNorm": lambda: numbers(_layer(stax.BatchNorm(0), (1, 1), [[5.0]])[1])},
    "gelu-form": {"jax.nn.gelu": lambda: numbers(nn.gelu(jnp.array(1.0)))},
    "cross-entropy-input": {"optax.softmax_cross_entropy_with_integer_labels": lambda: _cross_entropy([0.2, 0.8], 1)},
    "cross-entropy-reduction": {
        "optax.softmax_cross_entropy_with_integer_labels": lambda: _cross_entropy([[0.0, 0.0], [math.log(3), 0.0]], [0, 1]),
    },
    "mse-reduction": {
        "optax.squared_error": lambda: numbers(optax.squared_error(jnp.array(SQUARES))),
        "optax.l2_loss": lambda: numbers(optax.l2_loss(jnp.array(SQUARES))),
    },
    "probability-clip": {
        "optax.softmax_cross_entropy(log(p))": lambda: numbers(optax.softmax_cross_entropy(jnp.log(jnp.array([1.0, 0.0])), jnp.array([0.0, 1.0])))
    },
    "dropout-scaling": {
        "stax.Dropout(0.25)": lambda: (
            float(_layer(stax.Dropout(0.25), (1000,), np.ones(1000))[1].max()),
            float(_layer(stax.Dropout(0.25, mode="test"), (1000,), np.ones(1000))[1].max()),
        )
    },
    "dropout-argument": {"stax.Dropout(0.25)": lambda: numbers(_layer(stax.Dropout(0.25), (1000,), np.ones(1000))[1].max())},
    **_OPTIMIZERS,
    "weight-decay": {
        "optax.adamw(..., weight_decay)": lambda: _decayed(optax.adamw(0.1, weight_decay=0.1)),
        "optax.chain(add_decayed_weights, sgd)": lambda: _decayed(optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.5))),
    },
    "rmsprop-epsilon": {
        **_OPTIMIZERS["rmsprop-epsilon"],
        "optax.rmsprop(..., eps_in_sqrt=False)": lambda: _moves("RMSprop", [1.0], lr=1.0, rho=0.0, eps=1.0, eps_in_sqrt=False),
    },
    "linear-initialiser": {"stax.Dense": lambda: moments(np.asarray(_layer(stax.Dense(FAN_OUT), (1, FAN_IN))[0][0]))},
    "conv-initialiser": {
        "stax.Conv": lambda: moments(np.asarray(_layer(stax.Conv(CHANNELS_OUT, (KERNEL, KERNEL)), (1, KERNEL, KERNEL, CHANNELS_IN))[0][0]))
    },
    "bias-initialiser": {"stax.Dense": lambda: moments(np.asarray(_layer(stax.Dense(BIASED_OUT), (1, BIASED_IN))[0][1]))},
    "argmax-ties": {"jnp.argmax": lambda: numbers(jnp.argmax(jnp.array([1, 3, 3, 2])))},
    "round-half": {"jnp.round": lambda: numbers(jnp.round(jnp.array([0.5, 1.5, 2.5, -0.5])))},
    "default-dtype": {"jnp.asarray(1.0)": lambda: str(jnp.asarray(1.0).dtype)},
    "float64-input": {"jnp.asarray": lambda: str(jnp.asarray(np.zeros(1)).dtype)},
    "matmul-precision": {"jax.config.jax_default_matmul_precision": lambda: str(jax.config.jax_default_matmul_precision)},
    "conv-precision": {"jax.config.jax_default_matmul_precision": lambda: str(jax.config.jax_default_matmul_precision)},
}
