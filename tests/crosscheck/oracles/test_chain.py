"""Oracles wired together: values and gradients of the whole, and a bound that has room for rounding and for little else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.chain import INPUT, Composite, Stage, backwards, joint, run, sum_wires
from crosscheck.references.pytorch.oracle import oracle

LINEAR, RELU = oracle(nn.Linear(3, 3)), oracle(nn.ReLU())
RNG = np.random.default_rng(0)
PARAMS = {"weight": RNG.integers(-3, 4, (3, 3)).astype(np.float64), "bias": RNG.integers(-3, 4, 3).astype(np.float64)}
X, GRAD = RNG.integers(-3, 4, (2, 4, 3)).astype(np.float64)
SINGLE = Precision(np.dtype(np.float32), 1000)


def test_residual_connection() -> None:
    """X + relu(W x + b), of whole numbers, so that all of it is exact: the input's gradient comes back by both wires."""
    stages = [Stage(LINEAR, PARAMS, sources=(INPUT,)), Stage(RELU), Stage(RELU, sources=(0, 1))]
    runs = run(stages, X, GRAD)
    hidden = X @ PARAMS["weight"].T + PARAMS["bias"]
    total = hidden + np.maximum(hidden, 0)
    back = GRAD * (total > 0)
    assert np.array_equal(runs[2].result["output"], np.maximum(total, 0))
    assert np.array_equal(runs[0].result["grad_input"], (back + back * (hidden > 0)) @ PARAMS["weight"])
    assert list(backwards(stages)) == [(2, []), (1, [2]), (0, [1, 2])]


def test_backward_goes_no_further_than_asked() -> None:
    runs = run([Stage(LINEAR, PARAMS, sources=(INPUT,)), Stage(RELU)], X, GRAD, back_to=1)
    assert ["grad_input" in one.result for one in runs] == [False, True]


def test_wires_that_meet() -> None:
    parts = [np.array([1.0, -2.0]), np.array([3.0, 4.0]), np.array([-1.0, 0.5])]
    assert sum_wires(parts).tolist() == [3.0, 2.5]
    assert (np.asarray(joint(parts).abs_sum).tolist(), joint(parts).n_roundings) == ([5.0, 6.5], 2.0)
    assert joint(parts[:1]).n_roundings == 0


COMPOSITE = Composite((LINEAR, oracle(nn.Softmax(1))), ({"w": "weight", "b": "bias"}, {}))
CALL = Call(RNG.standard_normal((6, 3)), {"w": RNG.standard_normal((3, 3)), "b": RNG.standard_normal(3)}, RNG.standard_normal((6, 3)))


def judged(found: Array, quantity: str) -> Verdict:
    expected = COMPOSITE.vjp(CALL)
    bound = COMPOSITE.bounds(COMPOSITE, CALL, expected, SINGLE)[quantity]
    return judge(Place(0, "fused", quantity), Kind.LAYER, found, expected[quantity], bound, SINGLE).verdict


@pytest.mark.parametrize("quantity", ["output", "grad_input", "w.grad", "b.grad"])
def test_fused_layer(quantity: str) -> None:
    """In single precision PyTorch's chain is right, and one that is a ten thousandth off is not."""
    found = oracle(lambda x, w, b: torch.softmax(nn.functional.linear(x, w, b), 1)).vjp(CALL.astype(np.float32))[quantity]
    assert judged(found, quantity) is Verdict.MATCH
    assert judged(found * np.float32(1.0001), quantity) is Verdict.MISMATCH


def test_errors_of_the_inputs_are_carried_through() -> None:
    """Linear in them; of errors that are zero nothing is left."""
    result = COMPOSITE.vjp(CALL)
    zero = COMPOSITE.propagated(COMPOSITE, CALL, result, np.zeros((6, 3)), np.zeros((6, 3)))
    one, two = (COMPOSITE.propagated(COMPOSITE, CALL, result, size * np.ones((6, 3)), np.zeros((6, 3))) for size in (1.0, 2.0))
    assert not any(value.any() for value in zero.values())
    assert all(np.array_equal(2 * one[name], two[name]) for name in one)
    assert COMPOSITE.decisions(CALL.x) is None
