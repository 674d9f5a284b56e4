"""References in Keras on JAX: layers, losses and functions of its operations, in the precision asked for, with their theories."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from crosscheck import Functions, LossFunction, Pair, assert_close
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call, RefusedError
from crosscheck.oracles.theories import Measured, Multilinear, Selection, Softmax, Where
from crosscheck.references.keras import oracle as bridge
from crosscheck.references.keras.oracle import names_of, oracle
from crosscheck.references.resolve import framework_of
from tests.support import ROOT, formulas
from tests.support.unshrunk import check, expect_matches

import keras  # isort: skip

FIRST = "channels_first"


def built(layer: Any, *shape: int | None) -> Any:
    layer.build(shape)
    return layer


def dense_pair(layer: Any, subject: Any = None, **options: Any) -> Pair:
    own = Functions(formulas.linear, formulas.linear_backward) if subject is None else subject
    return Pair(own, layer, shapes=[(5, 4)], params={"w": "kernel", "b": "bias"}, name="dense", **options)


def doubled_bias(grad: Any, cache: Any) -> Any:
    grad_input, grad_weight, grad_bias = formulas.linear_backward(grad, cache)
    return grad_input, grad_weight, 2 * grad_bias


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_own_parameters(factor: float) -> None:
    """Outside of a pair, a layer has the parameters that it has, and no dropout is in training."""
    layer = built(keras.layers.Dense(3), None, 4)
    kernel, bias = (np.asarray(variable.value) for variable in layer.trainable_variables)
    x = np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)
    found = (x @ kernel + bias) * np.float32(factor)
    assert_close(x, keras.layers.Dropout(0.5), x)
    with nullcontext() if factor == 1 else pytest.raises(AssertionError, match="MISMATCH: output is not what Dense computes"):
        assert_close(found, layer, x)


def flat_cross_entropy(logits: Any, labels: Any) -> Any:
    return keras.ops.mean(keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


RIGHT: Mapping[str, Callable[[], Pair]] = {
    "dense": lambda: dense_pair(built(keras.layers.Dense(3), None, 4)),
    "dense with tanh": lambda: dense_pair(
        built(keras.layers.Dense(3, activation="tanh"), None, 4), Functions(formulas.linear_tanh, formulas.linear_tanh_backward)
    ),
    "dense that is not built": lambda: dense_pair(keras.layers.Dense(3), param_shapes={"kernel": (4, 3), "bias": (3,)}),
    "chain": lambda: dense_pair(
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Activation("tanh")]),
        Functions(formulas.linear_tanh, formulas.linear_tanh_backward),
    ),
    "layer normalisation": lambda: formulas.without_params(
        formulas.layer_norm,
        formulas.layer_norm_backward,
        built(keras.layers.LayerNormalization(epsilon=formulas.EPS, center=False, scale=False), None, 4),
    ),
    "softmax": lambda: formulas.without_params(formulas.softmax, formulas.by_jacobian, keras.layers.Softmax()),
    "function": lambda: formulas.without_params(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), keras.ops.tanh),
    "loss": lambda: Pair(
        LossFunction(formulas.cross_entropy), keras.losses.SparseCategoricalCrossentropy(from_logits=True), shapes=[(5, 4)], name="loss"
    ),
    "loss function": lambda: Pair(LossFunction(formulas.cross_entropy), flat_cross_entropy, shapes=[(5, 4)], labels=True, name="loss"),
}


@pytest.mark.slow("each is compiled for every check; the rows show a layer and a function", default=["function", "dense", "dense that is not built"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_formula_agrees_on_every_family(name: str) -> None:
    expect_matches(RIGHT[name](), least=2 * (len(FAMILIES) - 2))


@pytest.mark.slow("compiled in each precision; one shows it", default=["float64"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fault_is_found(dtype: str) -> None:
    pair = dense_pair(built(keras.layers.Dense(3), None, 4), Functions(formulas.linear, doubled_bias))
    result = check(pair, only=lambda check: check == f"values-{dtype}-normal")
    assert result.first is not None
    assert result.first.divergence is not None
    assert result.first.divergence.judgement.place.quantity == "bias.grad"


def test_layer_computes_in_the_precision_of_the_arrays() -> None:
    """Built in float32, it keeps differences that float32 cannot: nothing on the way is rounded to its own precision."""
    layer = built(keras.layers.Dense(1), None, 2)
    params = {"kernel": np.array([[1.0], [-1.0]]), "bias": np.zeros(1)}
    call = Call(np.array([[1 + 1e-12, 1.0]]), params, np.ones((1, 1)))
    found = oracle(layer).vjp(call)
    assert found["output"].item() == (1 + 1e-12) - 1.0
    assert {value.dtype for value in found.values()} == {np.dtype(np.float64)}
    assert {value.dtype for value in oracle(layer).vjp(call.astype(np.float32)).values()} == {np.dtype(np.float32)}
    assert str(layer.kernel.dtype) == "float32"


def test_numbers_in_the_code_of_a_function_are_not_rounded() -> None:
    found = oracle(lambda x: keras.ops.multiply(x, keras.ops.convert_to_tensor(0.1))).vjp(Call(np.ones(1)))
    assert found["output"].item() == 0.1


def batch_normalization() -> Any:
    layer = built(keras.layers.BatchNormalization(axis=1, momentum=0.75, epsilon=0.5), None, 2, 3, 3)
    layer.moving_mean.assign([1.0, 2.0])
    return layer


def normalization_call(**buffers: Any) -> Call:
    rng = np.random.default_rng(0)
    params = {"gamma": rng.standard_normal(2), "beta": rng.standard_normal(2)}
    return Call(rng.standard_normal((4, 2, 3, 3)), params, rng.standard_normal((4, 2, 3, 3)), buffers=buffers)


def test_buffers_are_moved_in_training() -> None:
    call = normalization_call(moving_mean=np.array([1.0, -1.0]), moving_variance=np.array([2.0, 4.0]))
    found = oracle(batch_normalization(), training=True).vjp(call)
    assert list(found) == ["output", "moving_mean", "moving_variance", "grad_input", "gamma.grad", "beta.grad"]
    expected = 0.75 * call.buffers["moving_mean"] + 0.25 * call.x.mean(axis=(0, 2, 3))
    assert np.abs(found["moving_mean"] - expected).max() < 8 * np.finfo(np.float64).eps


def test_buffers_of_the_layer_are_used_in_evaluation() -> None:
    call = normalization_call()
    found = oracle(batch_normalization()).vjp(call)
    shape = (1, 2, 1, 1)
    hat = (call.x - np.array([1.0, 2.0]).reshape(shape)) / np.sqrt(1.5)
    expected = hat * call.params["gamma"].reshape(shape) + call.params["beta"].reshape(shape)
    assert np.abs(found["output"] - expected).max() < 64 * np.finfo(np.float64).eps


def test_layer_is_left_as_it_is() -> None:
    layer = batch_normalization()
    before = [np.array(variable.value) for variable in layer.variables]
    oracle(layer, training=True).vjp(normalization_call())
    assert all(np.array_equal(old, variable.value) for old, variable in zip(before, layer.variables, strict=True))


@pytest.mark.parametrize(
    ("layer", "theory"),
    [
        (keras.layers.Dense(3), Multilinear),
        (keras.layers.Dense(3, activation="tanh"), Measured),
        (keras.layers.Conv2D(3, 2, data_format=FIRST), Multilinear),
        (keras.layers.MaxPooling2D(2, data_format=FIRST), Selection),
        (keras.layers.MaxPooling2D(2, data_format="channels_last"), Measured),
        (keras.layers.ReLU(), Selection),
        (keras.layers.ReLU(max_value=6), Measured),
        (keras.layers.Flatten(), Selection),
        (keras.layers.Softmax(), Softmax),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), Where),
        (keras.losses.SparseCategoricalCrossentropy(), Measured),
    ],
    ids=["dense", "dense tanh", "conv", "pool", "pool channels last", "relu", "relu6", "flatten", "softmax", "logits", "probabilities"],
)
def test_theory_of_a_layer(layer: Any, theory: type) -> None:
    assert isinstance(oracle(layer).theory, theory)


def test_subclass_of_a_known_layer_is_measured() -> None:
    class Doubled(keras.layers.Dense):  # type: ignore[misc]  # the type checker does not read Keras
        def call(self, inputs: Any, training: Any = None) -> Any:
            return 2 * super().call(inputs)

    assert isinstance(oracle(Doubled(3)).theory, Measured)


def test_pools_show_and_take_decisions() -> None:
    reference = oracle(keras.layers.MaxPooling2D(2, data_format=FIRST))
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    decided = reference.decisions(x)
    assert decided is not None
    assert decided.tolist() == [[[[5, 7], [13, 15]]]]
    assert reference.vjp(Call(x).decided(decided - 1))["output"].tolist() == [[[[4.0, 6.0], [12.0, 14.0]]]]


def test_names_of_parameters_that_are_alike() -> None:
    chain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.Dense(2, name="second", use_bias=False)])
    assert names_of(chain) == ["first.kernel", "first.bias", "second.kernel"]


def test_layer_that_draws_its_own_mask_is_refused() -> None:
    with pytest.raises(TypeError, match=r"keras\.layers\.Dropout draws its own mask in training"):
        oracle(built(keras.layers.Dropout(0.5), None, 4), training=True)


def test_dropout_in_evaluation_is_exact() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4))
    assert np.array_equal(oracle(built(keras.layers.Dropout(0.5), None, 4)).vjp(Call(x))["output"], x)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"weight": np.ones((4, 3)), "bias": np.ones(3)},
            "Dense has no parameter 'weight', which is declared; its parameters and buffers are kernel, bias",
        ),
        ({"kernel": np.ones((4, 3))}, "Dense has a parameter 'bias', which is not declared"),
        ({"kernel": np.ones((3, 4)), "bias": np.ones(3)}, "'s Dense refuses an input of shape (5, 4), kernel (3, 4), bias (3,)"),
    ],
    ids=["name", "missing", "shape"],
)
def test_refusal_says_what_was_given(params: Any, words: str) -> None:
    with pytest.raises(RefusedError) as error:
        oracle(keras.layers.Dense(3)).vjp(Call(np.ones((5, 4)), params))
    assert words in str(error.value)


def test_other_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    error = check(dense_pair(keras.layers.Dense(3))).error
    assert "Keras runs on the backend torch, expected jax; set KERAS_BACKEND=jax before keras is imported" in error


@pytest.mark.parametrize("thing", [keras.layers.Dense(3), keras.losses.MeanSquaredError()], ids=["layer", "loss"])
def test_framework_of_a_thing(thing: Any) -> None:
    assert framework_of(thing) == "keras"
    assert "Keras" in bridge.NAME


IN_A_FRESH_INTERPRETER = """
import json, os, sys
os.environ.pop("KERAS_BACKEND", None)
import crosscheck.references.keras.oracle, keras
known = ("jax", "keras", "tensorflow", "torch")
print(json.dumps([keras.backend.backend(), [name for name in known if name in sys.modules]]))
"""


@pytest.mark.slow("a process imports Keras anew; test_other_backend_is_refused shows that it is looked at")
def test_keras_finds_its_backend() -> None:
    result = subprocess.run([sys.executable, "-c", IN_A_FRESH_INTERPRETER], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own interpreter
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["jax", ["jax", "keras"]]
