"""A network that trains in JAX and in Keras goes where it goes in PyTorch: residual blocks, running statistics, masks and state included."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import reference.jax
import reference.keras
import reference.pytorch
import scratch
from crosscheck.core.trace import Trace
from crosscheck.core.training import Training, TrainState
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings
from crosscheck.references.jax.training import layers_of
from reference import copying

STEPS = 3
SIZE = 6


class Nothing:
    """An optimizer before its first step."""

    state: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - never written to


def plain() -> scratch.Sequential:
    rng = np.random.default_rng(0)
    conv = scratch.Conv2d(1, 2, 3, padding=1, rng=rng)
    return scratch.Sequential(
        conv=conv, relu=scratch.ReLU(), pool=scratch.MaxPool2d(2), flat=scratch.Flatten(), linear=scratch.Linear(18, 4, rng=rng)
    )


def residual() -> scratch.Sequential:
    rng = np.random.default_rng(0)
    inner = scratch.Sequential(conv=scratch.Conv2d(2, 2, 3, padding=1, rng=rng), relu=scratch.ReLU())
    return scratch.Sequential(
        conv=scratch.Conv2d(1, 2, 3, padding=1, rng=rng),
        norm=scratch.BatchNorm2d(2),
        block=scratch.Residual(inner),
        drop=scratch.Dropout(0.25, rng=rng),
        flat=scratch.Flatten(),
        linear=scratch.Linear(2 * SIZE * SIZE, 4, rng=rng),
    )


FRAMEWORKS = {"jax": reference.jax.network, "keras": reference.keras.network, "torch": reference.pytorch.network}


@dataclass(frozen=True)
class Case:
    """A network, its optimizer, and the frameworks that are tried."""

    make: Callable[[], scratch.Sequential]
    settings: Settings
    frameworks: tuple[str, ...] = ("jax",)
    frozen: frozenset[str] = frozenset()


CASES = {
    "plain": Case(plain, SgdSettings(0.1), ("jax", "keras")),
    "momentum": Case(plain, SgdSettings(0.1, 0.9), ("jax", "keras")),
    "nesterov": Case(plain, SgdSettings(0.1, 0.9, nesterov=True), ("jax", "keras")),
    "adadelta": Case(plain, AdadeltaSettings(), ("jax", "keras")),
    "dampened": Case(plain, SgdSettings(0.1, 0.9, 0.5, weight_decay=0.01), ("jax", "keras")),
    "rmsprop": Case(plain, RmspropSettings(momentum=0.5), ("jax", "keras")),
    "adam": Case(plain, AdamSettings(amsgrad=True), ("jax", "keras")),
    "adamw": Case(plain, AdamSettings(decoupled=True, weight_decay=0.1), ("jax", "keras")),
    "frozen": Case(plain, SgdSettings(0.1), ("jax", "keras"), frozenset({"conv"})),
    "residual": Case(residual, SgdSettings(0.1, 0.9)),
}


def batch(step: int) -> tuple[Any, Any, Any]:
    """Return images, labels and the masks of dropouts."""
    rng = np.random.default_rng(step)
    return rng.standard_normal((3, 1, SIZE, SIZE)), rng.integers(0, 4, 3), {"drop": {"mask": rng.random((3, 2, SIZE, SIZE)) > 0.25}}


@functools.cache
def network_of(framework: str, case: str) -> Any:
    """Return a framework's network."""
    model, row = CASES[case].make(), CASES[case]
    return FRAMEWORKS[framework](model.layers, scratch.SoftmaxCrossEntropy(), row.settings, row.frozen, copying.sources_of(model))


def started(framework: str, case: str, noise: Any = None, seed: int = 0) -> Training:
    """Return a training in float64 with the weights of the scratch network."""
    training: Training = network_of(framework, case).training(np.float64, noise, seed)
    nothing: Any = Nothing()
    training.load(copying.to_reference(CASES[case].make(), nothing))
    return training


def trained(training: Training, case: str, traces: list[Trace] | None = None, first: int = 0) -> Training:
    """Return a training after some steps."""
    masked = "drop" in CASES[case].make().layers
    for step in range(first, first + STEPS):
        x, labels, masks = batch(step)
        trace = None if traces is None else Trace(step + 1)
        training.step(x, labels, trace, masks if masked else None)
        if traces is not None and trace is not None:
            traces.append(trace)
    return training


def in_scratch(training: Training, case: str) -> dict[str, Any]:
    """Return parameters, running statistics and state as scratch orders them."""
    model: scratch.Sequential = CASES[case].make()
    optimizer: Any = Nothing()
    optimizer.state = {name: {} for name in CASES[case].settings.states}
    copying.to_scratch(training, model, optimizer)
    state = {f"{parameter}.{name}": value for name, own in optimizer.state.items() for parameter, value in own.items()}
    return {**model.params, **model.buffers, **state}


def apart(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return what differs by more than the rounding of a few hundred operations, which every quantity here is made of."""
    rounding = 256 * np.finfo(np.float64).eps
    return [name for name, value in expected.items() if np.abs(found[name] - value).max() > rounding * max(np.abs(value).max(), 1.0)]


@pytest.mark.slow(
    "each is compiled; the rows show each framework, and a graph with masks and running statistics",
    default=["jax-plain", "keras-plain", "jax-residual"],
)
@pytest.mark.parametrize(("framework", "case"), [(framework, case) for case, row in CASES.items() for framework in row.frameworks])
def test_training_goes_where_pytorch_goes(framework: str, case: str) -> None:
    found, expected = (in_scratch(trained(started(name, case), case), case) for name in (framework, "torch"))
    assert found.keys() == expected.keys()
    assert apart(found, expected) == []


@pytest.mark.slow("the rule of each optimizer is compiled; one shows it in JAX, whose rules Keras' follow", default=["jax-momentum"])
@pytest.mark.parametrize(("framework", "case"), [("jax", "momentum"), ("jax", "adamw"), ("keras", "momentum"), ("keras", "adadelta")])
def test_rate_that_changes_leads_where_it_does_in_pytorch(framework: str, case: str) -> None:
    """Momentum included: what was gathered at one rate is applied at the next one."""

    def led(name: str) -> dict[str, Any]:
        training = started(name, case)
        for step in range(STEPS):
            training.step(*batch(step)[:2], lr_factor=0.5**step)
        return in_scratch(training, case)

    assert apart(led(framework), led("torch")) == []
    assert apart(led("torch"), in_scratch(trained(started("torch", case), case), case)) != []


@pytest.mark.parametrize("settings", [AdadeltaSettings(), RmspropSettings()], ids=["adadelta", "rmsprop"])
def test_pytorch_takes_a_state_without_its_count_of_steps(settings: Settings) -> None:
    """No formula of these optimizers depends on it, and only PyTorch counts."""
    network = reference.pytorch.network(plain().layers, scratch.SoftmaxCrossEntropy(), settings)
    once, again = (network.training() for _ in range(2))
    once.step(*batch(0)[:2])
    state = {key: {name: value for name, value in own.items() if name != "step"} for key, own in once.state.items()}
    again.load(TrainState(once.params, state, once.buffers))
    for training in (once, again):
        training.step(*batch(1)[:2])
    assert [name for name in once.params if not np.array_equal(once.params[name], again.params[name])] == []


@pytest.mark.slow("a graph with all links is compiled; the chain shows its links", default=["plain"])
@pytest.mark.parametrize("case", ["plain", "residual", "frozen"])
def test_trace_is_that_of_pytorch(case: str) -> None:
    """The same quantities in the same order and layout."""
    found: list[Trace] = []
    expected: list[Trace] = []
    trained(started("jax", case), case, found)
    trained(started("torch", case), case, expected)
    assert list(found[0]) == list(expected[0])
    flat, right = ({"/".join(key): value for key, value in traces[-1].items()} for traces in (found, expected))
    assert apart(flat, right) == []


@pytest.mark.slow("Keras compiles a prediction; its functions are those of JAX", default=["jax"])
@pytest.mark.parametrize("framework", ["jax", "keras"])
def test_prediction_is_that_of_pytorch(framework: str) -> None:
    x = batch(9)[0]
    assert (
        apart(
            {"output": trained(started(framework, "plain"), "plain").predict(x)}, {"output": trained(started("torch", "plain"), "plain").predict(x)}
        )
        == []
    )


def test_prediction_is_in_evaluation_mode() -> None:
    x = batch(9)[0]
    found, expected = (trained(started(name, "residual"), "residual").predict(x) for name in ("jax", "torch"))
    assert apart({"output": found}, {"output": expected}) == []


def test_resumed_training_goes_on_bit_for_bit() -> None:
    noise = {("conv", "output"): 1e-6, ("linear", "weight"): 1e-6}
    training = trained(started("jax", "momentum", noise, 3), "momentum")
    resumed = network_of("jax", "momentum").training(np.float64, noise, 3)
    resumed.restore(training.snapshot())
    once, again = (trained(each, "momentum", first=STEPS) for each in (training, resumed))
    assert [name for name in once.params if not np.array_equal(once.params[name], again.params[name])] == []


def test_noise_is_of_the_size_that_was_asked_for() -> None:
    """One weight array alone is perturbed, by a millionth, after the only step."""
    calm, noisy = started("jax", "plain"), started("jax", "plain", {("linear", "weight"): 1e-6}, 1)
    x, labels, _ = batch(0)
    calm.step(x, labels)
    noisy.step(x, labels)
    changed = {name: noisy.params[name] / calm.params[name] - 1 for name in calm.params}
    assert [name for name, value in changed.items() if np.abs(value).max() > 1e-12] == ["linear.weight"]
    assert 0.5e-6 < np.std(changed["linear.weight"]) < 2e-6


@pytest.mark.parametrize(
    ("reference_", "words"),
    [
        ([1], "the reference is a list, expected a dict of names"),
        ({"a": 1}, "the layer a is a int, expected a JaxOracle"),
        ({"loss": reference.jax.twin(scratch.ReLU())}, "a layer has the name 'loss'"),
    ],
    ids=["list", "number", "loss"],
)
def test_what_is_no_chain(reference_: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        layers_of(reference_, reference.jax.twin(scratch.SoftmaxCrossEntropy()))


def test_equal_layers_share_an_oracle() -> None:
    """XLA compiles several programs for each oracle, and a deep network repeats its layers."""
    rng = np.random.default_rng(0)
    conv = functools.partial(scratch.Conv2d, 2, 2, 3, rng=rng)
    used = scratch.BatchNorm2d(2)
    used.buffers["running_mean"][...] = 1
    layers = {
        "conv1": conv(),
        "norm1": scratch.BatchNorm2d(2),
        "conv2": conv(),
        "norm2": scratch.BatchNorm2d(2),
        "strided": conv(stride=2),
        "without-bias": conv(bias=False),
        "wider": scratch.Conv2d(2, 4, 3, rng=rng),
        "another-momentum": scratch.BatchNorm2d(2, momentum=0.5),
        "used": used,
        "evaluated": evaluated(scratch.BatchNorm2d(2)),
    }
    twins = reference.jax.FRAMEWORK.twins(layers)
    assert list(twins) == list(layers)
    assert twins["conv1"] is twins["conv2"]
    assert twins["norm1"] is twins["norm2"]
    assert len({id(twin) for twin in twins.values()}) == len(layers) - 2


def evaluated(layer: scratch.Layer) -> scratch.Layer:
    layer.training = False
    return layer
