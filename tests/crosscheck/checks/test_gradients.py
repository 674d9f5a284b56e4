"""Gradients without a reference where functions saturate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck import Pair, Verdict, check
from tests.support.formulas import by_jacobian, elementwise, gelu_slope, normal_cdf, sigmoid, softmax

UNREFERENCED: dict[str, tuple[Any, Any]] = {
    "softmax": (softmax, lambda g, x: softmax(x) * (g - (softmax(x) * g).sum(axis=1, keepdims=True))),
    "softmax-jacobian": (softmax, by_jacobian),
    "sigmoid": (sigmoid, lambda g, x: g * sigmoid(x) * sigmoid(-x)),
    "elu": (lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1), lambda g, x: np.where(x > 0, g, g * np.exp(np.minimum(x, 0)))),
}


@pytest.mark.each_choice("name", "family")
@pytest.mark.parametrize("family", ["kinks", "wide", "large", "tiny"])
@pytest.mark.parametrize("name", UNREFERENCED)
def test_right_layer_without_a_reference_where_it_saturates(name: str, family: str) -> None:
    forward, backward = UNREFERENCED[name]
    result = check(Pair(elementwise(forward, backward), None, [(3, 7)]), only=lambda check: check == f"differences-float64-{family}")
    assert (result.verdict, result.results[0].divergence) == (Verdict.MATCH, None)


def test_gelu_without_a_reference_where_it_saturates() -> None:
    pair = Pair(elementwise(lambda x: x * normal_cdf(x), lambda g, x: g * gelu_slope(x)), None, [(3, 7)])
    assert check(pair, only=lambda check: check == "differences-float64-large").verdict is Verdict.MATCH


@pytest.mark.slow("each is searched for; the rows show sums over a row, and what is chosen by element", default=["softmax-jacobian", "elu"])
@pytest.mark.parametrize("name", UNREFERENCED)
def test_relative_fault_without_a_reference_is_found(name: str) -> None:
    forward, backward = UNREFERENCED[name]
    pair = Pair(elementwise(forward, lambda g, x: backward(g, x) * (1 + 1e-8)), None, [(3, 7)])
    assert check(pair, only=lambda check: check == "differences-float64-normal").verdict is Verdict.MISMATCH
