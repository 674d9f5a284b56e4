"""Conventions: which one an object is of, how functions are called, and what would make a verdict wrong without a word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conventional import LAYERS, AddingLayer, AttributeLayer, Kernel, ObjectLayer, UpdatingLayer
from torch import nn

from crosscheck import Attributes, Dicts, Functions, LossFunction, Pair, Updating, Verdict, check
from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.recognise import recognise
from crosscheck.arithmetic import Array
from crosscheck.operation import Call

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
        """Return the input."""
        return x


class OnlyForward:
    """Has no backward pass."""

    def forward(self, x: Array) -> Array:
        """Return the input."""
        return x


def some_function(x: Array) -> Array:
    """Return the input."""
    return x


UNKNOWN: list[tuple[Any, list[str]]] = [
    (Nothing(), ["Nothing is of no known convention", "forward and backward, or forward and backprop; it has predict", "Dicts(layer, forward='f'"]),
    (OnlyForward(), ["OnlyForward is of no known convention", "it has forward"]),
    (None, ["NoneType is of no known convention", "it has none"]),
    (some_function, ["some_function is a function", "subject=Functions(some_function, BACKWARD)", "subject=LossFunction(some_function)"]),
    (lambda x: x, ["<lambda> is a function"]),
    (OnlyForward().forward, ["forward is a function"]),
    (ObjectLayer, ["ObjectLayer is a class, expected one of its instances: subject=ObjectLayer(...)"]),
    (Dicts, ["Dicts is a class"]),
    (nn.Linear(5, 3), ["Linear is torch's", "it has no backward pass to check", "It can be the reference"]),
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
        """Return the input."""
        return x

    def backprop(self, grad_output: Array) -> Array:
        """Return the cotangent."""
        return grad_output


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Dicts(ObjectLayer), "ObjectLayer is a class, expected one of its instances"),
    (lambda: Attributes(AttributeLayer, "W"), "AttributeLayer is a class"),
    (lambda: Updating(UpdatingLayer, "W"), "UpdatingLayer is a class"),
    (lambda: Dicts(Nothing()), "Nothing has no method 'forward'; its methods: predict"),
    (lambda: Dicts(ObjectLayer(LINEAR), backward="back"), "ObjectLayer has no method 'back'; its methods: backward, forward"),
    (lambda: Attributes(AttributeLayer(LINEAR), ("W", "q")), "AttributeLayer has no attribute 'q' for a parameter; its arrays: W, b"),
    (lambda: Attributes(AttributeLayer(LINEAR), "W", grad="grad"), "grad is 'grad', expected the name of a gradient with {} for its parameter's"),
    (lambda: Updating(UpdatingLayer(LINEAR), "q"), "UpdatingLayer has no attribute 'q' for a parameter; its arrays: W, b"),
    (lambda: Updating(NoRate(), "W"), "NoRate.backprop takes no learning rate, through which the gradients of W are read"),
    (lambda: Dicts(Shared()), "Shared's parameters 'W' and 'V' are one and the same array, which cannot have two values"),
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
        assert result.error.startswith("mine: AttributeLayer.forward is a function that captured 'weight'; a copy of the layer would go on using")
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
        assert result.results[0].reason == "grads is a list, expected a dict with the keys of params"


def linear(x: Array, w: Array, b: Array, scale: float = 1.0, shift: float = 0.0) -> Any:
    """Return a linear map, scaled and shifted by what has default values."""
    return scale * (x @ w.T + b) + shift


def linear_backward(d: Array, x: Array, w: Array, scale: float = 1.0) -> Any:
    """Return the gradients."""
    return scale * (d @ w), scale * (d.T @ x), scale * d.sum(axis=0)


def linear_conf(x: Array, w: Array, b: Array, conf: dict[str, Any]) -> Any:
    """Return a linear map and count in the configuration, as a careless function does."""
    conf["calls"] = conf.get("calls", 0) + 1
    return x @ w.T + b + (conf["calls"] - 1), (x, w)


def conf_backward(d: Array, cache: Any) -> Any:
    """Return the gradients."""
    return linear_backward(d, *cache)


def many(*args: Any) -> Any:
    """Take whatever comes."""
    return args[0]


def keyword_only(x: Array, w: Array, b: Array, *, scale: float) -> Any:
    """Return a linear map whose scale is given by name."""
    return linear(x, w, b, scale), (x, w, scale)


def keyword_backward(d: Array, cache: Any) -> Any:
    """Return the gradients."""
    return linear_backward(d, *cache)


def positional(x: Array, w: Array, b: Array, scale: float, /) -> Any:
    """Return a linear map whose arguments have no names for the caller."""
    return linear(x, w, b, scale), (x, w, scale)


class Methods:
    """Bound methods are functions, too."""

    def forward(self, x: Array, w: Array, b: Array) -> Any:
        """Return a linear map."""
        return linear(x, w, b), (x, w)

    def backward(self, d: Array, cache: Any) -> Any:
        """Return the gradients."""
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


def test_configuration_that_is_written_to() -> None:
    """Each call gets a configuration of its own, so that the values match; that it counts is what a contract finds."""
    result = check(Pair(Functions(linear_conf, conf_backward, [{}]), nn.Linear(5, 3), SHAPES, SAME))
    wrong = {r.check for r in result.results if r.verdict is Verdict.MISMATCH}
    assert wrong == {"contract-same_call_same_answer", "contract-smaller_batch_works"}


def test_extra_reaches_the_backward_pass() -> None:
    """Where backward takes what forward was given by the same name it gets it, also in place of its own default."""
    instance = Functions(linear, linear_backward, {"scale": 2.0}, cache=False).instance()
    instance.load({"w": np.ones((3, 5)), "b": np.ones(3)})
    assert instance.forward(np.ones((1, 5)), {}).tolist() == [[12, 12, 12]]
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
    (lambda: Functions(linear, linear_backward, {"stride": 2}), "extra names 'stride', which is no argument of linear("),
    (lambda: Functions(linear, linear_backward, {"x": 2}), "extra names 'x', which is no argument of linear("),
    (lambda: Functions(many, linear_backward), "many(*args: 'Any') -> 'Any' names no arguments, expected many(x, ...)"),
    (lambda: Functions(linear_conf, conf_backward, [{}], cache=False), "conf_backward takes 'cache', which is no argument of linear_conf("),
]


@pytest.mark.parametrize(("make", "text"), FUNCTIONS_REFUSED, ids=["ambiguous", "too-many", "unknown", "input", "collective", "cache"])
def test_functions_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ConventionError) as caught:
        make()
    assert str(caught.value).startswith(text)


FORGOTTEN: list[tuple[Any, str]] = [
    (Functions(linear, linear_backward), "linear returned a ndarray, expected (output, cache); without a cache say cache=False"),
    (Functions(lambda x, w, b: (x, w, b), conf_backward), "<lambda> returned a tuple of 3, expected (output, cache)"),
    (
        Functions(lambda x, w, b: (linear(x, w, b), (x, w)), lambda d, cache: d),
        "<lambda> returned 1 values, expected 3: grad_input, w.grad, b.grad",
    ),
]


@pytest.mark.parametrize(("subject", "reason"), FORGOTTEN, ids=["cache", "three", "gradients"])
def test_functions_that_return_something_else(subject: Functions, reason: str) -> None:
    result = check(Pair(subject, nn.Linear(5, 3), SHAPES, SAME), only=lambda name: name == "values-float64-normal")
    assert result.verdict is Verdict.MISMATCH
    assert result.results[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x, y: x.sum(), "<lambda> returned a float64, expected (loss, dx)"),
        (lambda x, y: (x.sum(), x, y), "<lambda> returned 3 values, expected (loss, dx)"),
        (lambda x, y: (float(np.float64(1)), None), "grad_input is None: nothing was returned or stored"),
    ],
    ids=["value", "three", "none"],
)
def test_loss_that_returns_something_else(function: Any, reason: str) -> None:
    result = check(Pair(LossFunction(function), nn.CrossEntropyLoss(), [(4, 6)]), only=lambda name: name == "values-float64-normal")
    reasons = {judgement.reason for _, judgement in result.results[0].judgements}
    assert reason in {text.partition(";")[0] if ";" in text else text for text in reasons}


def test_functions_are_no_loss() -> None:
    """Labels cannot be an argument of theirs; the error says what can take them."""
    subject = Functions(lambda x: (x, x), lambda d, cache: d)
    result = check(Pair(subject, nn.CrossEntropyLoss(), [(4, 6)]), only=lambda name: name == "values-float64-normal")
    assert "is given no labels: a loss is declared by LossFunction(<lambda>)" in result.results[0].reason


class TestOneSample:
    """Batches that the harness puts together."""

    def pair(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> Pair:
        """Return a pair of functions of one sample."""
        return Pair(Functions(forward, backward, cache=False, one_sample=True), nn.ReLU(), [(3, 4)])

    def test_shapes_that_differ(self) -> None:
        """Output sizes that depend on the values."""
        result = check(self.pair(lambda x: x[x > 0], lambda d, x: d), only=lambda name: name == "values-float64-normal")
        assert result.results[0].verdict is Verdict.MISMATCH
        assert "output has the shapes" in result.results[0].reason

    def test_number_for_a_vector(self) -> None:
        result = check(self.pair(lambda x: x.max(), lambda d, x: x.max()), only=lambda name: name == "values-float64-normal")
        reasons = [judgement.reason for _, judgement in result.results[0].judgements]
        assert reasons == ["the shape is (), expected (3, 4)", "grad_input is a single number, expected an array like the input"]

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
    found = Pair(Dicts(Reusing(kernel), one_sample=one_sample), nn.ReLU(), [(2, 3, 4)]).prepared.layer
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
