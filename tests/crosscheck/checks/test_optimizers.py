"""Pairs of optimizers: right ones of every convention follow PyTorch's, and each planted fault is found, with its cause where it has a name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from crosscheck import Pair, PairError, Settings, Verdict
from crosscheck.adapters.optimizers import Holding, UpdateFunction, Updater
from crosscheck.core.precision import Array
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.prepare import prepare
from crosscheck.run.check import PairResult
from tests.support.unshrunk import check

Params = dict[str, Array]


class Optimizer:
    """Gradient descent of every usual kind, right but for the fault that it is told to have; holds the parameters or is handed them."""

    def __init__(self, params: Params | None = None, kind: str = "sgd", fault: str = "", **settings: float) -> None:
        self.params, self.kind, self.fault, self.t = params, kind, fault, 0
        self.s = {"lr": 0.1, "mu": 0.0, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "decay": 0.0, **settings}
        self.m: Params = {}
        self.v: Params = {}
        self.last: Params = {}

    def step(self, grads: Params) -> None:
        assert self.params is not None
        self.update(self.params, grads)

    def update(self, params: Params, grads: Params) -> None:
        self.t += 1
        for name, given in grads.items():
            w, grad = params[name], self._gradient(name, given)
            if self.fault == "decoupled":
                w -= self.s["lr"] * self.s["decay"] * w
            elif self.s["decay"]:
                grad = grad + self.s["decay"] * w
            w -= self._lr() * self._direction(name, grad)

    def _gradient(self, name: str, grad: Array) -> Array:
        before = self.last.get(name, np.zeros_like(grad))
        if self.fault == "stale":
            self.last[name], grad = grad.copy(), before
        if self.fault == "accumulates":
            self.last[name] = grad = grad + before
        return grad

    def _lr(self) -> float:
        return self.s["lr"] * {"sign": -1, "batch": 32, "relative": 1 + 1e-9}.get(self.fault, 1)

    def _direction(self, name: str, grad: Array) -> Array:
        s, key = self.s, "all" if self.fault == "shared" else name
        m, v = self.m.get(key, np.zeros_like(grad)), self.v.get(key, np.zeros_like(grad))
        if self.kind == "sgd":
            weight = 1 - s["mu"] if self.fault == "dampened" else 1.0
            self.m[key] = s["mu"] * m + weight * grad
            return grad + s["mu"] * self.m[key] if self.fault == "nesterov" else self.m[key]
        if self.kind == "rmsprop":
            self.v[key] = s["b2"] * v + (1 - s["b2"]) * grad**2
            return np.asarray(grad / (np.sqrt(self.v[key]) + s["eps"]))
        self.m[key] = s["b1"] * m + (1 - s["b1"]) * grad
        self.v[key] = s["b2"] * v + (1 - s["b2"]) * grad**2
        if self.fault == "uncorrected":
            return np.asarray(self.m[key] / (np.sqrt(self.v[key]) + s["eps"]))
        m, v = self.m[key] / (1 - s["b1"] ** self.t), self.v[key] / (1 - s["b2"] ** self.t)
        return np.asarray(m / np.sqrt(v + s["eps"]) if self.fault == "eps inside" else m / (np.sqrt(v) + s["eps"]))


def velocity(w: Array, dw: Array, config: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    config["velocity"] = config["momentum"] * config.get("velocity", np.zeros_like(w)) - config["learning_rate"] * dw
    return w + config["velocity"], config


def holding(**options: Any) -> Holding:
    return Holding(functools.partial(Optimizer, **options))


SGD = functools.partial(torch.optim.SGD, lr=0.1)
MOMENTUM = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
NESTEROV = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True)
DECAY = functools.partial(torch.optim.SGD, lr=0.1, weight_decay=0.01)
ADAM = functools.partial(torch.optim.Adam, lr=0.1)
BOTH = {"m": "exp_avg", "v": "exp_avg_sq"}
VELOCITY = UpdateFunction(velocity, {"learning_rate": 0.1, "momentum": 0.9})

RIGHT: Mapping[str, Callable[[], OptimizerPair]] = {
    "sgd, holding": lambda: OptimizerPair(holding(), lambda params: torch.optim.SGD(params, lr=0.1)),
    "sgd, function": lambda: OptimizerPair(UpdateFunction(lambda w, dw, config: (w - 0.1 * dw, config)), SGD),
    "momentum, updater": lambda: OptimizerPair(Updater(Optimizer(mu=0.9)), MOMENTUM, state={"m": "momentum_buffer"}),
    "velocity, function": lambda: OptimizerPair(VELOCITY, MOMENTUM, state={"velocity": "momentum_buffer"}, velocity=("velocity",)),
    "nesterov, holding": lambda: OptimizerPair(holding(mu=0.9, fault="nesterov"), NESTEROV),
    "decay, updater": lambda: OptimizerPair(Updater(Optimizer(decay=0.01)), DECAY),
    "adam, holding": lambda: OptimizerPair(holding(kind="adam"), ADAM, state=BOTH),
    "adam, updater": lambda: OptimizerPair(Updater(Optimizer(kind="adam", decay=0.01)), functools.partial(ADAM, weight_decay=0.01)),
    "adamw, holding": lambda: OptimizerPair(
        holding(kind="adam", decay=0.01, fault="decoupled"), lambda params: torch.optim.AdamW(params, lr=0.1, weight_decay=0.01)
    ),
    "rmsprop, holding": lambda: OptimizerPair(
        holding(kind="rmsprop", b2=0.9), lambda params: torch.optim.RMSprop(params, lr=0.1, alpha=0.9), state={"v": "square_avg"}
    ),
    "two references": lambda: OptimizerPair(holding(), [SGD, functools.partial(torch.optim.SGD, lr=0.1, dampening=0.5)]),
}


@pytest.mark.slow(
    "each takes hundreds of perturbed runs; the rows show two adapters, the faults below the third, and test_updates every rule",
    default=["sgd, function", "momentum, updater"],
)
@pytest.mark.parametrize("name", RIGHT)
def test_right_optimizer_agrees(name: str) -> None:
    result = check(RIGHT[name]())
    wrong = [(found.check, found.reason) for found in result.results if found.verdict is not Verdict.MATCH and "apply" not in found.reason]
    assert (result.error, wrong) == ("", [])
    assert sum(found.verdict is Verdict.MATCH for found in result.results) >= 13


FAULTS: list[tuple[str, str, Callable[[], OptimizerPair], str | None]] = [
    ("sign", "step 1, fault.weight", lambda: OptimizerPair(holding(fault="sign"), SGD, name="fault"), "sign"),
    ("times batch", "step 1, fault.weight", lambda: OptimizerPair(holding(fault="batch"), SGD, name="fault"), "learning rate factor"),
    ("relative", "step 1, fault.weight", lambda: OptimizerPair(holding(fault="relative"), SGD, name="fault"), "learning rate factor"),
    ("stale", "step 1, fault.weight", lambda: OptimizerPair(holding(fault="stale"), SGD, name="fault"), "stale gradient"),
    ("accumulates", "step 2, fault.weight", lambda: OptimizerPair(holding(fault="accumulates"), SGD, name="fault"), "accumulated gradients"),
    ("dampened", "step 1, fault.weight", lambda: OptimizerPair(holding(mu=0.9, fault="dampened"), MOMENTUM, name="fault"), "dampening"),
    ("no momentum", "step 2, fault.weight", lambda: OptimizerPair(holding(), MOMENTUM, name="fault"), "momentum left out"),
    ("nesterov", "step 1, fault.weight", lambda: OptimizerPair(holding(mu=0.9, fault="nesterov"), MOMENTUM, name="fault"), "nesterov"),
    (
        "decay decoupled",
        "step 2, fault.weight",
        lambda: OptimizerPair(holding(mu=0.9, decay=0.01, fault="decoupled"), functools.partial(MOMENTUM, weight_decay=0.01), name="fault"),
        "weight decay decoupled",
    ),
    (
        "decay coupled",
        "step 1, fault.weight",
        lambda: OptimizerPair(holding(kind="adam", decay=0.01), functools.partial(torch.optim.AdamW, lr=0.1), name="fault"),
        "weight decay coupled",
    ),
    (
        "velocity undeclared",
        "step 1, fault.weight.velocity",
        lambda: OptimizerPair(VELOCITY, MOMENTUM, state={"velocity": "momentum_buffer"}, name="fault"),
        "velocity form",
    ),
    (
        "uncorrected",
        "step 1, fault.weight",
        lambda: OptimizerPair(holding(kind="adam", fault="uncorrected"), ADAM, name="fault"),
        "bias correction left out",
    ),
    ("eps inside", "step 1, fault.weight", lambda: OptimizerPair(holding(kind="adam", fault="eps inside"), ADAM, name="fault"), None),
    (
        "state shared",
        "step 1, fault.b",
        lambda: OptimizerPair(holding(mu=0.9, fault="shared"), MOMENTUM, shapes={"a": (3,), "b": (3,)}, name="fault"),
        None,
    ),
]


def normal(pair: OptimizerPair | Pair, dtype: str = "float64") -> PairResult:
    return check(pair, only=lambda name: name == f"updates-{dtype}-normal")


@pytest.mark.slow(
    "Adam's take hundreds of perturbed runs; test_planted_updates finds them by theory",
    default=[
        "sign",
        "times batch",
        "relative",
        "stale",
        "accumulates",
        "dampened",
        "no momentum",
        "nesterov",
        "decay decoupled",
        "velocity undeclared",
        "state shared",
    ],
)
@pytest.mark.parametrize(("place", "make", "cause"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_fault_is_found_where_it_first_shows(place: str, make: Callable[[], OptimizerPair], cause: str | None) -> None:
    first = normal(make()).first
    assert first is not None
    assert first.divergence is not None
    assert str(first.divergence.judgement.place) == place
    if cause is not None:
        assert first.divergence.cause is not None
        assert first.divergence.cause.name == cause


def test_relative_fault_of_a_thousandth_is_found_in_float32() -> None:
    pair = OptimizerPair(holding(lr=0.1001), SGD)
    assert normal(pair, "float32").verdict is Verdict.MISMATCH


def test_dampened_momentum_has_a_name_from_the_second_step_on() -> None:
    """PyTorch does not dampen the first gradient, which a running mean from zero does."""

    class AsPyTorch(Optimizer):
        def _direction(self, name: str, grad: Array) -> Array:
            self.m[name] = self.s["mu"] * self.m[name] + (1 - self.s["mu"]) * grad if name in self.m else grad
            return self.m[name]

    first = normal(OptimizerPair(Holding(functools.partial(AsPyTorch, mu=0.9)), MOMENTUM)).first
    assert first is not None
    assert first.divergence is not None
    assert first.divergence.judgement.place.step == 2
    assert first.divergence.cause is not None
    assert first.divergence.cause.name == "dampening"


class WritesToGradients(Optimizer):
    def step(self, grads: Params) -> None:
        super().step(grads)
        for value in grads.values():
            value[...] = 0


class WorksOnCopies(Optimizer):
    def step(self, grads: Params) -> None:
        assert self.params is not None
        for name, grad in grads.items():
            self.params[name] = self.params[name] - 0.1 * grad


class SharesItsState(Optimizer):
    everywhere: Params = {}  # noqa: RUF012 - the fault

    def step(self, grads: Params) -> None:
        self.m = self.everywhere
        super().step(grads)


class Widens(Optimizer):
    def step(self, grads: Params) -> None:
        assert self.params is not None
        for name, grad in grads.items():
            self.params[name] = self.params[name].astype(np.float64) - 0.1 * grad


@pytest.mark.parametrize(
    ("kind", "contract"),
    [
        (WritesToGradients, "gradients_are_left_alone"),
        (WorksOnCopies, "params_are_updated_in_place"),
        (SharesItsState, "instances_share_no_state"),
        (SharesItsState, "same_start_same_result"),
        (Widens, "dtype_is_kept"),
    ],
)
def test_broken_contract_is_found(kind: type[Optimizer], contract: str) -> None:
    result = check(OptimizerPair(Holding(functools.partial(kind, mu=0.9)), MOMENTUM), only=lambda name: name == f"contract-{contract}")
    assert result.verdict is Verdict.MISMATCH


def raises(w: Array, dw: Array, config: dict[str, Any]) -> Any:
    raise KeyError("velocity")


def forever(w: Array, dw: Array, config: dict[str, Any]) -> Any:
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (raises, "step 1 raised KeyError"),
        (lambda w, dw, config: None, "returned a NoneType, expected (w, config)"),
        (lambda w, dw, config: (w, None), "returned (w, NoneType), expected (w, config) with config a dict"),
        (lambda w, dw, config: (None, config), "weight is None"),
        (lambda w, dw, config: ((w - 0.1 * dw)[0], config), "the shape is (4,), expected (3, 4)"),
        (lambda w, dw, config: (w * np.nan, config), "NaN where a finite number is expected"),
    ],
    ids=["raises", "none", "no configuration", "no parameter", "wrong shape", "not a number"],
)
def test_subject_that_breaks_gets_its_verdict_with_the_reason(function: Any, words: str) -> None:
    found = normal(OptimizerPair(UpdateFunction(function), SGD)).results[0]
    assert found.verdict is Verdict.MISMATCH
    assert words in found.reason


def test_subject_that_never_ends_is_undecided() -> None:
    pair = OptimizerPair(UpdateFunction(forever), SGD)
    found = check(pair, Settings(timeout=0.2), only=lambda name: name == "updates-float64-normal").results[0]
    assert (found.verdict, "did not end" in found.reason) == (Verdict.UNDECIDED, True)


def test_state_that_the_subject_does_not_keep_is_named() -> None:
    found = normal(OptimizerPair(holding(mu=0.9), MOMENTUM, state={"buffer": "momentum_buffer"})).results[0]
    assert found.verdict is Verdict.MISMATCH
    assert "Optimizer.buffer does not exist, expected a dict or list with an array for each parameter; dicts and lists of" in found.reason


def test_references_that_disagree_leave_it_undecided() -> None:
    """A learning rate is no convention: none is named."""
    result = normal(OptimizerPair(holding(), [SGD, functools.partial(torch.optim.SGD, lr=0.2)]))
    assert result.verdict is Verdict.UNDECIDED
    assert "convention" not in result.results[0].reason


@pytest.mark.slow("the rows show one setting that differs, and one left out", default=["nesterov", "dampening"])
@pytest.mark.parametrize(
    ("references", "convention"),
    [
        ([MOMENTUM, NESTEROV], "nesterov"),
        ([NESTEROV, MOMENTUM], "nesterov"),
        ([MOMENTUM, functools.partial(MOMENTUM, dampening=0.9)], "sgd-dampening"),
        ([functools.partial(torch.optim.Adam, weight_decay=0.1), functools.partial(torch.optim.AdamW, weight_decay=0.1)], "weight-decay"),
        ([functools.partial(torch.optim.AdamW, weight_decay=0.1), functools.partial(torch.optim.Adam, weight_decay=0.1)], "weight-decay"),
    ],
    ids=["nesterov", "no nesterov", "dampening", "decoupled", "coupled"],
)
def test_convention_that_references_answer_differently_is_named(references: list[Any], convention: str) -> None:
    result = normal(OptimizerPair(holding(), references))
    assert result.verdict is Verdict.UNDECIDED
    assert result.results[0].reason.endswith(f"; convention: {convention}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OptimizerPair(Optimizer(), SGD), "say how to call it"),
        (lambda: OptimizerPair(holding(), SGD, steps=0), "steps is 0"),
        (lambda: OptimizerPair(holding(), SGD, velocity=("v",)), "velocity names 'v', which is not a declared state"),
        (lambda: OptimizerPair(holding(), SGD, shapes={}), "expected a shape for each parameter"),
        (lambda: prepare(OptimizerPair(holding(), SGD, state={"m": "momentum_buffer"})), "but the reference's states are: nothing"),
        (lambda: prepare(OptimizerPair(holding(), None)), "the reference has the type NoneType"),
        (lambda: prepare(OptimizerPair(holding(), lambda params: torch.nn.ReLU())), "made a ReLU, expected a torch.optim.Optimizer"),
        (lambda: prepare(OptimizerPair(holding(), torch.optim.LBFGS)), "LBFGS cannot do a step with gradients alone"),
    ],
    ids=["no adapter", "no steps", "velocity", "no shapes", "no such state", "no reference", "no optimizer", "closure"],
)
def test_declaration_that_does_not_fit_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(PairError, match=words.replace("(", r"\(")):
        make()
