"""What all frameworks need around a reference: parameters by name or in order, and refusals in words, of shapes and of devices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosscheck.core.operation import Call, RefusedError
from crosscheck.references.functions import applied, optimizer_of, reason_of, refusing, title, unusable

PARAMS = {"weight": 2, "bias": 3}


@pytest.mark.parametrize(
    "function",
    [
        lambda x, weight, bias: (x, weight, bias),
        lambda x, bias, weight: (x, weight, bias),
        lambda x, /, **own: (x, *own.values()),
        lambda x, w, b, /: (x, w, b),
    ],
    ids=["by name", "by name in another order", "all by name", "in order"],
)
def test_parameters_reach_a_function(function: Callable[..., Any]) -> None:
    assert applied(function, [1], PARAMS) == (1, 2, 3)


def test_function_without_a_signature_gets_them_in_order() -> None:
    assert applied(max, [1], PARAMS) == 3


def test_arguments_of_other_names_are_refused() -> None:
    with pytest.raises(
        RefusedError, match=r"^the reference <lambda> has the arguments w, b, expected the declared parameters weight, bias; declare the"
    ):
        applied(lambda x, w, b: x, [1], PARAMS)


def test_refusal_names_every_shape() -> None:
    with (
        pytest.raises(RefusedError, match=r"^NumPy's matmul refuses an input of shape \(2, 3\), weight \(4,\): too long$"),
        refusing("NumPy", functools.partial(np.linalg.matmul), Call(np.zeros((2, 3)), {"weight": np.zeros(4)})),
    ):
        raise ValueError("too long\nby far")


@pytest.mark.parametrize("error", [RefusedError("as it was"), KeyError("another kind")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, refusing("NumPy", np.tanh, Call(np.zeros(1))):
        raise error
    assert caught.value is error


def test_error_without_words_is_its_kind() -> None:
    assert (reason_of(TimeoutError()), title(functools.partial(len)), title(3)) == ("TimeoutError", "len", "int")


def made(make: Callable[[Any], Any]) -> Any:
    return optimizer_of(make, [1.0], lambda one: isinstance(one, int), "a list", "an int", "len(params)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda params: params[0],
            "the reference made a float, expected an int; declare a function of the parameters: lambda params: len(params)",
        ),
        (lambda: 3, "the reference optimizer could not be made from a list: "),
    ],
    ids=["float", "arguments"],
)
def test_what_is_no_optimizer(make: Callable[..., Any], words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        made(make)
    assert str(caught.value).startswith(words)
    assert made(len) == 1


@pytest.mark.parametrize(
    ("reason", "why"),
    [("no data! Use another.\nand more", "no data! Use another"), ("  not there. Try cuda:0  ", "not there")],
    ids=["lines", "sentences"],
)
def test_first_sentence_of_the_reason_is_given(reason: str, why: str) -> None:
    expected = f"PyTorch cannot compute in float64 on device 'cuda:9' ({why}); usable devices are cpu, cuda"
    assert str(unusable("PyTorch", "cuda:9", reason, ["cpu", "cuda"])) == expected
