"""Optimizers that break or keep something else: each gets its verdict with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck import Settings, Verdict
from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.optimizers import UpdateFunction, Updater
from crosscheck.core.precision import Array
from crosscheck.pairs.optimizer_pair import OptimizerPair
from tests.support.optimizer_pairs import MOMENTUM, SGD, Handed, holding, normal
from tests.support.unshrunk import check


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
    found = normal(OptimizerPair(holding(momentum=0.9), MOMENTUM, state={"moments": "momentum_buffer"})).results[0]
    assert found.verdict is Verdict.MISMATCH
    assert "SGD.moments does not exist, expected a dict or list with an array for each parameter; dicts and lists of" in found.reason


def test_optimizer_that_is_handed_everything() -> None:
    """It is copied for each run: what it keeps of one does not reach the next."""
    adapter = Updater(Handed(momentum=0.5), "step_on")
    assert adapter.title == "Handed"
    for _ in range(2):
        stepper = adapter.stepper({"w": np.ones(1)})
        for _ in range(2):
            stepper.step({"w": np.ones(1)})
        assert stepper.state("buffers")["w"].tolist() == [1.5]
    with pytest.raises(ConventionError, match="Handed has no method 'step_off'"):
        Updater(Handed(), "step_off")
