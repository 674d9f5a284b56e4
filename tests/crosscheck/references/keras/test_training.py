"""Keras's optimizers take the steps of the harness's rules, and these rules update where Keras has no such optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings, Update
from crosscheck.references.keras.oracle import oracle
from crosscheck.references.keras.training import KerasNetwork

import jax  # isort: skip
import keras  # isort: skip

LOSS = oracle(keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def test_momentum_is_kept_as_a_sum_of_gradients() -> None:
    """Of powers of two every step is exact, also at another rate; Keras itself keeps a velocity."""
    settings = SgdSettings(0.5, momentum=0.5)
    network, rule = KerasNetwork({}, LOSS, settings), Update(settings)
    param: Any = np.ones(2)
    mine: Any = np.ones(2)
    state: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for lr in (0.5, 0.5, 0.25):
        with jax.enable_x64(True):
            param, state = network.update(jax.numpy.asarray(param), jax.numpy.asarray([1.0, -2.0]), state, lr)
        mine, kept = Update(SgdSettings(lr, momentum=0.5)).update(mine, np.array([1.0, -2.0]), kept)
        assert (np.asarray(param).tolist(), np.asarray(state["momentum"]).tolist()) == (mine.tolist(), kept["momentum"].tolist())
    assert rule.update(np.ones(2), np.array([1.0, -2.0]), {})[0].tolist() == [0.5, 2.0]


UNKNOWN_TO_KERAS: dict[str, Settings] = {
    "dampening": SgdSettings(0.1, momentum=0.9, dampening=0.1),
    "decay": SgdSettings(0.1, weight_decay=0.1),
    "adadelta decay": AdadeltaSettings(weight_decay=0.1),
    "adam": AdamSettings(),
    "rmsprop": RmspropSettings(),
}


@pytest.mark.parametrize("name", UNKNOWN_TO_KERAS)
def test_update_that_keras_does_not_have(name: str) -> None:
    """The harness's own rule updates, no state is converted, and the network's name says that only the layers are Keras's."""
    settings = UNKNOWN_TO_KERAS[name]
    network, rule = KerasNetwork({}, LOSS, settings), Update(settings)
    assert network.name.endswith(" layers")
    assert network.converted == frozenset()
    param: Any = np.array([1.0, -0.5])
    grad: Any = np.array([0.25, -2.0])
    with jax.enable_x64(True):
        found, state = network.update(jax.numpy.asarray(param), jax.numpy.asarray(grad), {}, settings.lr)
    expected, kept = rule.update(param, grad, {})
    assert np.asarray(found).tolist() == expected.tolist()
    assert sorted(state) == sorted(kept)


def test_update_that_keras_has() -> None:
    network = KerasNetwork({}, LOSS, SgdSettings(0.5, momentum=0.5))
    assert network.converted == {"momentum"}
    assert not network.name.endswith(" layers")
