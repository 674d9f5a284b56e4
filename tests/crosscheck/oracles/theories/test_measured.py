"""References without a written error theory: right formulas of every kind agree, planted faults are found, what rounds nothing stays exact."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Functions, LossFunction, Pair, Verdict
from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Kind, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.theories import Measured, Multilinear
from crosscheck.oracles.theories.measured import RUNS, SCALES, yardstick
from crosscheck.references.pytorch.oracle import TorchOracle, oracle, parameter_shapes
from tests.support.formulas import (
    batch_norm_pair,
    by_jacobian,
    cross_entropy,
    elementwise,
    gelu_slope,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
    linear_tanh,
    linear_tanh_backward,
    log_softmax,
    normal_cdf,
    sigmoid,
    softmax,
    step_by_step,
    without_params,
)
from tests.support.unshrunk import check, expect_matches


def linear_pair(reference: Any, **options: Any) -> Pair:
    return Pair(
        Functions(linear, linear_backward),
        reference,
        shapes=[(5, 4)],
        params={"w": "weight: i o -> o i", "b": "bias"},
        param_shapes={"weight": (3, 4), "bias": (3,)},
        **options,
    )


RIGHT: Mapping[str, Callable[[], Pair]] = {
    "batch norm, compact": batch_norm_pair,
    "batch norm, step by step": lambda: batch_norm_pair(step_by_step),
    "layer norm": lambda: without_params(layer_norm, layer_norm_backward, nn.LayerNorm(4, elementwise_affine=False)),
    "tanh, square": lambda: without_params(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), nn.Tanh()),
    "tanh, cosh": lambda: without_params(np.tanh, lambda g, x: g / np.cosh(x) ** 2, torch.tanh),
    "sigmoid, naive": lambda: without_params(lambda x: 1 / (1 + np.exp(-x)), lambda g, x: g * sigmoid(x) * (1 - sigmoid(x)), nn.Sigmoid()),
    "sigmoid, two arms": lambda: without_params(sigmoid, lambda g, x: g * sigmoid(x) * sigmoid(-x), nn.Sigmoid()),
    "softmax": lambda: without_params(
        softmax, lambda g, x: softmax(x) * (g - (softmax(x) * g).sum(axis=1, keepdims=True)), functools.partial(torch.softmax, dim=1)
    ),
    "softmax, jacobian": lambda: without_params(softmax, by_jacobian, lambda x: torch.softmax(x, 1)),
    "log softmax": lambda: without_params(log_softmax, lambda g, x: g - softmax(x) * g.sum(axis=1, keepdims=True), nn.LogSoftmax(1)),
    "gelu": lambda: without_params(lambda x: x * normal_cdf(x), lambda g, x: g * gelu_slope(x), nn.GELU()),
    "elu, exp - 1": lambda: without_params(
        lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1), lambda g, x: np.where(x > 0, g, g * np.exp(np.minimum(x, 0))), nn.ELU()
    ),
    "variance": lambda: without_params(
        lambda x: ((x - x.mean(axis=0)) ** 2).mean(axis=0),
        lambda g, x: 2 * g * (x - x.mean(axis=0)) / len(x),
        lambda x: torch.var(x, 0, correction=0),
    ),
    "parameters by name": lambda: linear_pair(lambda x, bias, weight: F.linear(x, weight, bias)),
    "parameters in order": lambda: linear_pair(lambda x, matrix, offset, /: x @ matrix.T + offset, framework="torch"),
    "unknown child of a chain": lambda: Pair(
        Functions(linear_tanh, linear_tanh_backward), nn.Sequential(nn.Linear(4, 3), nn.Tanh()), shapes=[(5, 4)], params={"w": "weight: i o -> o i"}
    ),
    "loss of labels": lambda: Pair(LossFunction(cross_entropy), F.cross_entropy, shapes=[(5, 4)], labels=True),
}

OUT_OF_RANGE = {name: 3 if name.startswith("elu") else 2 for name in RIGHT}
"""Families on which exponentials or squares may leave the range; elu's exponential does so already on wide inputs, in a branch not taken."""


@pytest.mark.slow(
    "the rounding of each is measured again for every family; the rows show formulas whose rounding is known, and a measured one",
    default=[
        "tanh, cosh-float32",
        "batch norm, step by step-float64",
        "batch norm, compact-float32",
        "unknown child of a chain-float64",
        "sigmoid, two arms-float64",
        "gelu-float32",
        "log softmax-float32",
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_formula_agrees_on_every_family(name: str, dtype: str) -> None:
    expect_matches(RIGHT[name](), len(FAMILIES) - OUT_OF_RANGE[name], f"values-{dtype}")


@pytest.mark.each_choice("fault", "dtype", "quantity")
@pytest.mark.parametrize(
    ("fault", "dtype", "quantity"),
    [
        ("eps outside", "float64", "output"),
        ("unbiased", "float64", "output"),
        ("unbiased", "float32", "output"),
        ("mean term missing", "float64", "grad_input"),
        ("mean term missing", "float32", "grad_input"),
        ("relative", "float64", "grad_input"),
        ("relative", "float32", "grad_input"),
    ],
)
def test_fault_in_batch_norm_is_found(fault: str, dtype: str, quantity: str) -> None:
    result = check(batch_norm_pair(fault=fault), only=lambda check: check == f"values-{dtype}-normal")
    assert result.first is not None
    assert result.first.divergence is not None
    assert result.first.divergence.judgement.place.quantity == quantity


def test_gradient_of_a_square_with_a_relative_fault_is_found() -> None:
    pair = without_params(np.square, lambda g, x: 2 * g * x * (1 + 1e-9), torch.square)
    assert check(pair, only=lambda check: check == "values-float64-normal").verdict is Verdict.MISMATCH


EXACT: Mapping[str, Callable[[Any], Any]] = {
    "relu": torch.relu,
    "negation": torch.neg,
    "absolute value": torch.abs,
    "reshape and transpose": lambda x: x.t().reshape(4, 5)[:, ::2],
    "pieces put together": lambda x: torch.cat([x[:, 2:], x[:, :2]], 1),
    "greatest": lambda x: x.max(1).values,
    "limits": lambda x: x.clamp(-0.5, 0.5),
    "choice": lambda x: torch.where(x > 0, x, -x),
    "rows picked": lambda x: x[torch.tensor([3, 1, 0])],
    "padding": lambda x: F.pad(x, (1, 1)),
    "pooling": lambda x: F.max_pool2d(x[None, None], 2),
    "mask": lambda x: x * torch.tensor([1.0, 0.0, 1.0, 0.0]),
    "doubling": lambda x: 2 * x,
    "dropout when testing": nn.Dropout().eval(),
}


def call_of(reference: Any, shape: tuple[int, ...] = (5, 4)) -> Call:
    rng = np.random.default_rng(1)
    call = Call(rng.standard_normal(shape))
    output = oracle(reference).vjp(call)["output"]
    return Call(call.x, {}, rng.standard_normal(output.shape))


@pytest.mark.parametrize("name", EXACT)
def test_what_rounds_nothing_is_exact(name: str) -> None:
    call = call_of(EXACT[name])
    context = context_of(oracle(EXACT[name]), call, Precision(np.dtype(np.float64), 1000))
    assert {quantity: bound.n_roundings for quantity, bound in context.bounds.items()} == {"output": 0.0, "grad_input": 0.0}


def test_same_seed_same_bounds() -> None:
    call, precision = call_of(nn.GELU()), Precision(np.dtype(np.float32), 1000)
    first, second = (context_of(oracle(nn.GELU()), call, precision).bounds["grad_input"].abs_sum for _ in range(2))
    assert np.array_equal(first, second)


def test_running_means_do_not_carry_over() -> None:
    module = nn.BatchNorm1d(4)
    call = Call(np.random.default_rng(0).standard_normal((5, 4)), {"weight": np.ones(4), "bias": np.zeros(4)})
    oracle(module).vjp(call)
    assert (module.running_mean is not None, int(module.num_batches_tracked)) == (True, 0)


def test_what_rounding_alone_decides_is_undecided() -> None:
    """Which of two equal sums is larger: whichever way it falls, both are right."""
    reference = oracle(lambda x: x.sum(1) * ((x / 3).sum(1) > x.sum(1) / 3))
    context = context_of(reference, Call(np.array([[0.1, 0.2, 0.4]]), {}, np.ones(1)), Precision(np.dtype(np.float64), 10))
    assert np.isinf(np.asarray(context.bounds["output"].abs_sum)).all()
    other = context.expected["output"] + 0.7
    judgement = judge(
        Place(0, "sum", "output"), Kind.ISOLATED, other, context.expected["output"], context.bounds["output"], Precision(other.dtype, 10)
    )
    assert judgement.verdict is Verdict.UNDECIDED


def select_scatter(x: torch.Tensor, /, row: torch.Tensor) -> torch.Tensor:
    """Return a function whose gradient by ``row`` PyTorch gets wrong under vmap."""
    return 3 * x.select_scatter(row, 1, 0)


def zero_gradient(x: torch.Tensor, /, row: torch.Tensor) -> torch.Tensor:
    """Return a function whose gradient by ``x`` is zeros without memory."""
    return x.sgn() + 3 * row


@pytest.mark.parametrize("function", [select_scatter, zero_gradient])
def test_gradients_of_runs_at_once(function: Callable[..., torch.Tensor]) -> None:
    """Where vmap gets something wrong runs are done one by one, and the gradient has a limit to its error."""
    rng = np.random.default_rng(0)
    call = Call(rng.standard_normal((4, 3)), {"row": rng.standard_normal(4 if function is select_scatter else 3)}, rng.standard_normal((4, 3)))
    context = context_of(oracle(function), call, Precision(np.dtype(np.float32), 10))
    assert [name for name, bound in context.bounds.items() if not np.isfinite(np.asarray(bound.abs_sum)).all()] == []
    assert set(context.expected) == {"output", "grad_input", "row.grad"}


def test_unmoved_element_is_granted_what_is_usual() -> None:
    value = np.array([1.0, 2.0, 0.0])
    runs = [value + scale * np.array([1.0, 0.0, 0.0]) * (-1) ** run for run, scale in enumerate(SCALES * (RUNS // 2))]
    assert yardstick(value, runs, SCALES * (RUNS // 2)).tolist() == [1.0, 1.0, 0.0]


def test_table_comes_first_and_subclasses_are_measured() -> None:
    class Doubled(nn.Linear):  # type: ignore[misc]  # the type checker does not read PyTorch
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's own name
            return torch.tanh(super().forward(input))

    assert isinstance(oracle(nn.Linear(2, 2)).rounding, Multilinear)
    assert isinstance(oracle(Doubled(2, 2)).rounding, Measured)


def test_reference_that_cannot_be_one_is_refused() -> None:
    reference = nn.Sequential(nn.Tanh(), nn.Dropout())
    assert "set p=0" in check(Pair(elementwise(np.tanh, lambda g, x: g), reference, shapes=[(5, 4)])).error


def test_random_function_is_undecided_with_the_reason() -> None:
    pair = without_params(np.tanh, lambda g, x: g, lambda x: F.dropout(x, 0.5))
    result = check(pair, only=lambda check: check == "values-float64-normal").results[0]
    assert result.verdict is Verdict.UNDECIDED
    assert "share the mask" in result.reason


def test_refused_shape_names_all_shapes() -> None:
    pair = linear_pair(lambda x, weight, bias: x @ weight + bias, framework="torch")
    assert "<lambda> refuses an input of shape (5, 4), weight (3, 4), bias (3,)" in check(pair).error


def test_carried_error_of_a_linear_map() -> None:
    """Through a function that multiplies by 3 an error is three times as large, and nothing is lost to rounding."""
    reference = oracle(lambda x: 3 * x)
    call = call_of(lambda x: 3 * x)
    error = np.full((5, 4), 7.0)
    carried = reference.rounding.propagated(reference, call, reference.vjp(call), error, error)
    assert (carried["output"] >= 20.9).all()
    assert (carried["grad_input"] >= 20.9).all()


def test_chain_with_two_children_alike_tells_their_parameters_apart() -> None:
    chain = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2, bias=False))
    shapes = parameter_shapes(chain)
    assert shapes == {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (2, 3)}
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    call = Call(rng.standard_normal((5, 4)), params, rng.standard_normal((5, 2)))
    precision = Precision(call.dtype, 1000)
    alone, context = TorchOracle(chain, Measured()).vjp(call), context_of(oracle(chain), call, precision)
    assert set(alone) == set(context.bounds)
    places = {name: Place(0, "chain", name) for name in alone}
    judgements = [judge(places[name], Kind.ISOLATED, alone[name], context.expected[name], context.bounds[name], precision) for name in alone]
    assert [judgement.verdict for judgement in judgements] == [Verdict.MATCH] * 5


@pytest.mark.parametrize("exponent", [-1000, -700, 0, 700, 1000])
def test_spread_has_no_scale(exponent: int) -> None:
    value = np.array([1.0, 2.0, 0.5]) * 2.0**exponent
    scales = SCALES * (RUNS // 2)
    runs = [value * (1 + scale * (-1) ** run) for run, scale in enumerate(scales)]
    assert yardstick(value, runs, scales).tolist() == value.tolist()
