"""References in JAX with several inputs and outputs: they agree with PyTorch's on the same call, and planted faults are seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Functions, Mask, Pair, Verdict
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.references.functions import Output
from crosscheck.references.jax.oracle import JaxOracle, oracle
from crosscheck.references.pytorch import oracle as pytorch
from tests.support.side_by_side import differing, tolerances, with_cotangents
from tests.support.unshrunk import check

RNG = np.random.default_rng(5)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape)


def attention(query: Any, key: Any, value: Any, mask: Any) -> Any:
    scores = query @ jnp.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
    return weights @ value, {"weights": weights}


def attention_in_torch(query: Any, key: Any, value: Any, mask: Any) -> Any:
    weights = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf).softmax(-1)
    return weights @ value, weights


def recurrent(x: Any, h_0: Any, w: Any, u: Any) -> Any:
    def step(state: Any, row: Any) -> tuple[Any, Any]:
        state = jnp.tanh(row @ w + state @ u)
        return state, state

    last, states = lax.scan(step, h_0, x)
    return states, (last, None)


def recurrent_in_torch(x: Any, h_0: Any, w: Any, u: Any) -> Any:
    states = [h_0]
    for row in x:
        states.append(torch.tanh(row @ w + states[-1] @ u))
    return torch.stack(states[1:]), states[-1]


def weighted_loss(logits: Any, labels: Any, importance: Any) -> Any:
    kept = labels != -100
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), jnp.where(kept, labels, 0)[:, None], axis=1)[:, 0]
    return -(chosen * importance * kept).sum() / kept.sum()


def weighted_loss_in_torch(logits: Any, labels: Any, importance: Any) -> Any:
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses * importance).sum() / (labels != -100).sum()


@dataclass(frozen=True)
class Row:
    """A function in both frameworks, a wrong version of it in JAX, the quantity that shows the fault, and the arguments."""

    in_torch: Callable[..., Any]
    in_jax: Callable[..., Any]
    wrong: Callable[..., Any]
    shown: str
    inputs: Mapping[str, Array]
    constants: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Array] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("output",)
    order: tuple[str, ...] = ()

    @property
    def call(self) -> Call:
        """The call with an upstream gradient of each output that has one, according to PyTorch."""
        order = self.order or (*self.inputs, *self.constants)
        forward = Call(self.inputs, self.params, None, self.constants, order=order, outputs=self.outputs)
        return with_cotangents(forward, pytorch.oracle(self.in_torch))


MASK = np.array([[True, False, True], [True, True, False]])
LABELS = np.array([2, -100, 0, 1])
IDS = np.array([[0, 3, 3], [4, 1, 0]])

ROWS: Mapping[str, Row] = {
    "masked attention": Row(
        attention_in_torch,
        attention,
        lambda query, key, value, mask: attention(query, lax.stop_gradient(key), value, mask),
        "grad_input.key",
        {"query": real(2, 2, 4), "key": real(2, 3, 4), "value": real(2, 3, 5)},
        {"mask": MASK},
        outputs=("output", "output.weights"),
    ),
    "embedding": Row(
        F.embedding,
        lambda ids, weight: weight[ids],
        lambda ids, weight: weight[jnp.clip(ids, 0, 3)],
        "weight.grad",
        {},
        {"ids": IDS},
        {"weight": real(5, 2)},
    ),
    "real targets": Row(
        F.huber_loss,
        lambda prediction, target: jnp.where(
            jnp.abs(prediction - target) < 1, (prediction - target) ** 2 / 2, jnp.abs(prediction - target) - 0.5
        ).mean(),
        lambda prediction, target: ((prediction - target) ** 2 / 2).mean(),
        "grad_input",
        {"prediction": real(4, 3)},
        {"target": 2 * real(4, 3)},
    ),
    "weights and ignored labels": Row(
        weighted_loss_in_torch,
        weighted_loss,
        lambda logits, labels, importance: weighted_loss(logits, jnp.abs(labels) % 100, importance),
        "grad_input.importance",
        {"logits": real(4, 3), "importance": real(4)},
        {"labels": LABELS},
        order=("logits", "labels", "importance"),
    ),
    "states of a loop": Row(
        recurrent_in_torch,
        recurrent,
        lambda x, h_0, w, u: recurrent(x, 0 * h_0, w, u),
        "output.h_n",
        {"x": real(3, 2, 4), "h_0": real(2, 3)},
        params={"w": real(4, 3), "u": real(3, 3)},
        outputs=("output", "output.h_n"),
    ),
    "distance of two inputs": Row(
        F.cosine_similarity,
        lambda one, other: (one * other).sum(1) / jnp.sqrt((one**2).sum(1) * (other**2).sum(1)),
        lambda one, other: (one * other).sum(1) / jnp.sqrt((one**2).sum(1) * lax.stop_gradient(other**2).sum(1)),
        "grad_input.other",
        {"one": real(3, 4), "other": real(3, 4)},
    ),
    "greatest and its place": Row(
        lambda x: x.max(dim=1),
        lambda x: (x.max(axis=1), x.argmax(axis=1)),
        lambda x: (x.max(axis=1), x.argmin(axis=1)),
        "output.place",
        {"x": real(3, 4)},
        outputs=("output", "output.place"),
    ),
    "only whole numbers": Row(
        lambda ids, labels: (ids == labels).double().mean(),
        lambda ids, labels: (ids == labels).astype(float).mean(),
        lambda ids, labels: (ids <= labels).astype(float).mean(),
        "output",
        {},
        {"ids": IDS, "labels": np.array([[0, 3, 4], [4, 0, 1]])},
    ),
    "bilinear": Row(
        F.bilinear,
        lambda one, other, weight: jnp.einsum("bi,oij,bj->bo", one, weight, other),
        lambda one, other, weight: jnp.einsum("bi,oij,bj->bo", one, lax.stop_gradient(weight), other),
        "weight.grad",
        {"one": real(3, 4), "other": real(3, 5)},
        params={"weight": real(2, 4, 5)},
    ),
}


DEFAULT = ["greatest and its place", "embedding"]


@pytest.mark.slow("each is compiled in several ways; the rows show several outputs, one without a gradient, and ids", default=DEFAULT)
@pytest.mark.parametrize("name", ROWS)
def test_function_agrees_with_pytorch_and_a_fault_is_seen(name: str) -> None:
    row = ROWS[name]
    call, in_jax, in_torch = row.call, JaxOracle(row.in_jax), pytorch.oracle(row.in_torch)
    allowed, expected = (tolerances(in_jax, call), tolerances(in_torch, call)), in_torch.vjp(call)
    assert differing(in_jax.vjp(call), expected, *allowed) == []
    assert row.shown in differing(JaxOracle(row.wrong).vjp(call), expected, *allowed)


@pytest.mark.parametrize("name", ROWS)
def test_outputs_are_described_as_in_pytorch(name: str) -> None:
    row = ROWS[name]
    assert oracle(row.in_jax).describe(row.call) == pytorch.oracle(row.in_torch).describe(row.call)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["masked attention", "greatest and its place"])
def test_results_have_the_precision_of_the_call(name: str) -> None:
    """NumPy's float64 among the constants of a function, such as the root of a length, does not make a float32 result float64."""
    call = ROWS[name].call.astype(np.float32)
    assert {value.dtype for value in oracle(ROWS[name].in_jax).vjp(call).values()} == {call.dtype}


def test_output_without_a_derivative_has_no_gradient() -> None:
    def outputs(x: Any, y: Any) -> Any:
        return jax.jit(lambda x, y: (x * y, lax.stop_gradient(x), jnp.floor(x).astype(int), jax.nn.one_hot(y.argmax(), 3)))(x, y)

    call = Call({"x": np.ones(3), "y": np.ones(3)}, outputs=("output", "output.1", "output.2", "output.3"))
    expected = [Output((3,)), Output((3,), gradient=False), Output((3,), whole=True, gradient=False), Output((3,), gradient=False)]
    assert oracle(outputs).describe(call) == expected


def test_result_in_less_than_the_precision_of_the_call_is_refused() -> None:
    """JAX averages booleans in float32, which a subject in float64 would have to agree with."""
    call = Call({}, constants={"ids": np.array([1, 2, 3]), "labels": np.array([1, 2, 4])})
    with pytest.raises(RefusedError, match="computes output in float32, although its arguments are float64"):
        oracle(lambda ids, labels: (ids == labels).mean()).vjp(call)


def test_upstream_gradients_that_are_left_out_are_zero() -> None:
    call = Call({"x": np.array([1.0, 2.0])}, {}, {"output.b": np.array([3.0, 4.0])}, outputs=("output", "output.b"))
    assert oracle(lambda x: (x**3, x * 2)).vjp(call)["grad_input"].tolist() == [6.0, 8.0]


@pytest.mark.parametrize(
    ("function", "outputs", "words"),
    [
        (lambda x: x, ("output", "output.b"), "returned one array, expected 2 arrays: output, output.b"),
        (lambda x: (x, "b"), ("output", "output.b"), "returned a str, expected 2 arrays: output, output.b"),
        (lambda x: None, ("output",), "returned nothing, expected one array"),
        (lambda x: 2.0, ("output",), "returned a float, expected one array"),
    ],
    ids=["too few", "text", "nothing", "number"],
)
def test_refusal_says_what_was_returned(function: Any, outputs: tuple[str, ...], words: str) -> None:
    with pytest.raises(RefusedError) as error:
        oracle(function).vjp(Call(np.ones(2), outputs=outputs))
    assert words in str(error.value)


def hidden_product(a: Array, b: Array, mask: Array, w: Array) -> tuple[Array, Any]:
    product = np.asarray(np.where(mask, a * b, 0))
    return product @ w, (a, b, mask, w, product)


def hidden_product_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    a, b, mask, w, product = cache
    of_product = np.where(mask, grad @ w.T, 0).astype(a.dtype)
    return of_product * b, of_product * a, product.T @ grad


def forgetful_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    of_a, _, of_w = hidden_product_backward(grad, cache)
    return of_a, of_a, of_w


BACKWARD = {"right": (hidden_product_backward, Verdict.MATCH), "gradient of another input": (forgetful_backward, Verdict.MISMATCH)}


@pytest.mark.slow("compiled for the bounds of all quantities", default=["right"])
@pytest.mark.parametrize("name", BACKWARD)
def test_functions_of_both_frameworks_judge_code_of_several_inputs(name: str) -> None:
    backward, verdict = BACKWARD[name]
    references = [
        lambda a, b, mask, w: torch.where(mask, a * b, 0.0) @ w,
        lambda a, b, mask, w: jnp.where(mask, a * b, 0.0) @ w,
    ]
    inputs: dict[str, str | Mask] = {"a": "batch n", "b": "batch n", "mask": Mask("batch n")}
    pair = Pair(
        Functions(hidden_product, backward),
        references,
        inputs=inputs,
        sizes={"batch": 2, "n": 3},
        params={"w": "w"},
        param_shapes={"w": (3, 2)},
        fixed={"batch", "n"},
    )
    result = check(pair, only=lambda name: name == "values-float64-normal")
    assert (result.error, result.verdict) == ("", verdict)
    assert verdict is Verdict.MATCH or "grad_input.b" in str(result.first)
