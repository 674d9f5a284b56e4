"""The forms of parameters and gradients: what an optimizer gets, and what is read after its step."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.optimizer_forms import FORMS, AsLayer
from crosscheck.core.guard import SubjectError


def arrays(start: float) -> dict[str, Any]:
    return {"weight": np.full((2, 3), start), "bias": np.full(3, start + 1)}


@pytest.mark.parametrize("name", ["W", "w", "weight", "weights", "kernel"])
def test_layer_has_the_usual_names(name: str) -> None:
    form = AsLayer(arrays(1.0))
    layer = form.held()
    form.given(arrays(5.0))
    setattr(layer, name, getattr(layer, name) - getattr(layer, f"d{name}"))
    layer.db[...] = 0
    assert form.read()["weight"].tolist() == np.full((2, 3), -4.0).tolist()
    assert layer.weights is form.read()["weight"]
    assert [grad.tolist() for _, grad in layer.params_and_grads()] == [np.full((2, 3), 5.0).tolist(), [0.0] * 3]


def test_layer_keeps_what_an_optimizer_adds_and_nothing_else() -> None:
    layer = AsLayer(arrays(1.0)).held()
    assert not hasattr(layer, "weight_momentums")
    assert not hasattr(layer, "dW")  # before the first gradient
    layer.weight_momentums = np.zeros(1)
    assert copy.deepcopy(layer).weight_momentums.tolist() == [0.0]


@pytest.mark.parametrize("takes", [name for name in FORMS if "array" not in name])
def test_new_arrays_are_elsewhere_only_if_the_caller_cannot_see_them(takes: str) -> None:
    """A dict whose values were exchanged is complained about, because layers may hold the arrays."""
    start = arrays(1.0)
    form = FORMS[takes](start)
    assert not form.elsewhere
    start["weight"][...] = 7
    assert not form.elsewhere
    assert form.read()["weight"] is start["weight"]


def test_returned_parameters_are_elsewhere() -> None:
    form = FORMS["dict"](arrays(1.0))
    form.take(arrays(2.0))
    assert form.elsewhere
    assert form.read()["bias"].tolist() == [3.0] * 3


@pytest.mark.parametrize(
    ("takes", "result", "found"),
    [("dict", [1, 2], "a list of 2"), ("dict", {"weight": 1}, "a dict of 1"), ("list", (1, 2, 3), "a tuple of 3"), ("list", 4.0, "a float")],
)
def test_result_of_another_form(takes: str, result: Any, found: str) -> None:
    with pytest.raises(SubjectError, match=f"a step returned {found}, expected a {takes} with an array for each parameter, or nothing if it changes"):
        FORMS[takes](arrays(1.0)).take(result)
