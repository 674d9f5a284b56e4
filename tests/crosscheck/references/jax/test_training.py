"""Where JAX trains, and with how many digits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from crosscheck.core.judge import Verdict
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.oracles.step import oracle_step
from crosscheck.oracles.theories import CrossEntropy, Multilinear, Selection
from crosscheck.references.functions import DeviceError
from crosscheck.references.jax import oracle as in_jax
from crosscheck.references.jax import training as jax_training
from crosscheck.references.resolve import resolved_training
from tests.support.one_step import LABELS, PRECISION, START, UPDATED, X, stepped, verdicts


@pytest.mark.parametrize("name", ["meta", "cuda:99", "cpu:99", "cpu:first"])
def test_device_that_jax_cannot_use(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"^JAX cannot compute in float64 on device '{name}' \(.+\); usable devices are "):
        jax_training.JaxNetwork({}, in_jax.oracle(jax.numpy.sum), SgdSettings(0.1), device=name)


ON_THE_SECOND = """
import jax, numpy as np
from crosscheck.references.jax.oracle import JaxOracle
from crosscheck.references.jax.training import JaxNetwork
from crosscheck.core.training import TrainState
from crosscheck.core.operation import Call
from crosscheck.oracles.optimizers import SgdSettings

layer = JaxOracle(lambda x, weight: x @ weight, shapes={"weight": (3, 2)})
loss = JaxOracle(lambda x, labels: -jax.nn.log_softmax(x)[jax.numpy.arange(len(labels)), labels].mean(), labels=True)
network = JaxNetwork({"linear": layer}, loss, SgdSettings(0.1), device="cpu:1")
training = network.training(np.float64)
training.load(TrainState({"linear.weight": np.ones((3, 2))}))
training.step(np.ones((4, 3)), np.arange(4) % 2)
kept = training._kept.params["linear.weight"]
print(*(device.id for device in kept.devices()), network.architecture.layers["linear"].device.id, network.architecture.loss.device.id)
"""


def test_jax_computes_on_its_device() -> None:
    """On the second of two devices that one processor is divided into."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", ON_THE_SECOND], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.stdout.split() == ["1", "1", "1"], done.stderr


@pytest.mark.parametrize(("tf32", "expected"), [(False, "highest"), (True, "tensorfloat32")], ids=["exact", "tf32"])
def test_jax_multiplies_as_asked(tf32: bool, expected: str) -> None:
    network = jax_training.JaxNetwork({}, in_jax.oracle(jax.numpy.sum), SgdSettings(0.1), tf32=tf32)
    before = jax.config.jax_default_matmul_precision
    with network.computing():
        assert jax.config.jax_default_matmul_precision == expected
    assert jax.config.jax_default_matmul_precision == before


def linear(x: Any, weight: Any, bias: Any) -> Any:
    return x @ weight.T + bias


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -jax.nn.log_softmax(logits)[jax.numpy.arange(len(labels)), labels].mean()


LAYERS = {
    "first": in_jax.JaxOracle(linear, Multilinear(), shapes={"weight": (4, 5), "bias": (4,)}),
    "relu": in_jax.JaxOracle(jax.nn.relu, Selection(), shapes={}),
    "second": in_jax.JaxOracle(linear, Multilinear(), shapes={"weight": (3, 4), "bias": (3,)}),
}
LOSS = in_jax.JaxOracle(cross_entropy, CrossEntropy(), labels=True)
REFERENCE = resolved_training(LAYERS, LOSS, SgdSettings(0.5, momentum=0.5), frozenset(), "jax")


@pytest.mark.parametrize(("lr_factor", "wrong"), [(1.0, []), (1.01, UPDATED)], ids=["its own", "another rate"])
def test_step_is_that_of_the_oracles(lr_factor: float, wrong: list[tuple[str, str]]) -> None:
    step = oracle_step(REFERENCE.architecture, START, X, LABELS, PRECISION, {})
    found = verdicts(step, stepped(REFERENCE, lr_factor))
    assert {key for key, verdict in found.items() if verdict is not Verdict.MATCH} == {*wrong}


@pytest.mark.parametrize("noise", [None, {("first", "output"): 1e-3, ("second", "weight.grad"): 1e-3}], ids=["exact", "perturbed"])
def test_training_goes_on_from_a_snapshot(noise: Any) -> None:
    """To the same bits: momentum is in it, and the step that the noise belongs to."""
    one, other = (REFERENCE.make(np.float64, noise, 1) for _ in range(2))
    one.load(START)
    one.step(X, LABELS)
    other.restore(one.snapshot())
    for training in (one, other):
        training.step(X, LABELS)
    assert all(np.array_equal(value, other.params[name]) for name, value in one.params.items())
    assert one.state["first.bias"]["momentum"].tolist() == other.state["first.bias"]["momentum"].tolist()
    assert np.array_equal(one.predict(X), other.predict(X))


def test_perturbed_training_strays() -> None:
    ends = []
    for noise in (None, {("first", "output"): 1e-3}):
        training = REFERENCE.make(np.float64, noise, 1)
        training.load(START)
        ends.append(training.step(X, LABELS).output)
    assert not np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize(
    ("layers", "loss", "words"),
    [
        (None, LOSS, "the reference is a NoneType, expected a dict of names"),
        ({"relu": in_jax.JaxOracle(jax.nn.relu)}, LOSS, "the layer relu is a JaxOracle without shapes"),
        (LAYERS, LAYERS["relu"], "the loss is a JaxOracle, expected a JaxOracle with labels=True"),
        ({"loss": LAYERS["relu"]}, LOSS, "a layer has the name 'loss', which is reserved"),
    ],
    ids=["nothing", "no shapes", "no labels", "name of the loss"],
)
def test_what_is_no_network(layers: Any, loss: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        jax_training.layers_of(layers, loss)
