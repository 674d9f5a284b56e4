"""Layers as objects: however they hold their parameters, and what would make a verdict wrong without a word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Attributes, Dicts, Pair, Updating, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.core.precision import Array, Bound
from tests.support.conventional import LAYERS, AddingLayer, AttributeLayer, Kernel, ObjectLayer, UpdatingLayer
from tests.support.unshrunk import check

LINEAR = Kernel(LAYERS["linear"])
SHAPES = [(3, 5)]


class Nothing:
    """Has no methods that anybody knows."""

    def predict(self, x: Array) -> Array:
        return x


class Shared(ObjectLayer):
    """Has one array under two names."""

    def __init__(self) -> None:
        super().__init__(LINEAR)
        self.params["V"] = self.params["W"]


class NoRate:
    """Updates by a learning rate of its own."""

    W = np.ones(3)

    def forward(self, x: Array) -> Array:
        return x

    def backprop(self, grad_output: Array) -> Array:
        return grad_output


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Dicts(ObjectLayer), "ObjectLayer is a class, expected one of its instances"),
    (lambda: Attributes(AttributeLayer, "W"), "AttributeLayer is a class"),
    (lambda: Updating(UpdatingLayer, "W"), "UpdatingLayer is a class"),
    (lambda: Dicts(Nothing()), "Nothing has no method 'forward'; its methods are predict; declare the right name"),
    (lambda: Dicts(ObjectLayer(LINEAR), backward="back"), "ObjectLayer has no method 'back'; its methods are backward, forward"),
    (lambda: Attributes(AttributeLayer(LINEAR), ("W", "q")), "AttributeLayer has no array 'q', which params lists; its arrays are W, b"),
    (lambda: Attributes(AttributeLayer(LINEAR), "W", grad="grad"), "grad is 'grad', expected the name of a gradient's attribute with {}"),
    (lambda: Updating(UpdatingLayer(LINEAR), "q"), "UpdatingLayer has no array 'q', which params lists; its arrays are W, b"),
    (lambda: Updating(NoRate(), "W"), "NoRate.backprop takes no learning rate, expected backprop(grad_output, learn_rate): the gradients of W are"),
    (lambda: Dicts(Shared()), "Shared's parameters 'W' and 'V' share one array, so that they cannot have different values; declare only 'W'"),
]

REFUSED_IDS = ["dicts-class", "attributes-class", "updating-class", "method", "backward", "attribute", "grad", "array", "rate", "shared"]


@pytest.mark.parametrize(("make", "text"), REFUSED, ids=REFUSED_IDS)
def test_adapter_refuses(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ConventionError) as caught:
        make()
    assert str(caught.value).startswith(text)


def verdict_of(subject: Any, **options: Any) -> Verdict:
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, LAYERS["linear"].params, **options))
    assert not result.error, result.error
    return result.verdict


@pytest.mark.parametrize("one_sample", [False, True])
def test_gradients_that_are_read_off_an_update(one_sample: bool) -> None:
    """A layer that stores none is right, and one whose update is doubled is not; what is read has an error of its own."""
    right, wrong = (
        Updating(UpdatingLayer(Kernel(LAYERS["linear"], {"W.grad": factor}, one_sample)), ("W", "b"), one_sample=one_sample) for factor in (1, 2)
    )
    patterns = {"input": "i -> 1 i", "output": "o -> 1 o"} if one_sample else {}
    assert (verdict_of(right, **patterns), verdict_of(wrong, **patterns)) == (Verdict.MATCH, Verdict.MISMATCH)
    assert isinstance(right.reading(np.ones(1), np.ones(1)), Bound)


class TestParameters:
    """However a right layer holds its parameters, it matches in both precisions."""

    @pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
    def test_held_in_another_type(self, dtype: str) -> None:
        subject = ObjectLayer(LINEAR)
        subject.params = {name: value.astype(dtype) for name, value in subject.params.items()}
        assert verdict_of(Dicts(subject)) is Verdict.MATCH

    @pytest.mark.parametrize("held", [np.ndarray.tolist, np.asfortranarray], ids=["lists", "fortran"])
    def test_held_otherwise(self, held: Callable[[Array], Any]) -> None:
        subject = ObjectLayer(LINEAR)
        subject.params = {name: held(value) for name, value in subject.params.items()}
        assert verdict_of(Dicts(subject)) is Verdict.MATCH

    def test_read_only(self) -> None:
        subject = ObjectLayer(LINEAR)
        for value in subject.params.values():
            value.flags.writeable = False
        assert verdict_of(subject) is Verdict.MATCH

    def test_python_float(self) -> None:
        """A parameter without axes."""

        class Scale:
            def __init__(self) -> None:
                self.params: dict[str, Any] = {"scale": 2.0}
                self.grads: dict[str, Any] = {}

            def forward(self, x: Array) -> Any:
                self.x = x
                return x * self.params["scale"]

            def backward(self, grad_output: Array) -> Any:
                self.grads["scale"] = (grad_output * self.x).sum()
                return grad_output * self.params["scale"]

        found = Dicts(Scale())
        assert found.shapes == {"scale": ()}
        instance = found.instance()
        instance.load({"scale": np.array(3.0, np.float32)})
        assert instance.forward(np.ones(2, np.float32)).tolist() == [3, 3]

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_held_by_a_part_too(self, dtype: str) -> None:
        """The layer computes with the array of its part, and shows it in a dict: in another precision both are replaced."""
        adding = AddingLayer(LINEAR)
        found = Dicts(adding, "parameters", "gradients", accumulates=True)
        instance: Any = found.instance()
        instance.load({"W": np.full((5, 3), 7, dtype), "b": np.zeros(3, dtype)})
        assert instance.layer._inner.params["W"] is instance.layer.parameters["W"]
        assert instance.forward(np.ones((1, 5), dtype)).tolist() == [[35, 35, 35]]
        assert instance.layer.gradients["W"].dtype == dtype
        assert (adding.parameters["W"] == 1).all()

    def test_captured_by_a_function(self) -> None:
        """A copy of such a layer would compute with the original's parameters: refused, not judged wrong."""
        subject = AttributeLayer(LINEAR)
        weight = subject.W
        vars(subject)["forward"] = lambda x: x @ weight
        result = check(Pair(subject, nn.Linear(5, 3), SHAPES, LAYERS["linear"].params, name="mine"))
        assert result.error.startswith(
            "mine: AttributeLayer.forward is a function that captured 'weight', so that a copy of the layer would still use"
        )
        assert result.verdict is Verdict.UNDECIDED

    def test_bound_method_kept_as_an_attribute(self) -> None:
        subject = AttributeLayer(LINEAR)
        vars(subject)["forward"] = subject.forward
        assert copy.deepcopy(subject).forward.__self__ is not subject  # type: ignore[attr-defined]
        assert verdict_of(subject) is Verdict.MATCH

    def test_gradients_without_a_dict(self) -> None:
        subject = ObjectLayer(LINEAR)
        subject.grads = [1, 2]  # type: ignore[assignment]
        result = check(Pair(Dicts(subject), nn.Linear(5, 3), SHAPES, LAYERS["linear"].params), only=lambda name: name == "values-float64-normal")
        assert result.results[0].reason == "ObjectLayer.grads is a list, expected a dict with the keys of ObjectLayer.params"
