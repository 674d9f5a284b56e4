"""What networks that train have in common: what they keep goes into a snapshot and back, and a step is shown in its order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.references.networks import below, in_order, kept_arrays, kept_state
from crosscheck.references.pytorch.training import TorchNetwork

ONE = np.ones(1)
TRAINING: Any = SimpleNamespace(
    params={"conv.weight": ONE, "norm.weight": 2 * ONE}, buffers={"norm.running_mean": 3 * ONE}, state={"conv.weight": {"momentum": 4 * ONE}}
)


def test_what_is_kept_comes_back() -> None:
    state = kept_state(kept_arrays(TRAINING))
    assert (dict(state.params), dict(state.buffers), dict(state.state)) == (TRAINING.params, TRAINING.buffers, TRAINING.state)


def test_names_of_version_0_1_are_known() -> None:
    """Parameters and buffers were not told apart."""
    state = kept_state({"tensor/conv.weight": ONE, "state/momentum/conv.weight": ONE})
    assert list(state.params) == list(state.buffers) == list(state.state) == ["conv.weight"]


def test_arrays_of_one_layer() -> None:
    arrays = {"block.conv.weight": 1, "block.weight": 2, "block2.weight": 3}
    assert (below(arrays, "block"), below(arrays, "block.conv")) == ({"weight": 2}, {"weight": 1})


def test_order_of_a_step() -> None:
    names, both = ["first", "last"], {"first": 0, "last": 0}
    step = {
        "input": both,
        "output": both,
        "grad_output": both,
        "grad_input": {"last": 0, "loss": 0},
        "grads": {"last.w": 0},
        "buffers": {"first.mean": 0},
    }
    assert [f"{layer}.{quantity}" for layer, quantity, _ in in_order(names, step, 0)] == [
        *("first.input", "first.output", "first.mean", "last.input", "last.output", "loss.input", "loss.output"),
        *("loss.grad_input", "last.grad_output", "last.grad_input", "last.w.grad", "first.grad_output"),
    ]


def test_wiring_is_a_chain() -> None:
    assert TorchNetwork({"a": nn.ReLU(), "b": nn.ReLU()}, nn.CrossEntropyLoss(), SgdSettings(0.1)).wiring["loss"] == ("b",)
