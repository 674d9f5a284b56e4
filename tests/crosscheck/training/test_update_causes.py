"""What is wrong with updates whose gradients are right: mistakes in the optimizer and in what stands around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.support.regression import Regression, ready_of, replaced, run

RATES = [0.1 / (1 + step) for step in range(8)]
"""A rate that falls in each step by another factor."""


def falling(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))


def norm(params: Any) -> Any:
    return torch.nn.utils.clip_grad_norm_(params, 0.1)


def scheduled(shift: int) -> type[Regression]:
    """Return a regression whose rate follows the schedule, shifted by some steps."""

    def update(net: Any) -> None:
        net.steps = getattr(net, "steps", -1) + 1
        rate = RATES[max(net.steps + shift, 0)]
        for name, value in net.params.items():
            net.velocity[name] = net.velocity[name] * value.dtype.type(0.5) + net.grads[name]
            value[...] = value - value.dtype.type(rate) * net.velocity[name]

    return replaced(update=update)


def one_by_one(net: Regression) -> None:
    kind = net.grads["w"].dtype.type
    net.grads = {name: grad * min(kind(1), kind(0.1) / (np.linalg.norm(grad) + kind(1e-6))) for name, grad in net.grads.items()}
    Regression.update(net)


def without_momentum(net: Regression) -> None:
    net.velocity = {"w": 0, "b": 0}
    Regression.update(net)


CAUSES: dict[str, tuple[dict[str, Any], str]] = {
    "momentum": ({"kind": replaced(update=without_momentum)}, "momentum left out"),
    "clipping": ({"clip": norm}, "not clipped"),
    "clipping, one by one": ({"kind": replaced(update=one_by_one), "clip": norm}, "clipped one by one"),
    "schedule": ({"schedule": falling}, "no schedule"),
    "schedule, ahead": ({"kind": scheduled(1), "schedule": falling}, "schedule ahead"),
    "schedule, behind": ({"kind": scheduled(-1), "schedule": falling}, "schedule behind"),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CAUSES)
def test_cause_is_named(case: str, dtype: str) -> None:
    given, cause = CAUSES[case]
    first = run(ready_of(**given), dtype).comparison.first
    assert first is not None
    assert (first.cause.name if first.cause else None) == cause


def test_right_schedule_is_right() -> None:
    assert run(ready_of(scheduled(0), schedule=falling)).comparison.first is None


def test_hidden_gradients_serve_as_well() -> None:
    first = run(ready_of(replaced(update=without_momentum), hidden=True)).comparison.first
    assert first is not None
    assert first.cause is not None
    assert first.cause.name == "momentum left out"


def test_unknown_stays_unknown() -> None:
    def noisy(net: Regression) -> None:
        Regression.update(net)
        for value in net.params.values():
            value[...] = value + np.linspace(0, 1e-3, value.size, dtype=value.dtype).reshape(value.shape)

    first = run(ready_of(replaced(update=noisy))).comparison.first
    assert first is not None
    assert first.cause is None
