"""Functions as subjects: what is an argument of what, and what they may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Functions, LossFunction, Pair, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.core.precision import Array
from tests.support.unshrunk import check

SHAPES = [(3, 5)]


def linear(x: Array, w: Array, b: Array, scale: float = 1.0, shift: float = 0.0) -> Any:
    """Return a linear map, scaled and shifted by what has default values."""
    return scale * (x @ w.T + b) + shift


def linear_backward(d: Array, x: Array, w: Array, scale: float = 1.0) -> Any:
    return scale * (d @ w), scale * (d.T @ x), scale * d.sum(axis=0)


def linear_conf(x: Array, w: Array, b: Array, conf: dict[str, Any]) -> Any:
    """Return a linear map and count in the configuration, as a careless function does."""
    conf["calls"] = conf.get("calls", 0) + 1
    return x @ w.T + b + (conf["calls"] - 1), (x, w)


def conf_backward(d: Array, cache: Any) -> Any:
    return linear_backward(d, *cache)


def many(*args: Any) -> Any:
    return args[0]


def keyword_only(x: Array, w: Array, b: Array, *, scale: float) -> Any:
    return linear(x, w, b, scale), (x, w, scale)


def keyword_backward(d: Array, cache: Any) -> Any:
    return linear_backward(d, *cache)


def positional(x: Array, w: Array, b: Array, scale: float, /) -> Any:
    """Return a linear map whose arguments have no names for the caller."""
    return linear(x, w, b, scale), (x, w, scale)


class Methods:
    """Bound methods are functions, too."""

    def forward(self, x: Array, w: Array, b: Array) -> Any:
        return linear(x, w, b), (x, w)

    def backward(self, d: Array, cache: Any) -> Any:
        return linear_backward(d, *cache)


SAME = {"w": "weight", "b": "bias"}
RIGHT = {
    "defaults": lambda: Functions(linear, linear_backward, cache=False),
    "extra-by-name": lambda: Functions(linear, linear_backward, {"shift": 0.0}, cache=False),
    "keyword-only": lambda: Functions(keyword_only, keyword_backward, {"scale": 1.0}),
    "positional-only": lambda: Functions(positional, keyword_backward, [1.0]),
    "bound-methods": lambda: Functions(Methods().forward, Methods().backward),
    "lambdas": lambda: Functions(lambda x, w, b: x @ w.T + b, lambda d, x, w: (d @ w, d.T @ x, d.sum(axis=0)), cache=False),
}


@pytest.mark.parametrize("case", RIGHT)
def test_functions(case: str) -> None:
    result = check(Pair(RIGHT[case](), nn.Linear(5, 3), SHAPES, SAME))
    assert result.verdict is Verdict.MATCH, (result.error, result.first)


CALLED_AGAIN = ("same_call_same_answer", "smaller_batch_works", "larger_batch_works", "uses_updated_parameters")
"""Contracts in which an instance is called more than once, and both times with all that it takes."""


def test_configuration_that_is_written_to() -> None:
    """Each call gets a configuration of its own, so that the values match; that it counts is what a contract finds."""
    result = check(Pair(Functions(linear_conf, conf_backward, [{}]), nn.Linear(5, 3), SHAPES, SAME))
    wrong = {r.check for r in result.results if r.verdict is Verdict.MISMATCH}
    assert wrong == {f"contract-{name}" for name in CALLED_AGAIN}


def test_extra_reaches_the_backward_pass() -> None:
    """Where backward takes what forward was given by the same name it gets it, also in place of its own default."""
    instance = Functions(linear, linear_backward, {"scale": 2.0}, cache=False).instance()
    instance.load({"w": np.ones((3, 5)), "b": np.ones(3)})
    assert instance.forward(np.ones((1, 5))).tolist() == [[12, 12, 12]]
    assert instance.backward(np.ones((1, 3)))["b.grad"].tolist() == [2, 2, 2]


FUNCTIONS_REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: Functions(linear, linear_backward, [2.0]),
        "linear(x: 'Array', w: 'Array', b: 'Array', scale: 'float' = 1.0, shift: 'float' = 0.0) -> 'Any' has",
    ),
    (
        lambda: Functions(linear_conf, conf_backward, [1, 2, 3, 4]),
        "linear_conf(x: 'Array', w: 'Array', b: 'Array', conf: 'dict[str, Any]') -> 'Any' takes 4",
    ),
    (lambda: Functions(linear, linear_backward, {"stride": 2}), "extra has the key 'stride', expected the name of an argument of linear("),
    (lambda: Functions(linear, linear_backward, {"x": 2}), "extra has the key 'x', expected the name of an argument of linear("),
    (lambda: Functions(many, linear_backward), "many(*args: 'Any') -> 'Any' has no named arguments, expected many(x, ...)"),
    (lambda: Functions(linear_conf, conf_backward, [{}], cache=False), "conf_backward takes 'cache', which is not an argument of linear_conf("),
]


@pytest.mark.parametrize(("make", "text"), FUNCTIONS_REFUSED, ids=["ambiguous", "too-many", "unknown", "input", "collective", "cache"])
def test_functions_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ConventionError) as caught:
        make()
    assert str(caught.value).startswith(text)


FORGOTTEN: list[tuple[Any, str]] = [
    (Functions(linear, linear_backward), "linear returned a ndarray, expected (output, cache); without a cache, declare Functions(..., cache=False)"),
    (Functions(lambda x, w, b: (x, w, b), conf_backward), "<lambda> returned a tuple of 3, expected (output, cache)"),
    (Functions(lambda x, w, b: (linear(x, w, b), (x, w)), lambda d, cache: d), "<lambda> returned 1 values, expected 3: grad_input, w.grad, b.grad"),
    (
        Functions(lambda x, w, b: (linear(x, w, b), x), lambda d, x: (d.T @ x, d.sum(axis=0))),
        "<lambda> returned 2 values, expected 3: grad_input, w.grad",
    ),
]


@pytest.mark.parametrize(("subject", "reason"), FORGOTTEN, ids=["cache", "three", "gradients", "input"])
def test_functions_that_return_something_else(subject: Functions, reason: str) -> None:
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, SAME), only=lambda name: name == "values-float64-normal")
    assert result.verdict is Verdict.MISMATCH
    assert result.results[0].reason.startswith(reason)


def table_gradient(d: Array, cache: tuple[Any, Array]) -> Array:
    """Return the gradient of a table of embeddings."""
    ids, table = cache
    gradient = np.zeros_like(table)
    np.add.at(gradient, ids, d)
    return gradient


@pytest.mark.parametrize(
    ("backward", "verdict"),
    [
        (table_gradient, Verdict.MATCH),
        (lambda d, cache: (None, table_gradient(d, cache)), Verdict.MATCH),
        (lambda d, cache: 2 * table_gradient(d, cache), Verdict.MISMATCH),
        (lambda d, cache: (), Verdict.MISMATCH),
    ],
    ids=["left-out", "none", "wrong", "nothing"],
)
def test_whole_numbers_have_no_gradient(backward: Callable[..., Any], verdict: Verdict) -> None:
    """A backward pass leaves out the gradient of an input of whole numbers, or returns None in its place."""
    pair = Pair(Functions(lambda ids, table: (table[ids], (ids, table)), backward), nn.Embedding(7, 3), [(4, 5)], {"table": "weight"})
    names = ("values-float64-normal", "contract-inputs_are_left_alone")
    assert check(pair, only=lambda name: name in names).verdict is verdict


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x, y: x.sum(), "<lambda> returned a float64, expected (loss, dx)"),
        (lambda x, y: (x.sum(), x, y, y), "backward returned 3 gradients of inputs, expected 1: grad_input"),
        (lambda x, y: (float(np.float64(1)), None), "grad_input is None: nothing was returned or stored"),
    ],
    ids=["value", "four", "none"],
)
def test_loss_that_returns_something_else(function: Any, reason: str) -> None:
    result = check(Pair(LossFunction(function), nn.CrossEntropyLoss(), [(4, 6)]), only=lambda name: name == "values-float64-normal")
    reasons = {judgement.reason for _, judgement in result.results[0].judgements}
    assert reason in {text.partition(";")[0] if ";" in text else text for text in reasons}


def test_functions_are_no_loss() -> None:
    """Labels are one input more than they take; the error says which adapter is for losses."""
    subject = Functions(lambda x: (x, x), lambda d, cache: d)
    result = check(Pair(subject, nn.CrossEntropyLoss(), [(4, 6)]), only=lambda name: name == "values-float64-normal")
    assert (
        "gets 2 inputs, more than it has arguments; a loss that returns its gradient, too, is declared as subject=LossFunction(<lambda>)"
        in result.results[0].reason
    )


def strided(x: Array, weights: Array, b: Array, stride: int, pad: int, groups: int) -> Any:
    """Return nothing: only its arguments matter."""
    return x, (weights, b, stride, pad, groups)


@pytest.mark.parametrize(
    ("adapter", "extra"),
    [
        (Functions(strided, conf_backward), '{"stride": 2, "pad": (1, 0), "groups": 1}'),
        (Functions(strided, conf_backward, {"groups": 1}), '{"groups": 1, "stride": 2, "pad": (1, 0)}'),
        (Functions(strided, conf_backward, {"stride": 1, "pad": 0}), '{"stride": 1, "pad": 0, "groups": 1}'),
    ],
)
def test_arguments_that_are_no_parameters(adapter: Functions, extra: str) -> None:
    """The error ends with the lines to add, the likeliest first; values are those of the reference."""
    result = check(Pair(adapter, nn.Conv2d(2, 3, 3, stride=2, padding=(1, 0)), [(1, 2, 5, 5)]))
    lines = result.error.splitlines()
    assert lines[0].endswith("too many in your code; declare which arguments are no parameters:")
    assert lines[1] == f"    subject=Functions(strided, conf_backward, extra={extra})"
