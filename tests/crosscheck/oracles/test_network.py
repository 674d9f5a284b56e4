"""How the layers of a network are connected."""

from __future__ import annotations

import pytest
from torch import nn

from crosscheck.oracles.network import INPUT, wired
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.references.resolve import resolved_training
from tests.support.model_pairs import mlp


def test_wiring_is_a_chain_unless_said_otherwise() -> None:
    assert wired(["a", "b", "c"], {"c": ("a", "b")}) == {"a": (INPUT,), "b": ("a",), "c": ("a", "b"), "loss": ("c",)}


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        pytest.param({"a": ("b",)}, "a has the source b, which is not a layer before it", id="later"),
        pytest.param({"b": ("x",)}, "b has the source x, which is not a layer before it", id="unknown"),
        pytest.param({"b": (INPUT,), "c": ("b",)}, "the output of a is not used", id="unused"),
    ],
)
def test_wiring_that_is_none(sources: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        wired(["a", "b", "c"], sources)


def test_network_at_another_rate() -> None:
    network = resolved_training(mlp(), nn.CrossEntropyLoss(), SgdSettings(0.5), frozenset({"first"})).architecture
    assert network.at_rate(1) is network
    assert (network.at_rate(2).update.settings.lr, network.at_rate(2).layers) == (1.0, network.layers)
    assert network.first_trained == 2
