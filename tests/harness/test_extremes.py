"""Numbers at the ends of the range: what a subject loses there is told apart from what every computation loses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_measured import elementwise, sigmoid, without_params
from torch import nn

from crosscheck import Functions, Pair, Verdict, check
from crosscheck.arithmetic import Array
from crosscheck.checks import Settings
from crosscheck.rounding.measured import RUNS, SCALES, yardstick


def nan_where_large(grad: Array, x: Array) -> Array:
    return grad * np.where((np.abs(x) > 30) & (np.abs(x) < 1e5), np.nan, 1 / (1 + np.exp(-x)))


def test_nan_is_not_passed_over() -> None:
    """Where a number on the way may exceed the range, a subject that is not finite is neither wrong for certain nor passed over."""
    pair = Pair(elementwise(lambda x: np.logaddexp(x, x.dtype.type(0)), nan_where_large), nn.Softplus(), shapes=[(3, 7)])
    result = check(pair)
    found = {found.check: found.verdict for found in result.results}
    assert (result.verdict, found["values-float64-large"]) == (Verdict.UNDECIDED, Verdict.UNDECIDED)


@pytest.mark.parametrize("exponent", [-1000, -700, 0, 700, 1000])
def test_spread_has_no_scale(exponent: int) -> None:
    value = np.array([1.0, 2.0, 0.5]) * 2.0**exponent
    scales = SCALES * (RUNS // 2)
    runs = [value * (1 + scale * (-1) ** run) for run, scale in enumerate(scales)]
    assert yardstick(value, runs, scales).tolist() == value.tolist()


def of_products(function: Any, slope: Any) -> Functions:
    def forward(x: Array, w: Array) -> tuple[Array, Any]:
        z = x @ w.T
        return function(z), (x, w, z)

    def backward(grad: Array, cache: Any) -> tuple[Array, Array]:
        x, w, z = cache
        through = grad * slope(z)
        return through @ w, through.T @ x

    return Functions(forward, backward)


SATURATED: dict[str, tuple[Any, Any, Any]] = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * sigmoid(-z), torch.sigmoid),
    "exponential": (lambda z: np.exp(-np.abs(z)), lambda z: -np.sign(z) * np.exp(-np.abs(z)), lambda z: torch.exp(-z.abs())),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SATURATED)
def test_saturated_function_of_products(name: str, seed: int) -> None:
    function, slope, reference = SATURATED[name]
    pair = Pair(
        of_products(function, slope),
        lambda x, weight: reference(x @ weight.T),
        framework="torch",
        shapes=[(5, 4)],
        params={"w": "weight"},
        param_shapes={"weight": (3, 4)},
    )
    assert check(pair, Settings(seed=seed), only=lambda check: check.startswith("values-float64-large")).verdict is Verdict.MATCH


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(3))
def test_reference_that_underflows_too_early(seed: int, dtype: str) -> None:
    """PyTorch's own float64 sigmoid is 0 at -711, where 1e-309 is right."""
    pair = without_params(sigmoid, lambda g, x: g * sigmoid(x) * sigmoid(-x), nn.Sigmoid())
    wide = Pair(pair.subject, nn.Sigmoid(), shapes=[(30, 40)])
    assert check(wide, Settings(seed=seed), only=lambda check: check in (f"values-{dtype}-large", f"values-{dtype}-wide")).verdict is Verdict.MATCH
