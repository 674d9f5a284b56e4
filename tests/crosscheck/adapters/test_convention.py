"""What all conventions share: copies that share nothing, and what is said of a subject that does not fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.convention import ConventionError, copied, expect_instance, method, returns_nothing, scaled, title_of, two_results
from crosscheck.core.guard import SubjectError
from tests.support.plain import Scale


def test_copy_shares_nothing() -> None:
    layer = Scale()
    copy = copied(layer)
    copy.params["weight"] += 1
    assert (layer.params["weight"] == 1).all()


def test_what_is_replaced_is_so_wherever_it_is_referred_to() -> None:
    layer, other = Scale(), np.zeros(3)
    layer.x = layer.params["weight"]
    copy = copied(layer, {id(layer.x): other})
    assert copy.x is copy.params["weight"] is other


@pytest.mark.parametrize(
    ("refused", "error", "words"),
    [
        (lambda: expect_instance(Scale), ConventionError, r"^Scale is a class, expected one of its instances: subject=Scale\(\.\.\.\)$"),
        (lambda: method(Scale(), "step"), ConventionError, "^Scale has no method 'step'; its methods are backward, forward; declare the right name$"),
        (lambda: two_results((1, 2, 3), "loss", "(loss, dx)"), SubjectError, r"^loss returned 3 values, expected \(loss, dx\)$"),
        (lambda: two_results(1.0, "loss", "(loss, dx)"), SubjectError, r"^loss returned a float, expected \(loss, dx\)$"),
    ],
    ids=["class", "method", "three", "number"],
)
def test_refused_in_words(refused: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        refused()


@pytest.mark.parametrize("cotangent", [1.0, -0.5])
def test_gradient_of_a_loss_times_its_cotangent(cotangent: float) -> None:
    """What is no array is handed on for the error to name it."""
    assert scaled(np.ones(2), np.array(cotangent)).tolist() == [cotangent, cotangent]
    assert scaled(None, np.array(cotangent)) is None


def test_title() -> None:
    assert (title_of(len), title_of(functools.partial(len))) == ("len", "partial")


def early(x: Any) -> Any:
    """Return a value in one case."""
    if x:
        return x
    return None


def bare(x: Any) -> Any:
    """Return nothing in two ways."""
    if x:
        return
    print(x)  # noqa: T201


def raising(x: Any) -> Any:
    raise ValueError(x)


@pytest.mark.parametrize(
    ("function", "nothing"),
    [(early, False), (bare, True), (raising, False), (Scale().forward, False), (np.sum, False), (len, False), (lambda x: None, True), (None, False)],
)
def test_returns_nothing(function: Any, nothing: bool) -> None:
    assert returns_nothing(function) is nothing
