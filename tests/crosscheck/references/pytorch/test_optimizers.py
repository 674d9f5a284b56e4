"""PyTorch's optimizers as oracles: their own steps, exact where numbers are powers of two, and with one thing changed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from crosscheck.core.operation import RefusedError
from crosscheck.oracles.optimizers.runs import OptimizerMutant
from crosscheck.references.pytorch.optimizers import TorchOptimizer

SGD = functools.partial(torch.optim.SGD, lr=0.5)
MOMENTUM = functools.partial(torch.optim.SGD, lr=0.5, momentum=0.5)
ADAM = functools.partial(torch.optim.Adam, lr=0.5)
START, GRADS = {"a": np.ones(1), "b": np.ones(1)}, [{"a": np.ones(1), "b": 2 * np.ones(1)}] * 2


def ends(make: Any, **changed: Any) -> list[float]:
    last = TorchOptimizer(make).run(START, GRADS, OptimizerMutant(**changed))[-1]
    return [last.params[name].item() for name in START]


@pytest.mark.parametrize(
    ("make", "changed", "expected"),
    [
        (SGD, {}, [0.0, -1.0]),
        (SGD, {"lr_factor": 0.5}, [0.5, 0.0]),
        (SGD, {"settings": {"maximize": True}}, [2.0, 3.0]),
        (SGD, {"decoupled": 0.5, "shrunk_last": True}, [-0.09375, -0.75]),
        (MOMENTUM, {}, [-0.25, -1.5]),
        (MOMENTUM, {"state": "lost"}, [0.0, -1.0]),
        (MOMENTUM, {"state": "shared"}, [-0.625, -1.8125]),
    ],
    ids=["as it is", "rate", "setting", "decay", "momentum", "state lost", "state shared"],
)
def test_two_steps(make: Any, changed: dict[str, Any], expected: list[float]) -> None:
    assert ends(make, **changed) == expected


def test_steps_that_are_not_counted_differ() -> None:
    assert ends(ADAM) != ends(ADAM, time=lambda step, index, count: 1)


def test_roots_that_are_moved_differ() -> None:
    assert ends(ADAM) != ends(ADAM, roots=[(0.5, 0.0), (0.5, 0.0)])


def test_state_and_settings_are_shown() -> None:
    oracle = TorchOptimizer(MOMENTUM)
    assert [step.state["momentum_buffer"]["b"].item() for step in oracle.run(START, GRADS)] == [2.0, 3.0]
    assert (oracle.settings["lr"], oracle.settings["momentum"]) == (0.5, 0.5)


def test_default_precision_of_everybody_else_is_left_alone() -> None:
    ends(ADAM)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("make", "words"), [(lambda params: 3, "the reference made a int"), (torch.optim.LBFGS, "LBFGS cannot do a step with gradients alone")]
)
def test_what_is_no_optimizer(make: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        ends(make)
