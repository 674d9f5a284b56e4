"""Pairs of optimizers: right ones of every convention follow PyTorch's, and each planted fault is found, with its cause where it has a name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch

from crosscheck import Verdict
from crosscheck.adapters.optimizers import UpdateFunction, Updater
from crosscheck.core.precision import Array
from crosscheck.pairs.optimizer_pair import OptimizerPair
from tests.support.faults import FAULTS
from tests.support.faults.optimizers.hosts import ADAM, ADAMW, MOMENTS, NESTEROV, RMSPROP
from tests.support.optimizer_pairs import MOMENTUM, SGD, VELOCITY, Handed, holding, normal
from tests.support.unshrunk import check
from tests.textbook.optimizers import SGD as DESCENT
from tests.textbook.optimizers import Adam

RIGHT: Mapping[str, Callable[[], OptimizerPair]] = {
    "sgd, holding": lambda: OptimizerPair(holding(), SGD),
    "sgd, function": lambda: OptimizerPair(UpdateFunction(lambda w, dw, config: (w - 0.1 * dw, config)), SGD),
    "momentum, updater": lambda: OptimizerPair(Updater(Handed(momentum=0.9), "step_on"), MOMENTUM, state={"buffers": "momentum_buffer"}),
    "velocity, function": lambda: OptimizerPair(VELOCITY, MOMENTUM, state={"velocity": "momentum_buffer"}, velocity=("velocity",)),
    "nesterov, holding": lambda: NESTEROV.pair(NESTEROV.right),  # type: ignore[dict-item,return-value]
    "decay, updater": lambda: OptimizerPair(Updater(Handed(weight_decay=0.01), "step_on"), functools.partial(SGD, weight_decay=0.01)),
    "adam, holding": lambda: ADAM.pair(ADAM.right),  # type: ignore[dict-item,return-value]
    "adam, decay": lambda: OptimizerPair(
        holding(Adam, weight_decay=0.01), functools.partial(torch.optim.Adam, lr=0.1, weight_decay=0.01), state=MOMENTS
    ),
    "adamw, holding": lambda: ADAMW.pair(ADAMW.right),  # type: ignore[dict-item,return-value]
    "rmsprop, holding": lambda: RMSPROP.pair(RMSPROP.right),  # type: ignore[dict-item,return-value]
    "two references": lambda: OptimizerPair(holding(), [SGD, functools.partial(SGD, dampening=0.5)]),
}


@pytest.mark.slow(
    "each takes hundreds of perturbed runs; the rows show two adapters, the faults below the third, and oracles/optimizers every rule",
    default=["sgd, function", "momentum, updater"],
)
@pytest.mark.parametrize("name", RIGHT)
def test_right_optimizer_agrees(name: str) -> None:
    result = check(RIGHT[name]())
    wrong = [(found.check, found.reason) for found in result.results if found.verdict is not Verdict.MATCH and "apply" not in found.reason]
    assert (result.error, wrong) == ("", [])
    assert sum(found.verdict is Verdict.MATCH for found in result.results) >= 13


PLACES = {
    "up-the-gradient": "step 1, sgd.weight",
    "rate-over-batch": "step 1, sgd.weight",
    "rate-in-single-precision": "step 1, sgd.weight",
    "gradient-of-the-step-before": "step 1, sgd.weight",
    "gradients-pile-up": "step 2, sgd.weight",
    "running-mean": "step 2, momentum.weight",
    "momentum-left-out": "step 2, momentum.weight",
    "looks-ahead": "step 1, momentum.weight",
    "decay-beside-momentum": "step 2, momentum with decay.weight",
    "one-buffer-for-all": "step 1, momentum of two.second",
    "decay-of-adam": "step 1, adamw.weight",
    "correction-left-out": "step 1, adam.weight",
    "epsilon-inside-adams-root": "step 1, adam.weight",
}


def found(pair: OptimizerPair) -> tuple[str, str]:
    """Return where steps first differ, and the name of the cause."""
    first = normal(pair).first
    assert first is not None
    assert first.divergence is not None
    return str(first.divergence.judgement.place), first.divergence.cause.name if first.divergence.cause else ""


@pytest.mark.slow(
    "Adam's take hundreds of perturbed runs; oracles/optimizers/test_judge finds them by theory",
    default=[name for name in PLACES if "adam" not in name and "correction" not in name],
)
@pytest.mark.parametrize("name", PLACES)
def test_fault_is_found_where_it_first_shows(name: str) -> None:
    fault = FAULTS[f"optimizers-{name}"]
    pair = fault.pair()
    assert isinstance(pair, OptimizerPair)
    assert found(pair) == (PLACES[name], fault.cause)


def test_velocity_that_is_not_declared() -> None:
    pair = OptimizerPair(VELOCITY, MOMENTUM, state={"velocity": "momentum_buffer"}, name="fault")
    assert found(pair) == ("step 1, fault.weight.velocity", "velocity form")


class DampenedFromZero(DESCENT):
    """A running mean of gradients that starts at zero."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.mean(self.buffers, name, grad, self.settings["momentum"])


def test_momentum_that_is_dampened_from_the_start() -> None:
    assert found(OptimizerPair(holding(DampenedFromZero, momentum=0.9), MOMENTUM, name="fault")) == ("step 1, fault.weight", "dampening")


def test_relative_fault_of_a_thousandth_is_found_in_float32() -> None:
    assert normal(OptimizerPair(holding(lr=0.1001), SGD), "float32").verdict is Verdict.MISMATCH


def test_dampened_momentum_has_a_name_from_the_second_step_on() -> None:
    """PyTorch does not dampen the first gradient, which a running mean from zero does."""
    assert found(OptimizerPair(holding(momentum=0.9, dampening=0.9), MOMENTUM, name="fault")) == ("step 2, fault.weight", "dampening")


class Widens(DESCENT):
    """Its parameters become those of double precision."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] = self.params[name].astype(np.float64) - 0.1 * grad


class Everywhere(DESCENT):
    """Its buffers outlive it."""

    everywhere: ClassVar[dict[str, Array]] = {}

    def step(self, grads: Mapping[str, Array]) -> None:
        self.buffers = self.everywhere
        super().step(grads)


CONTRACTS = {
    "gradients_are_left_alone": FAULTS["optimizers-decay-in-the-callers-array"],
    "params_are_updated_in_place": FAULTS["optimizers-parameters-replaced"],
    "instances_share_no_state": FAULTS["optimizers-buffers-of-the-class"],
}
KINDS = {"same_start_same_result": Everywhere, "dtype_is_kept": Widens}


@pytest.mark.parametrize("contract", [*CONTRACTS, *KINDS])
def test_broken_contract_is_found(contract: str) -> None:
    pair = CONTRACTS[contract].pair() if contract in CONTRACTS else OptimizerPair(holding(KINDS[contract], momentum=0.9), MOMENTUM)
    assert check(pair, only=lambda name: name == f"contract-{contract}").verdict is Verdict.MISMATCH
