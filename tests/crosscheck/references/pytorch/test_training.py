"""Snapshots of references: whatever they remember between two steps is in there, and a restored one goes on to the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.precision import Array, Precision
from crosscheck.core.training import Snapshot, TrainState
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.references.pytorch.training import TorchNetwork, TorchTraining
from crosscheck.training.free_run import FreeRun

NOISE = {("linear", "output"): 1e-3, ("linear", "weight"): 1e-3, ("norm", "weight.grad"): 1e-3}


def modules() -> dict[str, nn.Module]:
    """Return the layers, with the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {"linear": nn.Linear(4, 5), "norm": nn.BatchNorm1d(5), "relu": nn.ReLU(), "last": nn.Linear(5, 3)}


NETWORK = TorchNetwork(modules(), nn.CrossEntropyLoss(), SgdSettings(0.1, momentum=0.9), frozenset({"last"}))


def training(seed: int = 7) -> TorchTraining:
    """Return a reference with every kind of state: running statistics, momentum, noise, a frozen layer."""
    return NETWORK.training(noise=NOISE, seed=seed)


def batch(step: int) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    rng = np.random.default_rng(step)
    return rng.standard_normal((6, 4)), rng.integers(0, 3, 6)


def equal(one: Snapshot, other: Snapshot) -> bool:
    bits = [{name: (value.dtype, value.shape, value.tobytes()) for name, value in snapshot.arrays.items()} for snapshot in (one, other)]
    return bits[0] == bits[1] and one.facts == other.facts


def test_reference_goes_on_to_the_last_bit() -> None:
    straight, before, after = training(), training(), training(seed=8)
    for step in range(6):
        straight.step(*batch(step))
    for step in range(3):
        before.step(*batch(step))
    after.restore(before.snapshot())
    for step in range(3, 6):
        after.step(*batch(step))
    assert equal(after.snapshot(), straight.snapshot())


@pytest.mark.parametrize("name", ["generator", "buffers/norm.running_var", "params/norm.bias", "optimizer/momentum/linear.weight"])
def test_snapshot_holds(name: str) -> None:
    """Each changes in a step, so that nothing but the snapshot could bring it back."""
    reference = training()
    reference.step(*batch(0))
    before = reference.snapshot().arrays[name]
    reference.step(*batch(1))
    assert not np.array_equal(reference.snapshot().arrays[name], before)


def test_goes_on_from_a_snapshot_of_version_0_1() -> None:
    """Its arrays had other names: no difference between parameters and buffers, and the states' names in PyTorch."""
    used, fresh = training(), training()
    used.step(*batch(0))
    snapshot = used.snapshot()
    names = {
        name: name.replace("params/", "tensor/").replace("buffers/", "tensor/").replace("/momentum/", "/momentum_buffer/") for name in snapshot.arrays
    }
    assert names["buffers/norm.running_var"] == "tensor/norm.running_var"
    assert any("momentum_buffer" in name for name in names.values())
    fresh.restore(Snapshot({names[name]: value for name, value in snapshot.arrays.items()}, snapshot.facts))
    assert equal(fresh.snapshot(), snapshot)


def test_restored_before_its_first_step() -> None:
    """Momentum that is not there yet is no momentum of zero."""
    used, fresh = training(), training()
    used.step(*batch(0))
    used.restore(fresh.snapshot())
    assert equal(used.snapshot(), fresh.snapshot())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_free_run_goes_on(dtype: str) -> None:
    """All of it: the reference, the one that the spread is measured around, and the perturbed ones."""
    start = TrainState(training().params, {}, training().buffers)
    runs = [FreeRun(NETWORK.training, start, NOISE, 2, 1, Precision(np.dtype(dtype), 1000), 0) for _ in range(3)]
    straight, before, after = runs
    for step in range(4):
        straight.step(*batch(step))
    for step in range(2):
        before.step(*batch(step))
    after.restore(before.snapshot())
    for step in range(2, 4):
        after.step(*batch(step))
    assert equal(after.snapshot(), straight.snapshot())
    assert after.look(4, training().params) == straight.look(4, training().params)
