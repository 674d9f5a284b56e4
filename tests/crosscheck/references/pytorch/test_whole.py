"""A module with its loss as one function of a batch, and what a network computes on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.operation import OUTPUT, Call, RefusedError
from crosscheck.oracles.whole import PREDICTION, PREDICTIONS
from crosscheck.references.pytorch.whole import is_chain, whole_network


class Tied(nn.Module):  # type: ignore[misc]
    """One matrix, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
        self.up.weight = self.down.weight

    def forward(self, x: Any) -> Any:
        return self.up(torch.relu(self.down(x)))


def call_of(whole: Any, batch: dict[str, Any], outputs: tuple[str, ...], grad: bool = True) -> Call:
    cotangents = {OUTPUT: np.ones(())} if grad else {}
    return Call({}, whole.outer(whole.params), cotangents, batch, whole.outer(whole.buffers), tuple(batch), outputs)


X, LABELS = np.random.default_rng(0).standard_normal((5, 4)), np.array([0, 1, 2, 3, 0])


def test_loss_and_gradients_are_those_of_autograd() -> None:
    network = Tied().double()
    whole = whole_network(network, nn.functional.cross_entropy)
    found = whole.training.vjp(call_of(whole, {"x": X, "labels": LABELS}, (OUTPUT, PREDICTION)))
    loss = nn.functional.cross_entropy(network(torch.from_numpy(X)), torch.from_numpy(LABELS))
    loss.backward()
    assert list(whole.params) == ["down.weight", "up.bias"]
    assert found[OUTPUT] == loss.item()
    grad = found["network.down.weight.grad"]
    assert network.down.weight.grad is not None
    assert np.array_equal(grad, network.down.weight.grad.numpy())
    assert whole.inner("network.down.weight.grad") == "down.weight.grad"


def test_refusal_names_the_network() -> None:
    whole = whole_network(nn.Linear(4, 4), nn.MSELoss())
    with pytest.raises(RefusedError, match=r"Linear refuses x \(5, 3\)"):
        whole.training.vjp(call_of(whole, {"x": X[:, :3]}, (OUTPUT, PREDICTION)))


def test_single_array_is_input_and_target() -> None:
    whole = whole_network(nn.Linear(4, 4), nn.MSELoss())
    found = whole.training.vjp(call_of(whole, {"x": X}, (OUTPUT, PREDICTION)))
    expected = np.mean((found[PREDICTION] - X) ** 2)
    assert abs(found[OUTPUT] - expected) <= X.size * np.finfo(np.float64).eps * expected


def test_evaluation_has_probabilities_and_its_own_statistics() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    whole = whole_network(network, nn.functional.cross_entropy)
    found = whole.evaluation.vjp(call_of(whole, {"x": X, "labels": LABELS % 3}, (OUTPUT, *PREDICTIONS), grad=False))
    expected = network.double().eval()(torch.from_numpy(X)).detach().numpy()
    assert np.array_equal(found[PREDICTION], expected)
    assert np.abs(found[PREDICTIONS[1]].sum(axis=1) - 1).max() <= 4 * np.finfo(np.float64).eps


def test_what_is_computed_on_the_way_is_recorded_with_gradients() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))
    whole = whole_network(network, nn.functional.cross_entropy)
    recorded = whole.recorded(call_of(whole, {"x": X, "labels": LABELS}, (OUTPUT, PREDICTION)))
    outputs = {one.module: one for one in recorded}
    hidden = network[0].double()(torch.from_numpy(X)).detach().numpy()
    assert next(one.module for one in recorded if np.array_equal(one.value, hidden)) == "0"
    assert outputs["2"].grad is not None
    assert outputs["2"].grad.shape == (5, 4)


@pytest.mark.parametrize(
    ("network", "expected"),
    [(nn.Sequential(nn.Linear(2, 2)), True), (nn.Linear(2, 2), False), (nn.Sequential(nn.BatchNorm1d(2)), False)],
    ids=["chain", "module", "statistics"],
)
def test_chains(network: nn.Module, expected: bool) -> None:
    assert is_chain(network) is expected


@pytest.mark.parametrize(
    ("network", "loss", "words"),
    [
        (lambda x: x, nn.MSELoss(), "the reference is a function, expected a torch.nn.Module"),
        (nn.Linear(2, 2), 3, "the loss is a int"),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), nn.MSELoss(), "draws its own mask"),
    ],
    ids=["function", "loss", "dropout"],
)
def test_what_is_no_network_is_refused(network: Any, loss: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        whole_network(network, loss)
