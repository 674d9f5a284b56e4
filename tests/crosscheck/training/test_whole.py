"""The comparison of whole networks, step by step: what is judged, from where, and what is left undecided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import ModelPair, Target, Verdict
from crosscheck.checks.whole import WholeRun
from crosscheck.core.judge import Kind
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepare_whole import PreparedWhole
from tests.support.regression import Regression, ready_of, replaced, run

PRECISIONS = pytest.mark.parametrize("dtype", ["float64", "float32"])


def clearing(net: Regression) -> None:
    Regression.update(net)
    net.grads = {name: np.zeros_like(value) for name, value in net.grads.items()}


def decaying(net: Regression) -> None:
    for name, value in net.params.items():
        net.grads[name] += value.dtype.type(0.01) * value
    Regression.update(net)


def clipping(net: Regression) -> None:
    norm = np.sqrt(sum((grad**2).sum() for grad in net.grads.values()))
    kind = net.grads["w"].dtype.type
    net.grads = {name: grad * min(kind(1), kind(0.1) / (norm + kind(1e-6))) for name, grad in net.grads.items()}
    Regression.update(net)


def verdicts(found: WholeRun) -> dict[str, set[Verdict]]:
    """Return the verdicts on each quantity."""
    return {
        f"{layer}.{quantity}": {verdict for verdict, count in series.counts.items() if count}
        for (_, layer, quantity), series in found.comparison.record.series.items()
    }


def norm(params: Any) -> Any:
    return torch.nn.utils.clip_grad_norm_(params, 0.1)


def decay(params: Any) -> Any:
    return torch.optim.SGD(params, lr=0.1, momentum=0.5, weight_decay=0.01)


ALL = {"loss.output", "Linear.bias.grad", "Linear.weight.grad", "Linear.bias", "Linear.weight"}
RIGHT: dict[str, tuple[dict[str, Any], set[str]]] = {
    "gradients shown": ({}, ALL),
    "gradients hidden": ({"hidden": True}, ALL - {"Linear.bias.grad", "Linear.weight.grad"}),
    "gradients cleared": ({"kind": replaced(update=clearing)}, ALL - {"Linear.bias.grad", "Linear.weight.grad"}),
    "gradients shown after clipping": ({"kind": replaced(update=clipping), "clip": norm}, ALL),
    "decay added in place": ({"kind": replaced(update=decaying), "optimizer": decay}, ALL - {"Linear.bias.grad", "Linear.weight.grad"}),
    "no loss": ({"kind": replaced(loss=lambda net, error: None)}, ALL - {"loss.output"}),
    "nothing is updated": ({"kind": replaced(update=lambda net: None), "optimizer": None}, ALL),
    "everything is frozen": (
        {"kind": replaced(update=lambda net: None), "frozen": ["weight", "bias"]},
        {"loss.output", "Linear.bias", "Linear.weight"},
    ),
    "a frozen bias": (
        {"kind": replaced(gradients=lambda net, x, error: {"w": error.T @ x, "b": np.zeros_like(net.params["b"])}), "frozen": ["bias"]},
        ALL - {"Linear.bias.grad"},
    ),
}


@PRECISIONS
@pytest.mark.parametrize("case", RIGHT)
def test_right(case: str, dtype: str) -> None:
    given, compared = RIGHT[case]
    found = verdicts(run(ready_of(**given), dtype))
    assert {name for name, own in found.items() if own == {Verdict.MATCH}} == compared
    assert all(own <= {Verdict.MATCH, Verdict.SKIPPED} for own in found.values())


def halved(net: Regression, x: Any, error: Any) -> dict[str, Any]:
    return {"w": error.T @ x / 2, "b": error.sum(axis=0)}


def doubled(net: Regression, x: Any, error: Any) -> dict[str, Any]:
    return {"w": 2 * error.T @ x, "b": 2 * error.sum(axis=0)}


class Signs(Regression):
    """Steps of equal size in the direction of gradients that are twice too large."""

    gradients = doubled

    def update(self) -> None:
        for name, value in self.params.items():
            value[...] = value - value.dtype.type(0.1) * np.sign(self.grads[name])


class Sign(torch.optim.Optimizer):  # type: ignore[misc]
    """Steps of equal size in the direction of the gradient."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    def step(self) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                param.add_(param.grad.sign(), alpha=-group["lr"])


def without_momentum(net: Regression) -> None:
    net.velocity = {"w": 0, "b": 0}
    Regression.update(net)


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "loss": ({"kind": replaced(loss=lambda net, error: 1.01 * (error**2).mean())}, "step 1, loss.output", ""),
    "gradient": ({"kind": replaced(gradients=halved)}, "step 1, Linear.weight.grad", ""),
    "all gradients doubled": ({"kind": replaced(gradients=doubled)}, "step 1, Linear.bias.grad", ""),
    "all gradients doubled, signs alone count": ({"kind": Signs, "optimizer": Sign}, "step 1, Linear.bias.grad", ""),
    "hidden gradient": ({"kind": replaced(gradients=halved), "hidden": True}, "step 1, Linear.weight", "your code shows no gradients"),
    "update": ({"kind": replaced(update=without_momentum)}, "step 2, Linear.bias", "its gradient is right; the update is another"),
    "clipping left out": ({"clip": norm}, "step 1, Linear.bias", "its gradient is right; the update is another"),
    "updates what is frozen": ({"frozen": ["bias"]}, "step 1, Linear.bias", "it is declared as frozen"),
    "updates before the optimizer acts": ({"accumulate": 3}, "step 1, Linear.weight", "declared is one update after 3 steps"),
    "gradient without an update": (
        {"kind": replaced(gradients=halved, update=lambda net: None), "optimizer": None},
        "step 1, Linear.weight.grad",
        "",
    ),
    "updates unasked": ({"optimizer": None}, "step 1, Linear.bias", "no optimizer is declared"),
}


@PRECISIONS
@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str, dtype: str) -> None:
    given, place, reason = WRONG[case]
    comparison = run(ready_of(**given), dtype).comparison
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == place
    assert reason in comparison.first.judgement.reason


def test_later_steps_are_not_judged_after_the_first_divergence() -> None:
    comparison = run(ready_of(replaced(gradients=halved))).comparison
    assert (comparison.judged, comparison.steps) == (1, 4)


def test_gradients_add_up_until_the_optimizer_acts() -> None:
    """The parameters stay as they are in between."""

    class Adding(Regression):
        count = 0

        def gradients(self, x: Any, error: Any) -> dict[str, Any]:
            own = super().gradients(x, error)
            return {name: own[name] + (self.grads[name] if self.count % 2 else 0) for name in own}

        def update(self) -> None:
            self.count += 1
            if not self.count % 2:
                super().update()

    found = verdicts(run(ready_of(Adding, accumulate=2)))
    assert found == {name: {Verdict.MATCH} for name in ALL}
    first = run(ready_of(Adding)).comparison.first
    assert first is not None
    assert (str(first.judgement.place), first.judgement.kind) == ("step 1, Linear.bias", Kind.UPDATE)


class Kinked(nn.Module):  # type: ignore[misc]
    """A ReLU of a product."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(2.0))

    def forward(self, x: Any) -> Any:
        return torch.relu((x * self.weight).sum(1))


class OtherSide:
    """The same, but every ReLU decides as it should not."""

    def __init__(self, dtype: str) -> None:
        self.params, self.grads = {"weight": np.zeros(2, dtype)}, {"weight": np.zeros(2, dtype)}

    def loss(self, x: Any, y: Any) -> Any:
        z = (x * self.params["weight"]).sum(axis=1)
        passes = (x.astype(np.float64) * self.params["weight"]).sum(axis=1) <= 0
        error = np.maximum(z, 0) - y
        self.grads["weight"] = 2 * ((error * passes)[:, None] * x).mean(axis=0)
        return (error**2).mean()


def test_decision_that_rounding_may_change_is_undecided() -> None:
    """Both weights cancel but for a few rounding errors of float32, which in float64 is a large number."""
    x = np.ones((4, 2), np.float32)
    inputs = {"x": (4, 2), "y": Target((4,))}
    pair = ModelPair(OtherSide, Kinked(), nn.MSELoss(), inputs=inputs, name="kinked", steps=1, batches=lambda rng: (x, np.ones(4)))
    ready = prepare(pair)
    assert isinstance(ready, PreparedWhole)
    first, second = ready.start("float32", 0)["weight"]
    x[:, 1] = -first / second * (1 + 3 * np.finfo(np.float32).eps)
    narrow, wide = (run(ready, dtype).comparison for dtype in ("float32", "float64"))
    assert (narrow.verdict, narrow.lost) == (Verdict.UNDECIDED, True)
    assert (wide.verdict, wide.lost) == (Verdict.MISMATCH, False)
