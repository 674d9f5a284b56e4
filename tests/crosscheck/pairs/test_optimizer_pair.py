"""Declarations of optimizers that do not fit: one error each; learning rates that change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax
import pytest
import torch

from crosscheck import Holding, PairError, Verdict
from crosscheck.core.precision import Array
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.prepare import prepare
from tests.support.optimizer_pairs import MOMENTUM, SGD, Handed, holding, normal
from tests.textbook.optimizers import SGD as DESCENT


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: prepare(OptimizerPair(Handed(), SGD)), "say how to call it"),
        (lambda: OptimizerPair(holding(), SGD, steps=0), "steps is 0"),
        (lambda: OptimizerPair(holding(), SGD, velocity=("v",)), "velocity names 'v', which is not a declared state"),
        (lambda: OptimizerPair(holding(), SGD, shapes={}), "expected a shape for each parameter"),
        (lambda: prepare(OptimizerPair(holding(), SGD, state={"m": "momentum_buffer"})), "but the reference's states are: nothing"),
        (lambda: prepare(OptimizerPair(holding(), None)), "the reference has the type NoneType"),
        (lambda: prepare(OptimizerPair(holding(), torch.optim.LBFGS)), "LBFGS cannot do a step with gradients alone"),
    ],
    ids=["no adapter", "no steps", "velocity", "no shapes", "no such state", "no reference", "closure"],
)
def test_declaration_that_does_not_fit_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(PairError, match=words.replace("(", r"\(")):
        make()


def test_start_and_gradients_depend_on_name_and_seed_alone() -> None:
    """Each family of gradients has numbers of its own, and each step."""
    ready = prepare(OptimizerPair(holding(), SGD, steps=3))
    assert ready.start("float32", 0)["weight"].dtype == np.float32
    drawn = [ready.gradients(family, "float64", seed) for family, seed in (("normal", 0), ("normal", 0), ("normal", 1), ("tiny", 0))]
    steps = [step["weight"].tobytes() for run in drawn for step in run]
    assert (len(steps), len(set(steps))) == (12, 9)
    assert drawn[0][0].keys() == ready.start("float64", 0).keys()


class Cosine(DESCENT):
    """Gradient descent with momentum whose rate goes down to 0 in 20 steps."""

    def __init__(self, params: dict[str, Array]) -> None:
        super().__init__(params, lr=0.1, momentum=0.9)
        self.done = 0

    def step(self, grads: Mapping[str, Array]) -> None:
        self.settings["lr"] = 0.1 * (1 + math.cos(math.pi * self.done / 20)) / 2
        self.done += 1
        super().step(grads)


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)


@pytest.mark.parametrize(
    ("schedule", "verdict"),
    [
        pytest.param(cosine, Verdict.MATCH, id="the same"),
        pytest.param(None, Verdict.MISMATCH, id="none"),
        pytest.param(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 19), Verdict.MISMATCH, id="a step shorter"),
    ],
)
def test_schedule_of_the_reference(schedule: Any, verdict: Verdict) -> None:
    """It does a step after each step of the optimizer."""
    assert normal(OptimizerPair(Holding(Cosine), MOMENTUM, schedule=schedule, state={"buffers": "momentum_buffer"})).verdict is verdict


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda: prepare(OptimizerPair(Holding(Cosine), lambda params: optax.sgd(0.1), schedule=cosine)),
            "schedule is for the schedulers of torch.optim; in jax, give the optimizer a schedule as its learning rate",
            id="jax",
        ),
        pytest.param(
            lambda: OptimizerPair(Holding(Cosine), MOMENTUM, schedule=cosine, state={"buffers": "momentum_buffer"}, velocity=("buffers",)),
            "velocity cannot be compared while the learning rate changes",
            id="velocity",
        ),
        pytest.param(
            lambda: prepare(OptimizerPair(Holding(Cosine), MOMENTUM, schedule=torch.optim.lr_scheduler.ReduceLROnPlateau)),
            "cannot do a step with gradients alone",
            id="plateau",
        ),
    ],
)
def test_schedule_that_cannot_be(make: Callable[[], object], words: str) -> None:
    with pytest.raises(PairError, match=words):
        make()
