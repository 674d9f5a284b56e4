"""Names in common use are known, whatever their case; names that only resemble them are not."""

from __future__ import annotations

import pytest

from crosscheck.adapters.naming import PARAMETERS, gradient_names, is_statistic, same_name, same_statistic


@pytest.mark.parametrize(
    ("name", "other", "same"), [("W", "weight", True), ("kernel", "Filters", True), ("b", "beta", True), ("b", "weight", False), ("q", "Q", True)]
)
def test_same_parameter(name: str, other: str, same: bool) -> None:
    assert same_name(name, other, PARAMETERS) is same


@pytest.mark.parametrize(("name", "other", "same"), [("bn.moving_mean", "running_mean", True), ("mean", "running_mean", False)])
def test_same_statistic(name: str, other: str, same: bool) -> None:
    assert same_statistic(name, other) is same
    assert is_statistic(other)


@pytest.mark.parametrize("gradient", ["dweight", "d_weight", "weight_grad", "grad_weight", "gradWeight", "gweight", "delta_weight", "weightGrad"])
def test_gradient(gradient: str) -> None:
    assert gradient in [name for _, name in gradient_names("weight")]
