"""A network that declares nothing says by the names of its methods how it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.recognise_network import as_whole_step
from crosscheck.adapters.whole_step import WholeStep
from tests.support.hand_written import UpdatingMLP

BATCH = ["x", "labels"]


def with_methods(**methods: Any) -> Any:
    """Return an object of a class with some methods."""
    return type("Net", (), {name: staticmethod(method) for name, method in methods.items()})()


STEPS: dict[str, tuple[dict[str, Any], int]] = {
    "the usual name": ({"train_step": lambda x, labels: 1, "step": lambda x, labels: 2}, 1),
    "another name": ({"micro_step": lambda x, labels: 3, "predict": lambda x: 4}, 3),
    "a rate by default": ({"train": lambda x, labels, lr=0.1: 5}, 5),
    "an optimizer's step takes nothing": ({"step": lambda: 6, "fit": lambda x, labels: 7}, 7),
}


@pytest.mark.parametrize("case", STEPS)
def test_step_is_found(case: str) -> None:
    methods, result = STEPS[case]
    assert as_whole_step(with_methods(**methods), BATCH, trains=True).step(0, 0) == result


def test_loss_and_gradients_come_first_where_nothing_is_updated() -> None:
    network = with_methods(train_step=lambda x, labels: 1, loss=lambda x, labels: 2)
    assert [as_whole_step(network, BATCH, trains).step(0, 0) for trains in (True, False)] == [1, 2]


def test_prediction_is_found() -> None:
    found = as_whole_step(with_methods(train_step=lambda x, labels: 1, predict=lambda x: 2), BATCH, trains=True)
    assert found.predict is not None
    assert found.predict(0) == 2


def test_error_ends_with_the_line_to_add() -> None:
    with pytest.raises(ConventionError) as error:
        as_whole_step(with_methods(go=lambda x, labels: 1), BATCH, trains=True)
    assert str(error.value).endswith("return WholeStep(lambda x, labels: network.METHOD(x, labels), network)")


def test_step_that_takes_more_than_a_batch() -> None:
    """A method that returns the loss alone does not take its place, because it leaves the parameters as they are."""
    network = with_methods(step=lambda x, labels, rate: 1, loss_and_grads=lambda x, labels: 2)
    with pytest.raises(ConventionError, match=r"Net.step takes a batch \(x, labels\) and also rate") as error:
        as_whole_step(network, BATCH, trains=True)
    assert str(error.value).endswith("return WholeStep(lambda x, labels: network.step(x, labels, RATE), network)")
    assert as_whole_step(network, BATCH, trains=False).step(0, 0) == 2


def test_nothing_was_returned() -> None:
    with pytest.raises(ConventionError, match="subject returned None"):
        as_whole_step(None, BATCH, trains=True)


def test_function_of_the_parameters() -> None:
    """The new parameters are those of the next step."""
    declared = as_whole_step(WholeStep(lambda params, x, labels: (x, {"w": params["w"] + 1}), {"w": 0}), BATCH, trains=True)
    assert [declared.step(x, 0) for x in (7, 8)] == [(7,), (8,)]
    assert declared.params() == {"w": 2}


def test_network_of_declared_layers() -> None:
    network = UpdatingMLP("float64", 0.1)
    declared = as_whole_step(Network({"first": Part(network.first, {"weight": "weight: i o -> o i"})}, network.train), BATCH, trains=True)
    assert declared.names == {"first.weight": "first.weight: i o -> o i"}
    assert declared.params.first is network.first


def test_declared_step_is_kept() -> None:
    declared = WholeStep(lambda x, labels: 1, {"w": np.zeros(2)})
    assert as_whole_step(declared, BATCH, trains=True) is declared
