"""Linear regression by gradient descent with momentum, of which tests replace parts, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import ModelPair, Target, WholeStep
from crosscheck.checks.whole import WholeRun, run_of
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepare_whole import PreparedWhole


class Regression:
    """Linear regression by gradient descent with momentum; a test replaces parts of it."""

    def __init__(self, dtype: str) -> None:
        self.params = {"w": np.zeros((2, 3), dtype), "b": np.zeros(2, dtype)}
        self.grads: dict[str, Any] = {}
        self.velocity: dict[str, Any] = {"w": 0, "b": 0}

    def train_step(self, x: Any, y: Any) -> Any:
        error = self.predict(x) - y
        self.grads = self.gradients(x, 2 * error / error.size)
        self.update()
        return self.loss(error)

    def predict(self, x: Any) -> Any:
        return x @ self.params["w"].T + self.params["b"]

    def loss(self, error: Any) -> Any:
        return (error**2).mean()

    def gradients(self, x: Any, error: Any) -> dict[str, Any]:
        return {"w": error.T @ x, "b": error.sum(axis=0)}

    def update(self) -> None:
        for name, value in self.params.items():
            self.velocity[name] = self.velocity[name] * value.dtype.type(0.5) + self.grads[name]
            value[...] = value - value.dtype.type(0.1) * self.velocity[name]


def replaced(**methods: Callable[..., Any]) -> type[Regression]:
    """Return a regression with other methods."""
    return type("Regression", (Regression,), methods)


def ready_of(kind: Callable[[str], Any] = Regression, hidden: bool = False, **further: Any) -> PreparedWhole:
    """Return a regression beside PyTorch's; its gradients can be hidden."""

    def make(dtype: str) -> Any:
        net = kind(dtype)
        return WholeStep(net.train_step, net.params, predict=net.predict) if hidden else net

    given: dict[str, Any] = {"inputs": {"x": "n 3", "y": Target("n 2")}, "sizes": {"n": 5}}
    given |= {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5)}
    ready = prepare(ModelPair(make, nn.Linear(3, 2), nn.MSELoss(), name="regression", steps=4, **{**given, **further}))
    assert isinstance(ready, PreparedWhole)
    return ready


def run(ready: PreparedWhole, dtype: str = "float64") -> WholeRun:
    found = run_of(ready, dtype, 0)
    assert (found.failed, found.ended) == ("", True)
    return found
