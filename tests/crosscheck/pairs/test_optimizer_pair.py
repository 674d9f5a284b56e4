"""Declarations of optimizers that do not fit: one error each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crosscheck import PairError
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.prepare import prepare
from tests.support.optimizer_pairs import SGD, Handed, holding


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OptimizerPair(Handed(), SGD), "say how to call it"),
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
