"""The styles in which people write optimizers: each is called without an adapter, and its wrong twin is found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from crosscheck import Holding, OptimizerPair, PairError, UpdateFunction, Updater, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.optimizers import OptimizerConvention
from crosscheck.adapters.recognise_optimizer import recognise_optimizer
from crosscheck.pairs.prepare import prepare
from tests.support.optimizer_pairs import ADAM, MOMENTUM, SGD
from tests.support.unshrunk import check

RATE = 0.1
SHAPES = {"weight": (3, 4), "bias": (4,)}


class Lists:
    """Gets a list of arrays; a step gets a list of gradients."""

    def __init__(self, params: list[Any], decay: float = 0.9) -> None:
        self.params, self.decay, self.velocities = params, decay, [np.zeros_like(param) for param in params]

    def step(self, grads: list[Any]) -> None:
        for i, (param, grad) in enumerate(zip(self.params, grads, strict=True)):
            self.velocities[i] = self.decay * self.velocities[i] + grad
            param -= RATE * self.velocities[i]  # noqa: PLW2901 - in place


class WithGrads(Lists):
    """The caller writes the gradients to an attribute."""

    grads: list[Any]

    def step(self) -> None:  # type: ignore[override]
        super().step(self.grads)


class MadeWithGrads(Lists):
    """The caller hands over the arrays of the gradients once, and fills them before each step."""

    def __init__(self, params: list[Any], grads: list[Any], decay: float = 0.9) -> None:
        super().__init__(params, decay)
        self.of_loss = grads

    def step(self) -> None:  # type: ignore[override]
        super().step(self.of_loss)


class Objects:
    """Gets objects with ``data`` and ``grad``."""

    def __init__(self, params: list[Any], decay: float = 0.9) -> None:
        self.params, self.decay, self.velocities = params, decay, [np.zeros_like(param.data) for param in params]

    def step(self) -> None:
        for i, param in enumerate(self.params):
            self.velocities[i] = self.decay * self.velocities[i] + param.grad
            param.data = param.data - RATE * self.velocities[i]


class Layers:
    """Gets layers with dicts."""

    def __init__(self, layers: list[Any], decay: float = 0.9) -> None:
        self.layers, self.decay, self.velocities = layers, decay, [dict.fromkeys(layer.params, 0.0) for layer in layers]

    def step(self) -> None:
        for layer, velocities in zip(self.layers, self.velocities, strict=True):
            for name in layer.params:
                velocities[name] = self.decay * velocities[name] + layer.grads[name]
                layer.params[name] -= RATE * velocities[name]


class Stateful:
    """The base of optimizers that are handed everything."""

    def __init__(self, decay: float = 0.9) -> None:
        self.decay, self.velocities = decay, {}  # type: ignore[var-annotated]

    def follow(self, key: Any, grad: Any) -> Any:
        self.velocities[key] = self.decay * self.velocities.get(key, 0) + grad
        return RATE * self.velocities[key]


class Dicts(Stateful):
    def update(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= self.follow(name, grads[name])


class ById(Stateful):
    def update(self, w: Any, dw: Any) -> None:
        w -= self.follow(id(w), dw)


class ByKey(Stateful):
    def update(self, key: str, w: Any, dw: Any) -> Any:
        return w - self.follow(key, dw)


class OfLayer(Stateful):
    def update(self, layer: Any) -> None:
        if not hasattr(layer, "vW"):
            layer.vW, layer.vb = np.zeros_like(layer.W), np.zeros_like(layer.b)
        layer.vW, layer.vb = self.decay * layer.vW + layer.dW, self.decay * layer.vb + layer.db
        layer.W -= RATE * layer.vW
        layer.b -= RATE * layer.vb


class OfDenseLayer(Stateful):
    def update_params(self, layer: Any) -> None:
        layer.weights += -self.follow("weights", layer.dweights)
        layer.biases += -self.follow("biases", layer.dbiases)


class OfNetwork(Stateful):
    def step(self, net: Any) -> None:
        for number, (param, grad) in enumerate(net.params_and_grads()):
            param -= self.follow(number, grad)  # noqa: PLW2901 - in place


class AdamByName:
    """Counts its steps, so that it has to be called once for all parameters."""

    def __init__(self, decay: float = 0.9) -> None:
        self.decay, self.steps, self.first, self.second = decay, 0, {}, {}  # type: ignore[var-annotated]

    def step(self, params: Any, grads: Any) -> None:
        self.steps += 1
        for name in params:
            self.first[name] = self.decay * self.first.get(name, 0) + (1 - self.decay) * grads[name]
            self.second[name] = 0.999 * self.second.get(name, 0) + 0.001 * grads[name] ** 2
            mean, square = self.first[name] / (1 - self.decay**self.steps), self.second[name] / (1 - 0.999**self.steps)
            params[name] -= RATE * mean / (np.sqrt(square) + 1e-8)


def new_dict(params: Any, grads: Any, decay: float = 0.9) -> Any:
    return {name: params[name] - RATE * decay / 0.9 * grads[name] for name in params}


def new_list(params: Any, grads: Any, decay: float = 0.9) -> Any:
    return [param - RATE * decay / 0.9 * grad for param, grad in zip(params, grads, strict=True)]


def list_in_place(params: Any, grads: Any, decay: float = 0.9) -> None:
    for param, grad in zip(params, grads, strict=True):
        param -= RATE * decay / 0.9 * grad  # noqa: PLW2901 - in place


def list_of_new_arrays(params: Any, grads: Any, decay: float = 0.9) -> None:
    for i in range(len(params)):
        params[i] = params[i] - RATE * decay / 0.9 * grads[i]


def one_array(w: Any, dw: Any, decay: float = 0.9) -> Any:
    return w - RATE * decay / 0.9 * dw


def with_config(w: Any, dw: Any, config: Any = None, decay: float = 0.9) -> Any:
    config = {} if config is None else config
    config["velocity"] = decay * config.get("velocity", np.zeros_like(w)) - RATE * dw
    return w + config["velocity"], config


def dict_and_state(params: Any, grads: Any, state: Any, decay: float = 0.9) -> Any:
    state = {name: decay * state.get(name, 0) + grads[name] for name in params}
    return {name: params[name] - RATE * state[name] for name in params}, state


def list_and_state(params: Any, grads: Any, state: Any, decay: float = 0.9) -> Any:
    state = [decay * old + grad for old, grad in zip(state or [0] * len(params), grads, strict=True)]
    return [param - RATE * velocity for param, velocity in zip(params, state, strict=True)], state


@dataclass(frozen=True)
class Style:
    """A style: makes the subject with a decay of its momentum, the right reference, and the declaration that stands for it."""

    make: Callable[[float], Any]
    reference: Any
    declared: OptimizerConvention


def made(kind: Any) -> Callable[[float], Any]:
    """Return a function that makes the code with a decay: an object, or a function or class that has yet to be called."""
    return lambda decay: kind(decay) if issubclass(kind, Stateful | AdamByName) else functools.partial(kind, decay=decay)


def function(own: Any) -> Callable[[float], Any]:
    return lambda decay: functools.partial(own, decay=decay)


STYLES = {
    "list-held": Style(made(Lists), MOMENTUM, Holding(Lists, takes="list")),
    "list-held-grads-attribute": Style(made(WithGrads), MOMENTUM, Holding(WithGrads, takes="list")),
    "list-held-grads-handed-once": Style(made(MadeWithGrads), MOMENTUM, Holding(MadeWithGrads, takes="list")),
    "objects": Style(made(Objects), MOMENTUM, Holding(Objects, takes="objects")),
    "layers": Style(made(Layers), MOMENTUM, Holding(Layers, takes="layers")),
    "dicts": Style(made(Dicts), MOMENTUM, Updater(Dicts())),
    "adam": Style(made(AdamByName), ADAM, Updater(AdamByName(), "step")),
    "array-by-id": Style(made(ById), MOMENTUM, Updater(ById(), takes="array")),
    "array-by-key": Style(made(ByKey), MOMENTUM, Updater(ByKey(), takes="named array")),
    "layer": Style(made(OfLayer), MOMENTUM, Updater(OfLayer(), takes="layer")),
    "dense-layer": Style(made(OfDenseLayer), MOMENTUM, Updater(OfDenseLayer(), "update_params", takes="layer")),
    "network": Style(made(OfNetwork), MOMENTUM, Updater(OfNetwork(), "step", takes="layer")),
    "new-dict": Style(function(new_dict), SGD, Updater(new_dict)),
    "new-list": Style(function(new_list), SGD, Updater(new_list, takes="list")),
    "list-in-place": Style(function(list_in_place), SGD, Updater(list_in_place, takes="list")),
    "list-of-new-arrays": Style(function(list_of_new_arrays), SGD, Updater(list_of_new_arrays, takes="list")),
    "one-array": Style(function(one_array), SGD, Updater(one_array, takes="array")),
    "config": Style(function(with_config), MOMENTUM, UpdateFunction(with_config)),
    "dict-and-state": Style(function(dict_and_state), MOMENTUM, UpdateFunction(dict_and_state, {}, "dict")),
    "list-and-state": Style(function(list_and_state), MOMENTUM, UpdateFunction(list_and_state, {}, "list")),
}
styles = pytest.mark.parametrize("style", [pytest.param(style, id=name) for name, style in STYLES.items()])


def few(name: str) -> bool:
    return name == "updates-float64-normal" or name.startswith("contract-")


@styles
def test_right_one_matches(style: Style) -> None:
    result = check(OptimizerPair(style.make(0.9), style.reference, steps=4), only=few)
    assert (result.error, [(one.check, one.reason) for one in result.results if one.counted is Verdict.MISMATCH]) == ("", [])
    assert result.verdict is Verdict.MATCH
    assert len(result.inferred) == 1
    assert result.inferred[0].startswith("it is called as ")


@styles
def test_wrong_twin_is_a_mismatch(style: Style) -> None:
    result = check(OptimizerPair(style.make(0.8), style.reference, steps=4), only=few)
    assert (result.error, result.verdict) == ("", Verdict.MISMATCH)
    assert result.first is not None
    assert result.first.check == "updates-float64-normal"


@styles
def test_recognised_as_what_could_be_declared(style: Style) -> None:
    subject = style.make(0.9)
    found, text = recognise_optimizer(subject, SHAPES)
    assert (type(found), found.takes) == (type(style.declared), style.declared.takes)  # type: ignore[attr-defined]
    assert text.startswith(type(style.declared).__name__)
    assert check(OptimizerPair(style.declared, style.reference, steps=2), only=few).verdict is Verdict.MATCH


def test_declared_adapter_is_not_tried() -> None:
    declared = Updater(Dicts())
    assert recognise_optimizer(declared, SHAPES) == (declared, "")


class Two(Stateful):
    """Has two methods that do different steps."""

    def step(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= RATE * grads[name]

    def update(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= 2 * RATE * grads[name]


class Warm(Stateful):
    """Its first step changes nothing, because its learning rate rises from 0."""

    def update(self, params: Any, grads: Any) -> None:
        for name in params:
            params[name] -= RATE * self.velocities.get("steps", 0) * grads[name]
        self.velocities["steps"] = 1


def test_first_step_that_changes_nothing() -> None:
    assert recognise_optimizer(Warm(), SHAPES)[1] == "Updater(Warm(...))"


def list_without_a_rate(params: Any, grads: Any, lr: float) -> None:
    for param, grad in zip(params, grads, strict=True):
        param -= lr * grad  # noqa: PLW2901 - in place


def rate_is_missing(params: Any, grads: Any, lr: float) -> Any:
    return {name: params[name] - lr * grads[name] for name in params}


@pytest.mark.parametrize(
    ("subject", "lines"),
    [
        pytest.param(
            Two(),
            [
                "Two can be called in 2 ways, which lead to different numbers; declare one of them:",
                "    subject=Updater(Two(...), 'step')",
                "    subject=Updater(Two(...))",
            ],
            id="two ways",
        ),
        pytest.param(
            rate_is_missing,
            [
                "rate_is_missing is not an optimizer that crosscheck can call: in no usual way do two steps change every parameter; "
                "say how to call it:",
                "    subject=Updater(lambda params, grads: rate_is_missing(params, grads, 0.1))",
                "    subject=Updater(lambda params, grads: rate_is_missing(params, grads, 0.1), takes='list')",
                "    subject=Updater(lambda w, dw: rate_is_missing(w, dw, 0.1), takes='array')",
                "    subject=UpdateFunction(rate_is_missing, {'learning_rate': 0.1})",
            ],
            id="function",
        ),
        pytest.param(
            list_without_a_rate,
            [
                "list_without_a_rate is not an optimizer that crosscheck can call: in no usual way do two steps change every parameter; "
                "say how to call it:",
                "    subject=Updater(lambda params, grads: list_without_a_rate(params, grads, 0.1), takes='list')",
                "    subject=Updater(lambda params, grads: list_without_a_rate(params, grads, 0.1))",
            ],
            id="function of lists",
        ),
        pytest.param(
            type("Held", (), {}),
            [
                "Held is not an optimizer that crosscheck can call: in no usual way do two steps change every parameter; say how to call it:",
                "    subject=Holding(lambda params: Held(params, lr=0.1))",
                "    subject=Holding(lambda params: Held(params, lr=0.1), takes='list')",
                "    subject=Updater(Held(...), 'METHOD')",
            ],
            id="class",
        ),
        pytest.param(
            type("Trainer", (), {"train": lambda self, data: None})(),
            [
                "Trainer is not an optimizer that crosscheck can call: in no usual way do two steps change every parameter; its methods are train; "
                "say how to call it:",
                "    subject=Updater(Trainer(...), 'METHOD')",
            ],
            id="object",
        ),
    ],
)
def test_not_exactly_one_way(subject: Any, lines: list[str]) -> None:
    with pytest.raises(PairError) as error:
        prepare(OptimizerPair(subject, SGD))
    said = str(error.value).partition(": ")[2].splitlines()
    assert said[: len(lines)] == lines


def test_first_suggestion_works_as_it_stands() -> None:
    pair = OptimizerPair(Updater(lambda params, grads: rate_is_missing(params, grads, 0.1)), SGD, steps=2)
    assert check(pair, only=few).verdict is Verdict.MATCH


def test_trial_calls_are_contained() -> None:
    def quits(params: Any, grads: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(ConventionError, match="quits is not an optimizer that crosscheck can call"):
        recognise_optimizer(quits, SHAPES)


def test_form_that_does_not_exist() -> None:
    with pytest.raises(ConventionError, match="takes is 'tuple', expected one of 'dict', 'list', 'objects', 'layer', 'layers'"):
        Holding(Lists, takes="tuple")


def test_result_of_another_form_is_named() -> None:
    pair = OptimizerPair(Updater(lambda params, grads: [1, 2, 3], takes="list"), SGD, steps=2)
    first = check(pair, only=few).first
    assert first is not None
    assert "a step returned a list of 3, expected a list with an array for each parameter, or nothing" in first.reason
