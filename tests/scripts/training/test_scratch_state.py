"""What a scratch network remembers between two steps: all of it is in the snapshot, and nothing else can be left out unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from training.checkpoints import AnyArrays, Arrays, CheckpointError, Facts
from training.scratch_state import evaluation, restore, snapshot, weights

import scratch
from crosscheck.core.training import Snapshot
from scratch.layer import Array, Layer


class Noisy(Layer):
    """A layer with a generator of its own, a running mean, and a mode: all that dropout and normalisation remember."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.rng = rng
        self.buffers: dict[str, Array] = {"running_mean": np.zeros(5)}
        self.training = True

    def forward(self, x: Array) -> Array:
        if not self.training:
            return x - self.buffers["running_mean"]
        self.buffers["running_mean"] = 0.9 * self.buffers["running_mean"] + 0.1 * x.mean(axis=0)
        self._mask = self.rng.random(x.shape) < 0.5
        return np.where(self._mask, x, 0)

    def backward(self, grad_output: Array) -> Array:
        return np.where(self._mask, grad_output, 0)


def network() -> tuple[scratch.Sequential, scratch.SGD]:
    """Return a network and its optimizer, with every kind of state in it, one layer down too."""
    rng = np.random.default_rng(0)
    inner: Any = scratch.Sequential(noise=Noisy(np.random.default_rng(1)), linear=scratch.Linear(5, 4, rng=rng))
    model = scratch.Sequential(linear=scratch.Linear(6, 5, rng=rng), block=inner)
    return model, scratch.SGD(model.params, lr=0.1, momentum=0.9)


def train(model: scratch.Sequential, optimizer: scratch.SGD, steps: range) -> None:
    """Do some steps."""
    for step in steps:
        rng = np.random.default_rng(step)
        model.forward(rng.standard_normal((3, 6)))
        model.backward(rng.standard_normal((3, 4)))
        optimizer.step(model.grads)


def ended(spoil: Callable[[AnyArrays, Facts], None] | None) -> AnyArrays:
    """Return the weights after seven steps of which three were done by another process, what it left spoilt on the way."""
    model, optimizer = network()
    train(model, optimizer, range(3))
    arrays, facts = dict(snapshot(model, optimizer).arrays), snapshot(model, optimizer).facts
    if spoil is not None:
        spoil(arrays, facts)
    model, optimizer = network()
    restore(model, optimizer, Snapshot(arrays, facts))
    train(model, optimizer, range(3, 7))
    return weights(model)


def equal(one: Arrays, other: Arrays) -> bool:
    """Return whether all arrays hold the same bits."""
    return {name: value.tobytes() for name, value in one.items()} == {name: value.tobytes() for name, value in other.items()}


@pytest.fixture
def straight() -> AnyArrays:
    """Return the weights after seven steps at one go."""
    model, optimizer = network()
    train(model, optimizer, range(7))
    return weights(model)


def test_goes_on_to_the_last_bit(straight: AnyArrays) -> None:
    assert equal(ended(None), straight)


def without_momentum(arrays: AnyArrays, facts: Facts) -> None:
    for name in [name for name in arrays if name.startswith("optimizer/")]:
        del arrays[name]


def without_generator(arrays: AnyArrays, facts: Facts) -> None:
    facts["generators"] = {name: np.random.default_rng(1).bit_generator.state for name in facts["generators"]}


def without_buffer(arrays: AnyArrays, facts: Facts) -> None:
    arrays["weights/block.noise.running_mean"][...] = 0


def without_inner_weight(arrays: AnyArrays, facts: Facts) -> None:
    arrays["weights/block.linear.weight"][...] = network()[0].params["block.linear.weight"]


@pytest.mark.parametrize("spoil", [without_momentum, without_generator, without_buffer, without_inner_weight])
def test_state_that_is_left_out_shows(straight: AnyArrays, spoil: Callable[[AnyArrays, Facts], None]) -> None:
    """Each of them changes the weights: the comparison of bits above would see it missing."""
    assert not equal(ended(spoil), straight)


def test_snapshot_is_a_copy() -> None:
    model, optimizer = network()
    train(model, optimizer, range(2))
    arrays, _ = snapshot(model, optimizer)
    before = {name: value.copy() for name, value in arrays.items()}
    train(model, optimizer, range(2, 4))
    assert equal(arrays, before)


def test_names_of_inner_layers() -> None:
    assert list(network()[0].layers) == ["linear", "block.noise", "block.linear"]


def test_snapshot_of_another_network() -> None:
    taken = snapshot(*network())
    arrays, facts = dict(taken.arrays), taken.facts
    arrays.pop("weights/block.linear.bias")
    with pytest.raises(CheckpointError, match=r"missing: block\.linear\.bias"):
        restore(*network(), Snapshot(arrays, facts))


def test_evaluation_ends_even_in_an_error() -> None:
    """Inside, every layer predicts; after it, each is in its mode again."""
    model, _ = network()
    noise = model.layers["block.noise"]
    modes = []

    def predict() -> None:
        with evaluation(model):
            modes.append(noise.training)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        predict()
    assert [*modes, noise.training] == [False, True]
