"""Conventions: which one an object is of, how functions are called, and what would make a verdict wrong without a word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Attributes, Dicts, Functions, Pair, Updating, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.recognise import recognise
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from tests.support.conventional import LAYERS, AddingLayer, AttributeLayer, Kernel, ObjectLayer, UpdatingLayer
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


class OnlyForward:
    """Has no backward pass."""

    def forward(self, x: Array) -> Array:
        return x


def some_function(x: Array) -> Array:
    return x


UNKNOWN: list[tuple[Any, list[str]]] = [
    (Nothing(), ["Nothing follows no known convention", "or forward and backprop; its methods are predict", "Dicts(layer, forward='f'"]),
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
    (AddingLayer(LINEAR), ["can be called in 2 ways", "accumulates=False)", "accumulates=True)"]),
]
UNKNOWN_IDS = ["nothing", "only-forward", "none", "function", "lambda", "bound", "class", "adapter-class", "module", "module-class", "two", "adds"]


@pytest.mark.parametrize(("subject", "texts"), UNKNOWN, ids=UNKNOWN_IDS)
def test_not_recognised(subject: Any, texts: list[str]) -> None:
    """The pair is undecided; the error names the subject, what it is and what to write."""
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, name="mine"))
    assert result.verdict is Verdict.UNDECIDED
    assert result.error.startswith("mine: ")
    assert [text for text in texts if text not in result.error] == []


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
    """Return the verdict on a linear layer."""
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, LAYERS["linear"].params, **options))
    assert not result.error, result.error
    return result.verdict


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
        assert instance.forward(np.ones(2, np.float32), {}).tolist() == [3, 3]

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_held_by_a_part_too(self, dtype: str) -> None:
        """The layer computes with the array of its part, and shows it in a dict: in another precision both are replaced."""
        adding = AddingLayer(LINEAR)
        found = Dicts(adding, "parameters", "gradients", accumulates=True)
        instance: Any = found.instance()
        instance.load({"W": np.full((5, 3), 7, dtype), "b": np.zeros(3, dtype)})
        assert instance.layer._inner.params["W"] is instance.layer.parameters["W"]
        assert instance.forward(np.ones((1, 5), dtype), {}).tolist() == [[35, 35, 35]]
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


class TestOneSample:
    """Batches that the harness puts together."""

    def pair(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> Pair:
        return Pair(Functions(forward, backward, cache=False, one_sample=True), nn.ReLU(), [(3, 4)])

    def test_shapes_that_differ(self) -> None:
        """Output sizes that depend on the values."""
        result = check(self.pair(lambda x: x[x > 0], lambda d, x: d), only=lambda name: name == "values-float64-normal")
        assert result.results[0].verdict is Verdict.MISMATCH
        assert "output has the shapes" in result.results[0].reason

    def test_number_for_a_vector(self) -> None:
        result = check(self.pair(lambda x: x.max(), lambda d, x: x.max()), only=lambda name: name == "values-float64-normal")
        reasons = [judgement.reason for _, judgement in result.results[0].judgements]
        assert reasons == ["the shape is (), expected (3, 4)", "grad_input is a single number, expected an array of the input's shape"]

    def test_one_sample_fails(self) -> None:
        """The output of the others is there to be judged: only what failed is wrong."""

        def backward(d: Array, x: Array) -> Array:
            if x[0] > 0:
                raise ValueError("positive")
            return d * (x > 0)

        result = check(self.pair(lambda x: np.maximum(x, 0), backward), only=lambda name: name == "values-float64-huge")
        verdicts = {judgement.place.quantity: judgement.verdict for _, judgement in result.results[0].judgements}
        assert verdicts == {"output": Verdict.MATCH, "grad_input": Verdict.MISMATCH}
        assert result.results[0].reason.startswith("backward raised ValueError: positive")


@pytest.mark.parametrize("one_sample", [False, True])
def test_output_is_kept_as_it_was_returned(one_sample: bool) -> None:
    """A backward pass that uses the output's memory again does not change what forward had returned."""

    class Reusing(ObjectLayer):
        def forward(self, x: Array, labels: Any = None) -> Any:
            self.out = super().forward(x)
            return self.out

        def backward(self, grad_output: Array) -> Any:
            self.out[...] = 0
            return super().backward(grad_output)

    kernel = Kernel(LAYERS["relu"], one_sample=one_sample)
    found = prepare(Pair(Dicts(Reusing(kernel), one_sample=one_sample), nn.ReLU(), [(2, 3, 4)])).layer
    result = found.vjp(Call(np.ones((2, 3, 4)), {}, np.ones((2, 3, 4))))
    assert result["output"].all()


def test_inputs_are_put_back() -> None:
    """What a subject writes to does not reach the diagnosis, nor the case that is kept for a reproduction."""

    class Writing(ObjectLayer):
        def forward(self, x: Array, labels: Any = None) -> Any:
            output = super().forward(x)
            x[...] = 0
            return output * 2

    pair = Pair(Writing(Kernel(LAYERS["relu"])), nn.ReLU(), [(2, 3, 4)])
    first = check(pair).first
    assert first is not None
    assert first.given is not None
    assert first.given.call.x.any()
