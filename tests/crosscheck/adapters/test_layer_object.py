"""A layer object that keeps its parameters anywhere: where they are is found or declared, and an error says what to declare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Layer, Pair, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from tests.support.naming import of_attributes
from tests.support.naming.style import LINEAR
from tests.support.unshrunk import check


class Inner:
    """A linear layer whose gradients have unusual names."""

    def __init__(self) -> None:
        self.W, self.b = np.ones((5, 3)), np.zeros(3)

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.W + self.b)

    def backward(self, grad_output: Array) -> Array:
        self.slope_W, self.slope_b = self.x.T @ grad_output, grad_output.sum(axis=0)
        return np.asarray(grad_output @ self.W.T)


class Outer(Inner):
    """Wraps it, and adds to gradients of its own names."""

    def __init__(self) -> None:
        self.inner = Inner()
        self.sums = [np.zeros((5, 3)), np.zeros(3)]

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x)

    def backward(self, grad_output: Array) -> Array:
        grad_input = self.inner.backward(grad_output)
        self.sums[0] += self.inner.slope_W
        self.sums[1] += self.inner.slope_b
        return grad_input


class Half(Inner):
    """Forgets one gradient, but keeps an array of its shape."""

    def backward(self, grad_output: Array) -> Array:
        self.dW, self.total = self.x.T @ grad_output, grad_output.sum(axis=0)
        return np.asarray(grad_output @ self.W.T)


class Failing(Inner):
    """Has no backward pass that could be watched."""

    def backward(self, grad_output: Array) -> Array:
        raise NotImplementedError


ELSEWHERE = {"inner.W": "sums.0", "inner.b": "sums.1"}
RIGHT = {
    "found": Inner(),
    "declared": Layer(Inner(), {"W": "slope_W", "b": "slope_b"}),
    "inner": Outer(),
    "inner-declared": Layer(Outer(), ELSEWHERE, accumulates=True),
    "half-declared": Layer(Half(), {"W": "dW", "b": "total"}),
}


def pair(subject: Any) -> Pair:
    return Pair(subject, nn.Linear(5, 3), [(4, 5)], fixed_sizes=True)


@pytest.mark.parametrize("case", RIGHT)
def test_right(case: str) -> None:
    result = check(pair(RIGHT[case]))
    assert result.verdict is Verdict.MATCH, (result.error, result.first)


def test_missing_gradient_says_where_it_may_be() -> None:
    """The line that it ends with is the declaration above."""
    result = check(pair(Half()), only=lambda name: name == "values-float64-normal").results[0]
    assert {judgement.place.quantity for _, judgement in result.judgements if judgement.verdict is Verdict.MISMATCH} == {"bias.grad"}
    assert result.reason.endswith(
        "expected in Half.db; if it is elsewhere, declare its place:\n    subject=Layer(layer, params={'W': 'dW', 'b': 'total'})"
    )


def test_missing_gradient_of_a_found_layer() -> None:
    found = Layer(Half(), {"W": "dW", "b": "nowhere"})
    result = check(pair(found), only=lambda name: name == "values-float64-normal").results[0]
    assert result.reason.endswith(
        "expected in Half.nowhere; if it is elsewhere, declare its place:\n    subject=Layer(layer, params={'W': 'dW', 'b': 'total'})"
    )


def test_layer_that_fails_is_not_judged_before() -> None:
    result = check(pair(Failing()), only=lambda name: name == "values-float64-normal")
    assert result.error == ""
    assert "backward raised NotImplementedError" in result.results[0].reason


def test_no_such_place() -> None:
    said = r"^Inner has no array 'V', which params lists; its arrays are W, b; declare them:\n    subject=Layer\(layer, params={'W': 'GRADIENT', 'b'"
    with pytest.raises(ConventionError, match=said):
        Layer(Inner(), {"V": "dV"})


INFERRED: list[tuple[Any, str]] = [
    (Inner(), "the gradients of W, b are in slope_W, slope_b"),
    (of_attributes.Returns(LINEAR), "backward returns the gradients of b, W"),
    (of_attributes.LeavesResults(LINEAR), "forward leaves its output in output"),
    (of_attributes.LeavesResults(LINEAR), "backward leaves the input's gradient in dinputs"),
]


@pytest.mark.parametrize(("layer", "sentence"), INFERRED)
def test_what_was_found_is_said(layer: Any, sentence: str) -> None:
    assert sentence in prepare(pair(layer)).inferred
