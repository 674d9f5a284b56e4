"""Textbook optimizers in every convention, for pairs with frameworks' own."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from crosscheck import Pair
from crosscheck.adapters.optimizers import Holding, UpdateFunction
from crosscheck.core.precision import Array
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.run.check import PairResult
from tests.support.unshrunk import check
from tests.textbook.optimizers import SGD as DESCENT

SGD = functools.partial(torch.optim.SGD, lr=0.1)
MOMENTUM = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
NESTEROV = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True)
ADAM = functools.partial(torch.optim.Adam, lr=0.1)


def holding(kind: Any = DESCENT, **settings: Any) -> Holding:
    return Holding(functools.partial(kind, **{"lr": 0.1, **settings}))


class Handed(DESCENT):
    """Gradient descent that is handed the parameters at each step."""

    def __init__(self, **settings: float) -> None:
        super().__init__({}, **settings)

    def step_on(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        self.params = params
        self.step(grads)


def velocity(w: Array, dw: Array, config: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    config["velocity"] = config["momentum"] * config.get("velocity", np.zeros_like(w)) - config["learning_rate"] * dw
    return w + config["velocity"], config


VELOCITY = UpdateFunction(velocity, {"learning_rate": 0.1, "momentum": 0.9})


def normal(pair: OptimizerPair | Pair, dtype: str = "float64") -> PairResult:
    """Check the steps of one precision on usual gradients."""
    return check(pair, only=lambda name: name == f"updates-{dtype}-normal")
