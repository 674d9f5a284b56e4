"""Which convention an object is of, and what is said where that cannot be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Attributes, Dicts, Pair, Updating, Verdict
from crosscheck.adapters.recognise import recognise
from crosscheck.core.precision import Array
from tests.support.conventional import LAYERS, AttributeLayer, Kernel, ObjectLayer, UpdatingLayer
from tests.support.unshrunk import check

LINEAR = Kernel(LAYERS["linear"])
SHAPES = [(3, 5)]


def test_adapter_is_taken_as_it_is() -> None:
    adapter = Dicts(ObjectLayer(LINEAR))
    assert recognise(adapter, {}) is adapter


@pytest.mark.parametrize(
    ("subject", "kind", "shapes"),
    [
        (ObjectLayer(LINEAR), Dicts, {"W": (5, 3), "b": (3,)}),
        (AttributeLayer(LINEAR), Attributes, {"W": (5, 3), "b": (3,)}),
        (ObjectLayer(Kernel(LAYERS["relu"])), Dicts, {}),
    ],
    ids=["dicts", "attributes", "no-parameters"],
)
def test_recognised(subject: Any, kind: type, shapes: dict[str, Any]) -> None:
    found = recognise(subject, {})
    assert isinstance(found, kind)
    assert found.shapes == shapes


def test_gradients_are_no_parameters() -> None:
    """A layer that makes room for its gradients when it is made is recognised all the same."""
    subject = AttributeLayer(LINEAR)
    vars(subject).update(dW=np.zeros((5, 3)), db=np.zeros(3))
    assert list(recognise(subject, {}).shapes) == ["W", "b"]


def test_only_backprop() -> None:
    subject = UpdatingLayer(LINEAR)
    subject.backward = None  # type: ignore[assignment, method-assign]
    found = recognise(subject, {})
    assert isinstance(found, Updating)
    assert found.one_sample


class Nothing:
    """Has no methods that anybody knows."""

    def predict(self, x: Array) -> Array:
        return x


class Elsewhere:
    """Has methods of other names."""

    def __call__(self, x: Array) -> Array:
        return x

    def backpropagate(self, grad_output: Array) -> Array:
        return grad_output


class OnlyForward:
    """Has no backward pass."""

    def forward(self, x: Array) -> Array:
        return x


def some_function(x: Array) -> Array:
    return x


UNKNOWN: list[tuple[Any, list[str]]] = [
    (
        Nothing(),
        [
            "Nothing follows no known convention",
            "or forward and backprop; its methods are predict",
            "\n    subject=Layer(layer, forward='predict', backward='NAME')",
        ],
    ),
    (Elsewhere(), ["\n    subject=Layer(layer, forward='__call__', backward='backpropagate')"]),
    (OnlyForward(), ["OnlyForward follows no known convention", "its methods are forward"]),
    (None, ["NoneType follows no known convention", "its methods are none"]),
    (some_function, ["some_function is a function", "subject=Functions(some_function, BACKWARD)", "subject=LossFunction(some_function)"]),
    (lambda x: x, ["<lambda> is a function"]),
    (OnlyForward().forward, ["forward is a function"]),
    (ObjectLayer, ["ObjectLayer is a class, expected one of its instances: subject=ObjectLayer(...)"]),
    (Dicts, ["Dicts is a class"]),
    (nn.Linear(5, 3), ["Linear comes from torch", "it has no hand-written backward pass to check", "and Linear as reference"]),
    (nn.Linear, ["Linear is a class"]),
    (
        UpdatingLayer(LINEAR),
        ["can be called in 2 ways", "subject=Updating(layer, params=('W', 'b'))", "subject=Attributes(layer, params=('W', 'b'))"],
    ),
]

UNKNOWN_IDS = [
    "nothing",
    "elsewhere",
    "only-forward",
    "none",
    "function",
    "lambda",
    "bound",
    "class",
    "adapter-class",
    "module",
    "module-class",
    "two",
]


@pytest.mark.parametrize(("subject", "texts"), UNKNOWN, ids=UNKNOWN_IDS)
def test_not_recognised(subject: Any, texts: list[str]) -> None:
    """The pair is undecided; the error names the subject, what it is and what to write."""
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, name="mine"))
    assert result.verdict is Verdict.UNDECIDED
    assert result.error.startswith("mine: ")
    assert [text for text in texts if text not in result.error] == []
