"""Each contract of a network that trains is broken by one made for it; what does not apply is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.whole_step import WholeStep
from crosscheck.core.judge import Verdict
from tests.support.hand_written import Array, PlainMLP
from tests.support.model_pairs import LR, mlp, model_pair, replaced, result_of, whole_pair


def writes_to_batch(network: PlainMLP) -> None:
    def around(method: Any, owner: Any) -> Any:
        def train(x: Array, labels: Array) -> Any:
            loss = method(x, labels)
            labels += 1
            return loss

        return train

    replaced("train", around)(network)


def random_each_time(network: PlainMLP) -> None:
    rng = np.random.default_rng()
    replaced("train", lambda train, owner: lambda x, labels: train(x * rng.random(), labels))(network)


def first_batch_size(network: PlainMLP) -> None:
    """Divide by the size of the first batch for ever."""

    def around(method: Any, owner: Any) -> Any:
        sizes: list[int] = []

        def gradients(x: Array, labels: Array) -> tuple[Any, dict[str, Array]]:
            sizes.append(len(x))
            loss, grads = method(x, labels)
            return loss, {name: grad * (len(x) / sizes[0]) for name, grad in grads.items()}

        return gradients

    replaced("gradients", around)(network)


def predicts_in_place(network: PlainMLP) -> None:
    def around(method: Any, owner: PlainMLP) -> Any:
        def predict(x: Array) -> Any:
            owner.params["b2"] += 1
            return method(x)

        return predict

    replaced("predict", around)(network)


SHARED: dict[tuple[str, Any], Array] = {}


def shares(network: PlainMLP) -> None:
    """All networks have one and the same weight."""
    network.params["W2"] = SHARED.setdefault(("W2", network.params["W2"].dtype), network.params["W2"])


CONTRACTS = {
    "batch_is_left_alone": (writes_to_batch, "float64: changed in place: the labels"),
    "same_start_same_result": (random_each_time, "float64: different the second time"),
    "smaller_batch_works": (first_batch_size, "float64: a batch of 3 after one of 4: second.weight is wrong"),
    "predicting_does_not_change_parameters": (predicts_in_place, "float64: changed by predicting: second.bias"),
    "networks_share_nothing": (
        shares,
        "float64: changed by training another network: second.weight; let the factory make new arrays for each network",
    ),
}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_contract_that_is_broken(contract: str) -> None:
    plant, reason = CONTRACTS[contract]
    result = result_of(whole_pair(plant), f"contract-{contract}")
    assert result.verdict is Verdict.MISMATCH
    assert result.reason.startswith(reason)


def test_contract_without_a_prediction() -> None:
    def make(dtype: str) -> WholeStep:
        network = PlainMLP(dtype, LR)
        return WholeStep(network.train, network.params)

    result = result_of(model_pair(make, mlp(), (4, 5)), "contract-predicting_does_not_change_parameters")
    assert result.verdict is Verdict.SKIPPED
    assert "there is no function that predicts" in result.reason
