"""References in JAX: right subjects agree, planted faults are found, and rounding is measured as it is in PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Functions, LossFunction, Pair
from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Precision
from crosscheck.oracles.theories import Multilinear
from crosscheck.oracles.theories.measured import RUNS, SCALES, yardstick
from crosscheck.references.jax.oracle import JaxOracle, oracle
from crosscheck.references.pytorch import oracle as pytorch
from tests.support import ROOT, formulas
from tests.support.unshrunk import check, expect_matches


def batch_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - x.mean(axis=0)
    return weight * (centred / jnp.sqrt((centred**2).mean(axis=0) + formulas.EPS)) + bias


def linear(x: Any, weight: Any, bias: Any) -> Any:
    return x @ weight + bias


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), labels[:, None], axis=1).mean()


def convolution(x: Any, weight: Any, bias: Any) -> Any:
    return lax.conv_general_dilated(x, weight, (2, 1), [(1, 1), (0, 0)], dimension_numbers=("NCHW", "OIHW", "NCHW")) + bias[:, None, None]


def pooling(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 3), (1, 1, 2, 2), "VALID")


def recurrent(x: Any) -> Any:
    def step(state: Any, row: Any) -> tuple[Any, Any]:
        state = jnp.tanh(state * 0.5 + row)
        return state, state

    return lax.scan(step, jnp.zeros_like(x[0]), x)[1]


def recurrent_in_torch(x: torch.Tensor) -> torch.Tensor:
    states = [torch.zeros_like(x[0])]
    for row in x:
        states.append(torch.tanh(states[-1] * 0.5 + row))
    return torch.stack(states[1:])


def batch_norm_pair(fault: str = "", **options: Any) -> Pair:
    given = formulas.batch_norm_pair(fault=fault)
    shapes = {"weight": (4,), "bias": (4,)}
    return Pair(given.subject, batch_norm, shapes=[(6, 4)], params=given.params, param_shapes=shapes, name="batch norm", **options)


def linear_pair(reference: Any, **options: Any) -> Pair:
    subject = Functions(formulas.linear, formulas.linear_backward)
    params, shapes = {"w": "weight", "b": "bias"}, {"weight": (4, 3), "bias": (3,)}
    return Pair(subject, reference, shapes=[(5, 4)], params=params, param_shapes=shapes, **options)


RIGHT: Mapping[str, Callable[[], Pair]] = {
    "batch norm": batch_norm_pair,
    "tanh": lambda: formulas.without_params(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), jnp.tanh),
    "sigmoid": lambda: formulas.without_params(formulas.sigmoid, lambda g, x: g * formulas.sigmoid(x) * formulas.sigmoid(-x), jax.nn.sigmoid),
    "gelu": lambda: formulas.without_params(
        lambda x: x * formulas.normal_cdf(x), lambda g, x: g * formulas.gelu_slope(x), lambda x: jax.nn.gelu(x, approximate=False)
    ),
    "layer norm": lambda: formulas.without_params(
        formulas.layer_norm,
        formulas.layer_norm_backward,
        lambda x: (x - x.mean(1, keepdims=True)) / jnp.sqrt(jnp.var(x, 1, keepdims=True) + formulas.EPS),
    ),
    "parameters by name": lambda: linear_pair(lambda x, bias, weight: jnp.dot(x, weight) + bias),
    "parameters in order": lambda: linear_pair(lambda x, matrix, offset, /: x @ matrix + offset, framework="jax"),
    "known theory": lambda: linear_pair(JaxOracle(linear, Multilinear())),
    "compiled": lambda: linear_pair(jax.jit(lambda x, weight, bias: jnp.dot(x, weight) + bias)),
    "loss of labels": lambda: Pair(LossFunction(formulas.cross_entropy), cross_entropy, shapes=[(5, 4)], labels=True),
    "beside PyTorch": lambda: Pair(
        Functions(formulas.linear, formulas.linear_backward),
        [nn.Linear(4, 3), lambda x, weight, bias: jnp.dot(x, weight.T) + bias],
        shapes=[(5, 4)],
        params={"w": "weight: i o -> o i", "b": "bias"},
    ),
}


@pytest.mark.slow(
    "each is compiled for every check; the rows show a function without parameters, and one beside PyTorch", default=["tanh", "beside PyTorch"]
)
@pytest.mark.parametrize("name", RIGHT)
def test_right_formula_agrees_on_every_family(name: str) -> None:
    expect_matches(RIGHT[name](), least=2 * (len(FAMILIES) - 2))


@pytest.mark.slow("compiled with every fault model; tests/scratch/test_layer.py plants faults beside JAX as well")
@pytest.mark.parametrize(
    ("fault", "dtype", "quantity"),
    [
        ("eps outside", "float64", "output"),
        ("unbiased", "float32", "output"),
        ("mean term missing", "float32", "grad_input"),
        ("relative", "float64", "grad_input"),
        ("relative", "float32", "grad_input"),
    ],
)
def test_fault_is_found(fault: str, dtype: str, quantity: str) -> None:
    result = check(batch_norm_pair(fault), only=lambda check: check == f"values-{dtype}-normal")
    assert result.first is not None
    assert result.first.divergence is not None
    assert result.first.divergence.judgement.place.quantity == quantity


def spreads(reference: Oracle, call: Call) -> dict[str, Array]:
    """Return how far rounding takes each element of a result, in roundings."""
    noisy: Any = reference
    halves = [noisy.noisy_runs(call, scale, RUNS // 2, seed) for seed, scale in enumerate(SCALES)]
    scales = [scale for scale, half in zip(SCALES, halves, strict=True) for _ in half["output"]]
    return {name: yardstick(value, np.concatenate([half[name] for half in halves]), scales) for name, value in reference.vjp(call).items()}


SAME: Mapping[str, tuple[Any, Any, tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    "tanh": (torch.tanh, jnp.tanh, (5, 4), {}),
    "softmax": (lambda x: torch.softmax(x, 1), lambda x: jax.nn.softmax(x, axis=1), (5, 4), {}),
    "log softmax": (nn.LogSoftmax(1), lambda x: jax.nn.log_softmax(x, axis=1), (5, 4), {}),
    "gelu": (nn.GELU(), lambda x: jax.nn.gelu(x, approximate=False), (5, 4), {}),
    "elu": (nn.ELU(), jax.nn.elu, (5, 4), {}),
    "batch norm": (lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, True), batch_norm, (5, 4), {"weight": (4,), "bias": (4,)}),
    "linear": (lambda x, weight, bias: x @ weight + bias, linear, (5, 4), {"weight": (4, 3), "bias": (3,)}),
    "convolution": (
        lambda x, weight, bias: F.conv2d(x, weight, bias, (2, 1), (1, 0)),
        convolution,
        (2, 3, 6, 7),
        {"weight": (4, 3, 3, 3), "bias": (4,)},
    ),
    "overlapping pools": (lambda x: F.max_pool2d(x, 3, 2), pooling, (2, 3, 7, 7), {}),
    "a loop": (recurrent_in_torch, recurrent, (5, 4), {}),
    "a branch": (
        lambda x: torch.sin(x) * 3 if x.sum() > 0 else torch.exp(x),
        lambda x: lax.cond(x.sum() > 0, lambda x: jnp.sin(x) * 3, jnp.exp, x),
        (5, 4),
        {},
    ),
    "a number that float32 rounds": (lambda x: x * 0.1, lambda x: x * 0.1, (5, 4), {}),
    "taken apart again": (lambda x: torch.tanh(x) ** 2, jax.checkpoint(lambda x: jnp.tanh(x) ** 2), (5, 4), {}),
}


@pytest.mark.slow(
    "each is compiled in two ways; the rows show a smooth function, a branch and a choice", default=["elu", "softmax", "overlapping pools"]
)
@pytest.mark.parametrize("name", SAME)
def test_rounding_is_measured_as_in_pytorch(name: str) -> None:
    """Half to twice as much: the same function in other steps, each estimated from 32 runs."""
    in_torch, in_jax, shape, params = SAME[name]
    rng = np.random.default_rng(3)
    call = Call(rng.standard_normal(shape), {key: rng.standard_normal(size) for key, size in params.items()})
    output = oracle(in_jax).vjp(call)["output"]
    call = Call(call.x, call.params, rng.standard_normal(output.shape))
    mine, theirs = spreads(oracle(in_jax), call), spreads(pytorch.oracle(in_torch), call)
    ratios = {
        quantity: float(np.linalg.norm(mine[quantity]) / np.linalg.norm(theirs[quantity])) if theirs[quantity].any() else 1.0 for quantity in theirs
    }
    assert mine.keys() == theirs.keys()
    assert {quantity: ratio for quantity, ratio in ratios.items() if not 0.5 < ratio < 2} == {}
    assert [quantity for quantity in theirs if mine[quantity].any() != theirs[quantity].any()] == []


EXACT: Mapping[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "reshape and transpose": lambda x: x.T.reshape(4, 5)[:, ::2],
    "pieces put together": lambda x: jnp.concatenate([x[:, 2:], x[:, :2]], 1),
    "greatest": lambda x: x.max(1),
    "limits": lambda x: jnp.clip(x, -0.5, 0.5),
    "choice": lambda x: jnp.where(x > 0, x, -x),
    "rows picked": lambda x: x[jnp.array([3, 1, 0])],
    "padding": lambda x: jnp.pad(x, 1),
    "pooling": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2), (1, 2), "VALID"),
    "mask": lambda x: x * jnp.array([1.0, 0.0, 1.0, 0.0]),
    "doubling": lambda x: 2 * x,
    "sorting": lambda x: jnp.sort(x, axis=1),
}


@pytest.mark.slow("each is compiled; the rows show a choice, a move and a power of two", default=["mask", "doubling", "pooling"])
@pytest.mark.parametrize("name", EXACT)
def test_what_rounds_nothing_is_exact(name: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 4))
    call = Call(x, {}, rng.standard_normal(oracle(EXACT[name]).vjp(Call(x))["output"].shape))
    context = context_of(oracle(EXACT[name]), call, Precision(np.dtype(np.float64), 1000))
    assert {quantity: bound.n_roundings for quantity, bound in context.bounds.items()} == {"output": 0.0, "grad_input": 0.0}


def test_numbers_that_the_reference_takes_for_zero() -> None:
    """XLA gives 0 for 2e-308 / 2, NumPy 1e-308: no fault of the subject's. Twice as much as 2e-308 is one."""
    call, precision = Call(np.array([2e-308, 1.0]), {"weight": np.array([0.5, 0.5])}), Precision(np.dtype(np.float64), 10)
    context = context_of(JaxOracle(lambda x, weight: x * weight, Multilinear()), call, precision)
    allowed = precision.tolerance(context.bounds["output"])
    found, wrong = call.x / 2, np.array([1e-307, 0.5])
    assert (np.abs(found - context.expected["output"]) <= allowed).all()
    assert (np.abs(wrong - context.expected["output"]) <= allowed).tolist() == [False, True]


def test_same_seed_same_noise() -> None:
    call = Call(np.random.default_rng(0).standard_normal((5, 4)))
    once, again, other = (JaxOracle(jnp.tanh).noisy_runs(call, SCALES[0], 2, seed)["output"] for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_largest_number_on_the_way() -> None:
    call = Call(np.array([1.0, 3.0]), {}, np.array([1.0, 1.0]))
    assert JaxOracle(lambda x: x * 100.0 / 100.0).largest(call) == (300.0, 300.0)
    assert JaxOracle(lambda x: x * x / 100.0).largest(call.with_grad_output(np.array([1.0, 1000.0]))) == (9.0, 60.0)


def test_without_perturbation_nothing_moves() -> None:
    call = Call(np.random.default_rng(0).standard_normal((5, 4)), {}, np.random.default_rng(1).standard_normal((5, 4)))
    reference = JaxOracle(recurrent)
    expected, found = reference.vjp(call), {name: value[0] for name, value in reference.noisy_runs(call, 0.0, 1, 0).items()}
    own = {name: 64 * np.finfo(np.float64).eps * np.abs(value).max() for name, value in expected.items()}
    assert [name for name, value in found.items() if np.abs(value - expected[name]).max() > own[name]] == []


def test_precision_of_everybody_else_is_left_alone() -> None:
    assert JaxOracle(jnp.tanh).vjp(Call(np.ones(3)))["output"].dtype == np.float64
    assert jnp.asarray(np.ones(3)).dtype == np.float32


def test_precision_is_that_of_the_arrays() -> None:
    narrow = Call(np.ones((2, 4), np.float32), {"weight": np.ones((4, 3), np.float32), "bias": np.ones(3, np.float32)}, np.ones((2, 3), np.float32))
    assert {value.dtype for value in JaxOracle(linear).vjp(narrow).values()} == {np.dtype(np.float32)}


def noise(x: Any) -> Any:
    return x * jax.random.uniform(jax.random.key(0), x.shape)


def products_in_windows(x: Any) -> Any:
    return lax.reduce_window(x, 1.0, lax.mul, (2, 2), (1, 1), "VALID")


REFUSED = {
    "random": (noise, "it draws random numbers (random_"),
    "another reduction": (products_in_windows, "JAX's primitive reduce_window in float64 has no known rounding error"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused(name: str) -> None:
    function, words = REFUSED[name]
    with pytest.raises(RefusedError) as error:
        JaxOracle(function).noisy_runs(Call(np.eye(3)), SCALES[0], 1, 0)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, weight, bias: x @ weight.T + bias, "JAX {version}'s <lambda> refuses an input of shape (5, 4), weight (4, 3), bias (3,): "),
        (lambda x, weight, bias: "text", "<lambda> returned a str, expected one array; declare a function that returns only these"),
        (lambda x, w, b: jnp.dot(x, w) + b, "the reference <lambda> has the arguments w, b, expected the declared parameters weight, bias"),
        (lambda x, weight, bias: x if x.sum() > 0 else -x, "<lambda> refuses an input of shape (5, 4), weight (4, 3), bias (3,): Attempted boolean"),
    ],
    ids=["shapes", "text", "names", "control flow"],
)
def test_refusal_says_what_was_given(function: Any, words: str) -> None:
    assert words.format(version=jax.__version__) in check(linear_pair(function, framework="jax")).error


IN_A_FRESH_INTERPRETER = """
import json, sys
import numpy as np
import crosscheck
before = set(sys.modules)
import jax.numpy as jnp
from crosscheck import Functions, Pair
pair = Pair(Functions(lambda x: (np.tanh(x), x), lambda g, x: g * (1 - np.tanh(x) ** 2)), jnp.tanh, shapes=[(3, 2)])
result = crosscheck.check(pair, only=lambda name: name == "values-float64-normal")
known = ("jax", "keras", "tensorflow", "torch")
print(json.dumps([str(result.verdict), [name for name in known if name in before], [name for name in known if name in sys.modules]]))
"""


@pytest.mark.slow("a process imports JAX anew; test_imports shows what the core imports")
def test_reference_brings_its_own_framework_alone() -> None:
    result = subprocess.run([sys.executable, "-c", IN_A_FRESH_INTERPRETER], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own interpreter
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["match", [], ["jax"]]
