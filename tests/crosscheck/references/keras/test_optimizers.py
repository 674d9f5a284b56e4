"""Pairs of optimizers with a reference in Keras: right ones agree, and a planted fault is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from crosscheck import Verdict
from crosscheck.core.operation import RefusedError
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.references.keras.optimizers import KerasOptimizer
from tests.support.optimizer_pairs import VELOCITY, holding
from tests.support.unshrunk import check
from tests.textbook.optimizers import Adam

import keras  # isort: skip

RIGHT: Mapping[str, Callable[[], OptimizerPair]] = {
    "sgd": lambda: OptimizerPair(holding(), lambda params: keras.optimizers.SGD(0.1)),
    "velocity": lambda: OptimizerPair(VELOCITY, lambda params: keras.optimizers.SGD(0.1, 0.9), state={"velocity": "momentum"}),
    "nesterov": lambda: OptimizerPair(holding(momentum=0.9, nesterov=True), lambda params: keras.optimizers.SGD(0.1, 0.9, nesterov=True)),
}


@pytest.mark.slow("each rule is compiled; one shows it, and test_optimizers.py all of them", default=["velocity"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_optimizer_agrees(name: str) -> None:
    result = check(RIGHT[name](), only=lambda check: check.startswith("updates-"))
    wrong = [(found.check, found.reason) for found in result.results if found.verdict is not Verdict.MATCH]
    assert (result.error, wrong) == ("", [])


def test_epsilon_at_another_place_is_found() -> None:
    """Keras's Adam adds epsilon before the correction for the start, the published one and PyTorch's after it."""
    pair = OptimizerPair(holding(Adam, eps=1e-3), lambda params: keras.optimizers.Adam(0.1, epsilon=1e-3))
    assert check(pair, only=lambda check: check == "updates-float64-normal").verdict is Verdict.MISMATCH


def test_what_is_no_optimizer() -> None:
    with pytest.raises(RefusedError, match=r"the reference made a int, expected a keras\.optimizers\.Optimizer"):
        KerasOptimizer(lambda params: 3).run({"w": np.ones(2)}, [{"w": np.ones(2)}])
