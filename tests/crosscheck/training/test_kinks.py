"""Decisions at kinks in a training step that is seen from outside: those that rounding may turn are tried the other way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.core.judge import Verdict
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.prepare import prepare
from tests.support.hand_written import Array, PlainMLP
from tests.support.model_pairs import replaced, result_of, whole_pair


def near_kinks(units: int, margin: float, samples: int = 4) -> ModelPair:
    """Return a pair whose first hidden units are zero but for rounding at the first step; the subject turns every decision within a margin."""

    def turned(network: PlainMLP) -> None:
        def around(method: Any, owner: PlainMLP) -> Any:
            def gradients(x: Array, labels: Array) -> tuple[Any, dict[str, Array]]:
                loss, grads = method(x, labels)
                hidden = x @ owner.params["W1"] + owner.params["b1"]
                grad = (owner.last_grad @ owner.params["W2"].T) * ((hidden > 0) ^ (np.abs(hidden) < margin))
                return loss, grads | {"W1": x.T @ grad, "b1": grad.sum(axis=0)}

            return gradients

        replaced("gradients", around)(network)

    def batches(rng: np.random.Generator) -> tuple[Array, Array]:
        x, start = rng.standard_normal((samples, 5)), starts.get("start")
        if start is not None:
            weight, bias = start["first.weight"][:units], start["first.bias"][:units]
            x = x - (x @ weight.T + bias) @ np.linalg.pinv(weight).T
        return x, rng.integers(0, 3, samples)

    starts: dict[str, Any] = {}
    pair = whole_pair(turned, shape=(samples, 5), batches=batches, steps=1)
    starts["start"] = prepare(pair).start("float64", 0)
    return pair


@pytest.mark.parametrize("units", [1, 2], ids=["in-every-combination", "by-least-squares"])
def test_decisions_that_rounding_may_turn(units: int) -> None:
    """A subject that decides otherwise where the margin is within rounding is right, and it is said what was tried."""
    result = result_of(near_kinks(units, 1e-14), "lockstep-float64")
    assert result.verdict is Verdict.MATCH, result.divergence
    assert [note for note in result.notes if note.startswith("relu chose another side of a kink")]
    assert f"rounding may flip {4 * units} decisions at kinks in a step; both sides were tried" in result.notes


def test_more_decisions_than_can_be_told_apart() -> None:
    """Eight decisions about one unit of five inputs: several choices explain the step nearly, so that nothing is said against the subject."""
    result = result_of(near_kinks(1, 1e-14, samples=8), "lockstep-float64")
    assert result.verdict is Verdict.UNDECIDED
    assert "rounding may change 8 decisions at kinks, which may explain this" in result.reason


def test_decisions_that_rounding_cannot_turn() -> None:
    """A subject that decides otherwise where the margin is large is wrong."""
    result = result_of(near_kinks(1, 0.5), "lockstep-float64")
    assert result.verdict is Verdict.MISMATCH
    assert result.divergence is not None
    assert str(result.divergence.judgement.place) == "step 1, first.weight"
