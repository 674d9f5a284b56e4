"""What Keras's layers and losses say of their arguments: the usual ones need no more than their name and a shape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from crosscheck import Functions, LossFunction, Pair, Verdict
from crosscheck.core.arguments import Input, Integers, Labels, Mask, Target
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.references.keras.signatures import passed, signature_of, turned_round
from tests.support.unshrunk import check

import keras  # isort: skip

LOSSES = keras.losses
LAYERS = keras.layers


def built(layer: Any, *shapes: tuple[int, ...]) -> Any:
    layer.build(*shapes)
    return layer


INPUTS: Mapping[str, tuple[Any, int, dict[str, Any]]] = {
    "squared error": (
        LOSSES.MeanSquaredError(),
        2,
        {"input": Input(["axis0", "axis1"]), "target": Target(["axis0", "axis1"])},
    ),
    "of logits": (
        LOSSES.BinaryCrossentropy(from_logits=True),
        1,
        {"input": Input(["axis0"]), "target": Target(["axis0"], "unit")},
    ),
    "of probabilities": (
        LOSSES.BinaryCrossentropy(),
        1,
        {"input": Input(["axis0"], "unit"), "target": Target(["axis0"], "unit")},
    ),
    "function with settings": (
        functools.partial(LOSSES.binary_crossentropy, from_logits=True),
        1,
        {"input": Input(["axis0"]), "target": Target(["axis0"], "unit")},
    ),
    "labels": (
        LOSSES.SparseCategoricalCrossentropy(from_logits=True, ignore_class=7),
        3,
        {"input": Input(["axis0", "axis1", "axis2"]), "labels": Labels(["axis0", "axis1"], below="axis2", ignored=7)},
    ),
    "divergence": (
        LOSSES.KLDivergence(),
        2,
        {"input": Input(["axis0", "axis1"], "distribution"), "target": Target(["axis0", "axis1"], "distribution")},
    ),
    "ids": (LAYERS.Embedding(5, 2, mask_zero=True), 2, {"ids": Integers(["axis0", "axis1"], below=5, also=[0])}),
    "states": (
        built(LAYERS.LSTM(3), (2, 4, 5)),
        3,
        {"input": Input(["batch", "time", 5]), "h_0": Input(["batch", 3]), "c_0": Input(["batch", 3])},
    ),
    "products": (
        LAYERS.Dot((1, 2)),
        3,
        {"x1": Input(["axis0", "axis1", "axis2"]), "x2": Input(["axis0", "other_axis1", "axis1"])},
    ),
    "pieces": (LAYERS.Concatenate(), 2, {"x1": Input(["axis0", "axis1"]), "x2": Input(["axis0", "other_axis1"])}),
    "heads": (
        built(LAYERS.MultiHeadAttention(2, 3), (1, 2, 4), (1, 3, 5), (1, 3, 6)),
        3,
        {
            "query": Input(["batch", "target", 4]),
            "value": Input(["batch", "source", 5]),
            "key": Input(["batch", "source", 6]),
            "value_mask": Mask(["batch", "source"]),
            "attention_mask": Mask(["batch", "target", "source"]),
        },
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_a_reference(name: str) -> None:
    reference, count, expected = INPUTS[name]
    signature = signature_of(reference)
    assert signature is not None
    found = signature.inputs(count)
    assert list(found) == list(expected)
    assert found == expected


@pytest.mark.parametrize("thing", [LAYERS.Dense(3), keras.ops.tanh, LOSSES.Circle()], ids=["layer", "function", "loss"])
def test_reference_that_takes_nothing_special_says_nothing(thing: Any) -> None:
    assert signature_of(thing) is None


def test_layer_with_a_call_of_its_own_says_nothing() -> None:
    class Doubled(LAYERS.Embedding):  # type: ignore[name-defined,misc]  # the type checker does not read Keras
        def call(self, inputs: Any) -> Any:
            return 2 * super().call(inputs)

    assert signature_of(Doubled(5, 2)) is None


PASSED: Mapping[str, tuple[Any, list[str], tuple[Any, ...], dict[str, Any]]] = {
    "one input": (LAYERS.Dense(3), ["input"], ("input",), {}),
    "by name": (LAYERS.MultiHeadAttention(2, 3), ["query", "key", "value"], (), {"query": "query", "key": "key", "value": "value"}),
    "by position": (LAYERS.MultiHeadAttention(2, 3), ["a", "b"], ("a", "b"), {}),
    "list": (LAYERS.Add(), ["a", "b", "c"], (["a", "b", "c"],), {}),
    "list by name": (LAYERS.Attention(), ["query", "key", "value"], (["query", "value", "key"],), {}),
    "masks": (LAYERS.Attention(), ["q", "v", "value_mask"], (["q", "v"],), {"mask": [None, "value_mask"]}),
    "states": (LAYERS.LSTM(3), ["input", "h_0", "c_0"], ("input",), {"initial_state": ["h_0", "c_0"]}),
    "state by another name": (LAYERS.GRU(3), ["x", "first"], ("x",), {"initial_state": "first"}),
    "mask of a sequence": (LAYERS.GRU(3), ["x", "mask"], ("x",), {"mask": "mask"}),
}


@pytest.mark.parametrize("name", PASSED)
def test_arguments_as_a_layer_takes_them(name: str) -> None:
    layer, names, positional, named = PASSED[name]
    found = passed(layer, {each: each for each in names})
    assert (found.positional, dict(found.named)) == (positional, named)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["input", "target"], ["target", "input"]),
        (["y_true", "input"], ["y_true", "input"]),
        (["a", "b"], ["b", "a"]),
        (["input", "labels", "sample_weight"], ["labels", "input", "sample_weight"]),
        (["sample_weight", "y_true", "y_pred"], ["y_true", "y_pred", "sample_weight"]),
    ],
)
def test_target_comes_first(names: list[str], expected: list[str]) -> None:
    assert turned_round({name: name for name in names}) == expected


def squared_error(prediction: Array, target: Array) -> tuple[Any, Array]:
    difference = prediction - target
    return np.square(difference).mean(), np.asarray(2 * difference / difference.size, prediction.dtype)


def of_the_target(prediction: Array, target: Array) -> tuple[Any, Array]:
    loss, grad = squared_error(prediction, target)
    return loss, -grad


def embedding(ids: Array, embeddings: Array) -> tuple[Array, Any]:
    return embeddings[ids], (ids, embeddings)


def embedding_backward(grad: Array, cache: Any) -> Array:
    ids, embeddings = cache
    found: Array = np.zeros_like(embeddings)
    np.add.at(found, ids, grad)
    return found


def embedding_that_forgets_repeats(grad: Array, cache: Any) -> Array:
    ids, embeddings = cache
    found: Array = np.zeros_like(embeddings)
    found[ids] = grad
    return found


EMBEDDING = built(LAYERS.Embedding(5, 2), (3, 4))
TABLE = {"embeddings": "embeddings"}

PAIRS: Mapping[str, tuple[Callable[[], Pair], str]] = {
    "loss": (lambda: Pair(LossFunction(squared_error), LOSSES.MeanSquaredError(), shapes=[(3, 4)], fixed={0, 1}), ""),
    "loss with another gradient": (
        lambda: Pair(LossFunction(of_the_target), LOSSES.MeanSquaredError(), shapes=[(3, 4)], fixed={0, 1}),
        "grad_input",
    ),
    "embedding": (lambda: Pair(Functions(embedding, embedding_backward), EMBEDDING, [(3, 4)], TABLE, fixed={0, 1}), ""),
    "embedding with another gradient": (
        lambda: Pair(Functions(embedding, embedding_that_forgets_repeats), EMBEDDING, [(3, 4)], TABLE, fixed={0, 1}),
        "embeddings.grad",
    ),
}


@pytest.mark.slow("compiled for the bounds; one row shows it", default=["loss"])
@pytest.mark.parametrize("name", PAIRS)
def test_name_and_shape_are_enough(name: str) -> None:
    make, quantity = PAIRS[name]
    result = check(make(), only=lambda check: check == "values-float64-normal")
    assert result.error == ""
    assert result.verdict is (Verdict.MISMATCH if quantity else Verdict.MATCH)
    assert quantity in str(result.first)


ATTENTION: Mapping[str, tuple[Callable[..., Any], list[str]]] = {
    "Keras's order": (lambda query, value, key: None, ["query", "value", "key"]),
    "another order": (lambda query, key, value: None, ["query", "key", "value"]),
    "by first letters": (lambda q, k, v: None, ["query", "key", "value"]),
    "without a key": (lambda query, value: None, ["query", "value"]),
    "with a mask": (lambda query, value, value_mask: None, ["query", "value", "value_mask"]),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_inputs_come_in_the_order_of_the_subjects_arguments(name: str) -> None:
    forward, expected = ATTENTION[name]
    subject = Functions(forward, lambda grad, cache: None)
    prepared: Any = prepare(Pair(subject, LAYERS.Attention(), shapes=[(2, 3, 4)], fixed={0, 1, 2, "source"}))
    assert list(prepared.cases[0].inputs) == expected
