"""References of Keras as graphs of elementary steps: outputs, buffers and all gradients are the reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import reference.keras as framework
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call
from crosscheck.references.keras.oracle import oracle, parameter_shapes
from tests.support.cases import CASES
from tests.support.graphs import call_of, drawn, kinds, of_table, wrong

import keras  # isort: skip

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((2, 5, 4))
SHOWN = ["normal-conv2d-same-s2", "ties-maxpool2d-3s2p1", "normal-batchnorm1d"]


@pytest.mark.slow("each is compiled with its rounding; the rows show windows, ties and a unit with buffers", default=SHOWN)
@pytest.mark.parametrize(("family", "name"), [(family, name) for family in ("normal", "ties", "kinks") for name in CASES])
def test_layer_of_the_table(family: str, name: str) -> None:
    assert wrong(*of_table(framework.twin, name, family)) == []


LAYERS: Mapping[str, tuple[Callable[[], Any], list[str]]] = {
    "layer normalisation": (keras.layers.LayerNormalization, ["normalised"]),
    "group normalisation": (lambda: keras.layers.GroupNormalization(2), ["normalised"]),
    "batch normalisation": (keras.layers.BatchNormalization, ["normalised"]),
    "without scale": (lambda: keras.layers.BatchNormalization(scale=False), ["normalised"]),
    "without center": (lambda: keras.layers.BatchNormalization(center=False), ["normalised"]),
    "root mean square": (keras.layers.RMSNormalization, ["rms_normalised"]),
    "dense": (lambda: keras.layers.Dense(3, "gelu"), ["gelu"]),
    "simple": (lambda: keras.layers.SimpleRNN(3, return_sequences=True), []),
    "gru": (lambda: keras.layers.GRU(3, return_sequences=True), []),
    "lstm": (lambda: keras.layers.LSTM(3), []),
    "convolution": (lambda: keras.layers.Conv1D(3, 2, padding="causal"), []),
    "transposed convolution": (lambda: keras.layers.Conv1DTranspose(3, 3, 2), []),
    "separable convolution": (lambda: keras.layers.SeparableConv1D(3, 2), []),
    "average pooling": (lambda: keras.layers.AveragePooling1D(2), []),
    "softmax": (keras.layers.Softmax, ["softmax"]),
    "leaky": (keras.layers.LeakyReLU, []),
    "prelu": (keras.layers.PReLU, []),
    "flatten": (keras.layers.Flatten, []),
}


def layer_and_call(name: str) -> tuple[Any, Call]:
    layer = LAYERS[name][0]()
    layer.build(ROWS.shape)
    own = oracle(layer, training=isinstance(layer, keras.layers.BatchNormalization))
    return own, call_of(own, ROWS, params=drawn(parameter_shapes(layer) or {}, FAMILIES["normal"]))


@pytest.mark.slow("each is compiled with its rounding; the row shows a normalisation as Keras writes it", default=["layer normalisation"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    own, call = layer_and_call(name)
    assert wrong(own, call) == []


@pytest.mark.parametrize("name", LAYERS)
def test_unit_is_recognised_by_its_steps(name: str) -> None:
    own, call = layer_and_call(name)
    assert kinds(own.graph(call)) == LAYERS[name][1]


LABELS, TARGETS = np.array([1, 2]), np.array([[0.0, 1, 0, 0], [0, 0, 1, 0]])

LOSSES: Mapping[str, tuple[Any, Any]] = {
    "sparse cross-entropy": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS),
    "cross-entropy": (keras.losses.CategoricalCrossentropy(from_logits=True), TARGETS),
    "binary cross-entropy": (keras.losses.BinaryCrossentropy(from_logits=True), TARGETS),
    "huber": (keras.losses.Huber(), TARGETS),
    "log-cosh": (keras.losses.LogCosh(), TARGETS),
    "cosine": (keras.losses.CosineSimilarity(), TARGETS),
}


@pytest.mark.slow("each is compiled with its rounding; the row shows labels", default=["sparse cross-entropy"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    loss, target = LOSSES[name]
    own = oracle(loss)
    assert wrong(own, call_of(own, ROWS[:, 0], constants={"labels": target})) == []
