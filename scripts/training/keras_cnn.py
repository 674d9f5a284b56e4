"""The tutorial's small CNN as written in Keras (on JAX, channels last), its copy in scratch, and a bound of their difference by rounding."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import numpy.typing as npt
from digits.files import Digits

import scratch
from crosscheck.adapters.layout import LayerLayout, Layout, Parameter
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.training import TrainState
from crosscheck.oracles.theories import Softmax
from crosscheck.references.keras.oracle import NAME
from reference.copying import to_scratch
from reference.keras import twin
from scratch import fast
from scratch.networks import CLASSES

import keras  # isort: skip

__all__ = ["EPSILON", "NAME", "KerasCnn", "network", "probability_errors"]

EPSILON = keras.config.epsilon()
"""Keras' losses clip probabilities to at least this and at most 1 minus this; for clipped probabilities the gradient is 0."""

FILTERS, SIDE = 8, 13
"""The image that the last layer receives: its channels, and its rows and columns."""


class KerasCnn:
    """The tutorial's Keras model, made, trained and tested as a user of Keras does it; ``seed`` is the seed of the initial weights.

    With ``from_logits`` the last layer returns logits. Otherwise, as in the tutorial, it returns probabilities, which Keras' loss clips.
    """

    def __init__(self, seed: int, lr: float, from_logits: bool = False) -> None:
        keras.utils.set_random_seed(seed)
        self.from_logits = from_logits
        self.model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Conv2D(FILTERS, 3, name="conv"),
                keras.layers.MaxPooling2D(2, name="pool"),
                keras.layers.Flatten(name="flatten"),
                keras.layers.Dense(CLASSES, activation=None if from_logits else "softmax", name="linear"),
            ]
        )
        loss = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
        self.model.compile(keras.optimizers.SGD(lr), loss, metrics=["accuracy"])

    def fit(self, digits: Digits, order: npt.NDArray[np.int64], after_step: Callable[[], None]) -> None:
        """Train for one epoch, image by image, in the given order."""
        step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: after_step())
        images, labels = _prepared(digits.train_images[order], digits.train_labels[order])
        self.model.fit(images, labels, batch_size=1, epochs=1, shuffle=False, verbose=0, callbacks=[step])

    def loss(self, digits: Digits) -> float:
        """Return the loss on the test images as Keras itself computes it."""
        return float(self.model.evaluate(*_prepared(digits.test_images, digits.test_labels), verbose=0)[0])

    def probabilities(self, digits: Digits) -> npt.NDArray[np.float64]:
        """Return the probabilities of the test images, ``(images, classes)``."""
        outputs = self.model.predict(_prepared(digits.test_images, digits.test_labels)[0], verbose=0)
        return np.asarray(keras.ops.softmax(outputs) if self.from_logits else outputs, np.float64)

    def copy(self, dtype: npt.DTypeLike) -> scratch.Sequential:
        """Return a scratch network with the model's current weights."""
        layers = self.model.layers
        params = {f"{layer.name}.{variable.name}": np.asarray(variable.value) for layer in layers for variable in layer.trainable_variables}
        model = network(dtype)
        to_scratch(TrainState(params), model, scratch.SGD(model.params, lr=0), _layouts(model))
        return model


def _prepared(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return images as ``(count, 28, 28, 1)`` from -0.5 to 0.5 and one-hot labels, as the tutorial passes them to Keras."""
    return np.expand_dims(images.astype(np.float32) / 255 - 0.5, 3), keras.utils.to_categorical(labels, CLASSES)


def network(dtype: npt.DTypeLike) -> scratch.Sequential:
    """Return Keras' architecture in scratch, with logits as output: the tutorial's hand-written network with a bias in its convolution."""
    rng = np.random.default_rng(0)  # the drawn weights are overwritten
    return scratch.Sequential(
        conv=fast.Conv2d(1, FILTERS, 3, rng=rng, dtype=dtype),
        pool=fast.MaxPool2d(2),
        flatten=scratch.Flatten(),
        linear=fast.Linear(FILTERS * SIDE * SIDE, CLASSES, rng=rng, dtype=dtype),
    )


def _layouts(model: scratch.Sequential) -> dict[str, LayerLayout]:
    sizes = {"c": FILTERS, "h": SIDE, "w": SIDE}  # scratch flattens channels first, Keras channels last
    kernels = {"conv": Layout("o i h w -> h w i o"), "linear": Layout("(c h w) k -> (h w c) k", sizes)}
    named = {name: {"weight": Parameter("kernel", kernel), "bias": Parameter("bias", Layout())} for name, kernel in kernels.items()}
    return {name: LayerLayout(params=named.get(name, {})) for name in model.layers}


def probability_errors(model: scratch.Sequential, x: Array, precision: Precision) -> tuple[Array, Array]:
    """Return a float64 network's probabilities, and how far rounding may move those of a network with lower precision and the same weights.

    The theory of each layer bounds the layer's own rounding error, as everywhere in this project. The error of its input is propagated through the
    layer: multiplied by the absolute weights, or unchanged by max pooling, because a maximum changes no more than its inputs do.

    Parameters
    ----------
    model : Sequential
        As made by :func:`network`.
    x : array of shape (batch, 1, 28, 28)
        The input of both networks, in float64.
    precision : Precision
        The precision of the other network.
    """
    conv, pool, flatten, linear = model.layers.values()
    sizes = _absolute(conv).forward(np.abs(x))
    features = flatten.forward(pool.forward(conv.forward(x)))
    error = flatten.forward(pool.forward(precision.tolerance(Bound(sizes, _terms(conv)))))
    sizes = _absolute(linear).forward(np.abs(features) + error)
    logits = linear.forward(features)
    error = error @ np.abs(linear.params["weight"]) + precision.tolerance(Bound(sizes, _terms(linear)))
    probabilities, call = np.exp(logits - logits.max(axis=1, keepdims=True)), Call(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    # Softmax's bounds depend only on the logits.
    softmax, oracle = Softmax(), twin(scratch.SoftmaxCrossEntropy())
    own = precision.tolerance(softmax.bounds(oracle, call, {}, precision)["output"])
    # a probability that is subnormal may also be flushed to zero
    return probabilities, own + softmax.propagated(oracle, call, {}, error, None)["output"] + precision.smallest_normal


def _absolute(layer: scratch.Layer) -> scratch.Layer:
    """Return the layer with absolute parameters: for absolute inputs, its output is the sum of the absolute terms."""
    result = deepcopy(layer)
    for value in result.params.values():
        np.abs(value, out=value)
    return result


def _terms(layer: scratch.Layer) -> int:
    """Return how many terms the sum of each output has, including the bias."""
    weight, bias = layer.params["weight"], layer.params["bias"]
    return weight.size // bias.size + 1
