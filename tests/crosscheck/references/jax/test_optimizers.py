"""Pairs of optimizers with a reference in optax: right ones agree, and a planted fault is found."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax
import pytest

from crosscheck import Verdict
from crosscheck.core.operation import RefusedError
from crosscheck.oracles.optimizers.runs import OptimizerMutant
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.references.jax.optimizers import OptaxOptimizer
from tests.support.faults import FAULTS
from tests.support.optimizer_pairs import holding
from tests.support.unshrunk import check
from tests.textbook.optimizers import Adam

RIGHT: Mapping[str, Callable[[], OptimizerPair]] = {
    "sgd": lambda: OptimizerPair(holding(), lambda params: optax.sgd(0.1)),
    "momentum": lambda: OptimizerPair(holding(momentum=0.9), lambda params: optax.sgd(0.1, 0.9), state={"buffers": "trace"}),
    "adam": lambda: OptimizerPair(holding(Adam), lambda params: optax.adam(0.1), state={"first": "mu", "second": "nu"}),
}


@pytest.mark.slow("each rule is compiled; one shows it, and test_optimizers.py all of them", default=["sgd"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_optimizer_agrees(name: str) -> None:
    result = check(RIGHT[name](), only=lambda check: check.startswith("updates-"))
    wrong = [(found.check, found.reason) for found in result.results if found.verdict is not Verdict.MATCH]
    assert (result.error, wrong) == ("", [])


def test_fault_is_found() -> None:
    pair = OptimizerPair(holding(FAULTS["optimizers-correction-left-out"].kind), lambda params: optax.adam(0.1))
    assert check(pair, only=lambda check: check == "updates-float64-normal").verdict is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda params: 3, "the reference made a int, expected an optax.GradientTransformation"),
        (lambda params: optax.sgd(), "the reference optimizer could not be made from a dict of arrays"),
    ],
    ids=["number", "arguments"],
)
def test_what_is_no_optimizer(make: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        OptaxOptimizer(make).run({"w": np.ones(2)}, [{"w": np.ones(2)}])


def test_settings_that_cannot_be_changed() -> None:
    run = functools.partial(OptaxOptimizer(lambda params: optax.sgd(0.1)).run, {"w": np.ones(2)}, [{"w": np.ones(2)}])
    with pytest.raises(RefusedError, match="settings of an optax transformation cannot be read"):
        run(OptimizerMutant(settings={"momentum": 0}))
