"""The probes of Keras 3 on JAX, by convention and by the code that they call."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from conventions.answers import BIASED_IN, BIASED_OUT, CHANNELS_IN, CHANNELS_OUT, FAN_IN, FAN_OUT, KERNEL, Measured, Probes, moments
from conventions.in_jax import gradient
from conventions.probes import EQUAL, SQUARES, WINDOW, epsilon, numbers, of_optimizers, renamed, shape

# Keras reads its backend setting only once, when it is first imported.
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"

import keras
from keras import layers, losses, ops, optimizers

NAME = "Keras"
VERSION = f"Keras {keras.__version__} on {keras.backend.backend()}"
SEED = 0

_BETA_2 = 0.999
_TWO_SAMPLES = np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]], np.float32)
"""Labels and probabilities."""


def _float32(values: Any) -> Any:
    return np.asarray(values, dtype=np.float32)


def _built(make: Callable[[], Any], size: tuple[int, ...]) -> Any:
    """Return a built layer with seeded weights. The seed is set before the layer is made, because its initialiser then draws its own seed."""
    keras.utils.set_random_seed(SEED)
    layer = make()
    layer.build(size)
    return layer


def _line_convolved(kernel: Sequence[float], line: Sequence[float], **settings: Any) -> tuple[float, ...]:
    x, weight = np.reshape(line, (1, -1, 1)), np.reshape(kernel, (-1, 1, 1))
    return numbers(ops.conv(ops.convert_to_tensor(x, "float32"), ops.convert_to_tensor(weight, "float32"), **settings))


def _batch_norm(batch: Sequence[float], **settings: Any) -> tuple[Any, Any]:
    layer = layers.BatchNormalization(**settings)
    return layer, layer(np.reshape(_float32(batch), (-1, 1)), training=True)


def _dropout(rate: float, training: bool) -> float:
    return float(np.max(layers.Dropout(rate, seed=SEED)(np.ones((1, 1000), np.float32), training=training)))


def _moves(kind: str, grads: Sequence[float], start: float = 0.0, rates: Sequence[float] = (), **settings: Any) -> tuple[float, ...]:
    """Return how much each step of an optimizer decreases a single parameter."""
    optimizer = getattr(optimizers, kind)(**renamed(settings, {"lr": "learning_rate", "eps": "epsilon"}))
    weight, moved = keras.Variable([start]), []
    for number, grad in enumerate(grads):
        if rates:
            optimizer.learning_rate = rates[number]
        (before,) = numbers(weight.value)
        optimizer.apply([jnp.array([float(grad)])], [weight])
        moved.append(before - numbers(weight.value)[0])
    return tuple(moved)


def _adam_epsilon() -> Measured:
    """Return Adam's epsilon, computed from a first step, in which Keras adds it to the root of (1 - beta2) g**2."""
    grad = math.sqrt(1 - _BETA_2) * 1e-5
    return (grad / _moves("Adam", [1e-5], lr=1.0, beta_2=_BETA_2)[0] - grad,)


PROBES: Probes = {
    "max-pool-ties": {"layers.MaxPooling2D": lambda: gradient(lambda x: layers.MaxPooling2D(2)(x[None, :, :, None])[0, 0, 0, 0], WINDOW)},
    "max-reduction-ties": {"ops.max": lambda: gradient(ops.max, EQUAL)},
    "relu-at-zero": {"ops.relu": lambda: gradient(ops.relu, 0.0), "layers.ReLU": lambda: gradient(layers.ReLU(), 0.0)},
    "maximum-at-zero": {"ops.maximum(x, 0)": lambda: gradient(lambda x: ops.maximum(x, 0), 0.0)},
    "leaky-relu-at-zero": {"ops.leaky_relu": lambda: gradient(lambda x: ops.leaky_relu(x, 0.25), 0.0)},
    "leaky-relu-slope": {
        "ops.leaky_relu": lambda: numbers(-ops.leaky_relu(jnp.array(-1.0))),
        "layers.LeakyReLU": lambda: numbers(-layers.LeakyReLU()(jnp.array([-1.0]))),
    },
    "abs-at-zero": {"ops.abs": lambda: gradient(ops.abs, 0.0)},
    "image-layout": {"layers.Conv2D": lambda: (layers.Conv2D(3, 1)(np.zeros((1, 4, 4, 4), np.float32)).shape.index(3),)},
    "flatten-order": {
        "layers.Flatten": lambda: numbers(layers.Flatten()(_float32([[[[0.1, 1.1], [0.2, 1.2]]]]))),
        'layers.Flatten("channels_first")': lambda: numbers(layers.Flatten("channels_first")(_float32([[[[0.1, 0.2]], [[1.1, 1.2]]]]))),
    },
    "linear-weight-shape": {"layers.Dense": lambda: shape(_built(lambda: layers.Dense(3), (1, 2)).kernel)},
    "conv-weight-shape": {
        "layers.Conv2D": lambda: shape(_built(lambda: layers.Conv2D(3, (4, 5)), (1, 6, 6, 2)).kernel),
        'layers.Conv2D(data_format="channels_first")': lambda: shape(
            _built(lambda: layers.Conv2D(3, (4, 5), data_format="channels_first"), (1, 2, 6, 6)).kernel
        ),
    },
    "convolution-flip": {"ops.conv": lambda: _line_convolved([1, 10], [1, 2, 3])},
    "same-with-stride": {'ops.conv(..., padding="same")': lambda: (len(_line_convolved([1] * 3, [0] * 5, strides=2, padding="same")),)},
    "same-odd-padding": {'ops.conv(..., padding="same")': lambda: _line_convolved([1, 10], [1, 2, 3], padding="same")},
    "stride-padding-offset": {'ops.conv(..., padding="same")': lambda: _line_convolved([1, 10, 100], [1, 2, 3, 4], strides=2, padding="same")},
    "average-pool-padding": {
        'ops.average_pool(..., padding="same")': lambda: numbers(ops.average_pool(np.ones((1, 2, 2, 1), np.float32), 2, 1, "same")[0, 1, 1, 0])
    },
    "batch-norm-epsilon": {"layers.BatchNormalization": lambda: epsilon(lambda batch: _batch_norm(batch)[1])},
    "batch-norm-momentum": {"layers.BatchNormalization": lambda: numbers(_batch_norm([1, 1], momentum=0.25)[0].moving_mean)},
    "batch-norm-momentum-default": {"layers.BatchNormalization": lambda: numbers(_batch_norm([1, 1])[0].moving_mean)},
    "batch-norm-running-variance": {"layers.BatchNormalization": lambda: numbers(_batch_norm([0, 2], momentum=0.0)[0].moving_variance)},
    "batch-norm-one-value": {"layers.BatchNormalization": lambda: numbers(_batch_norm([5])[1])},
    "gelu-form": {
        "ops.gelu": lambda: numbers(ops.gelu(jnp.array(1.0))),
        "activations.gelu": lambda: numbers(keras.activations.gelu(jnp.array(1.0))),
    },
    "cross-entropy-input": {
        "losses.SparseCategoricalCrossentropy": lambda: numbers(losses.SparseCategoricalCrossentropy()(np.array([1]), _float32([[0.2, 0.8]]))),
        "ops.sparse_categorical_crossentropy": lambda: numbers(ops.sparse_categorical_crossentropy(np.array([1]), _float32([[0.2, 0.8]]))),
    },
    "cross-entropy-reduction": {
        "losses.SparseCategoricalCrossentropy": lambda: numbers(losses.SparseCategoricalCrossentropy()(*_TWO_SAMPLES)),
        "losses.sparse_categorical_crossentropy": lambda: numbers(losses.sparse_categorical_crossentropy(*_TWO_SAMPLES)),
    },
    "mse-reduction": {
        "losses.MeanSquaredError": lambda: numbers(losses.MeanSquaredError()(np.array(SQUARES), np.zeros((2, 2)))),
        "losses.mean_squared_error": lambda: numbers(losses.mean_squared_error(np.array(SQUARES), np.zeros((2, 2)))),
    },
    "probability-clip": {
        "losses.CategoricalCrossentropy": lambda: numbers(losses.CategoricalCrossentropy()([[0.0, 1.0]], [[1.0, 0.0]])),
        "losses.BinaryCrossentropy": lambda: numbers(losses.BinaryCrossentropy()([[1.0]], [[0.0]])),
    },
    "dropout-scaling": {"layers.Dropout": lambda: (_dropout(0.75, True), _dropout(0.75, False))},
    "dropout-argument": {"layers.Dropout(0.25)": lambda: (_dropout(0.25, True),)},
    **of_optimizers(_moves, epsilon_inside=True),
    "adam-epsilon-default": {"Adam": _adam_epsilon},
    "linear-initialiser": {"layers.Dense": lambda: moments(np.asarray(_built(lambda: layers.Dense(FAN_OUT), (1, FAN_IN)).kernel))},
    "conv-initialiser": {
        "layers.Conv2D": lambda: moments(np.asarray(_built(lambda: layers.Conv2D(CHANNELS_OUT, KERNEL), (1, KERNEL, KERNEL, CHANNELS_IN)).kernel))
    },
    "bias-initialiser": {"layers.Dense": lambda: moments(np.asarray(_built(lambda: layers.Dense(BIASED_OUT), (1, BIASED_IN)).bias))},
    "argmax-ties": {"ops.argmax": lambda: numbers(ops.argmax(jnp.array([1, 3, 3, 2])))},
    "round-half": {"ops.round": lambda: numbers(ops.round(jnp.array([0.5, 1.5, 2.5, -0.5])))},
    "default-dtype": {"ops.convert_to_tensor(1.0)": lambda: str(ops.convert_to_tensor(1.0).dtype)},
    "float64-input": {"ops.convert_to_tensor": lambda: str(ops.convert_to_tensor(np.zeros(1)).dtype)},
}
