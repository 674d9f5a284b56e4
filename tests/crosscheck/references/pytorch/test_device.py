"""Where references compute: every tensor goes there, and nothing is multiplied in fewer digits than it has; all of it seen without a GPU.

PyTorch's device ``meta`` has no numbers, but refuses to mix its tensors with those of the CPU, as a GPU does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.core.trace import Trace
from crosscheck.core.training import TrainState
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings
from crosscheck.oracles.theories import Measured
from crosscheck.references.functions import DeviceError
from crosscheck.references.pytorch import oracle as pytorch
from crosscheck.references.pytorch import training as pytorch_snapshot
from crosscheck.references.pytorch import training as pytorch_training
from crosscheck.references.pytorch.device import computing, device_of
from crosscheck.references.pytorch.modules import SharedDropout
from crosscheck.references.pytorch.oracle import TorchOracle, oracle
from crosscheck.references.pytorch.training import TorchNetwork

META = torch.device("meta")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("meta", "Cannot copy out of meta tensor; no data!", id="meta"),
        pytest.param("abacus", "Expected one of cpu, cuda, ", id="unknown"),
        pytest.param("cuda:99", "CUDA", id="not-there"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda name: oracle(nn.ReLU(), name), id="oracle"),
        pytest.param(lambda name: TorchNetwork({"relu": nn.ReLU()}, nn.CrossEntropyLoss(), SgdSettings(0.1), device=name), id="network"),
    ],
)
def test_device_that_pytorch_cannot_use(make: Callable[[str], Any], name: str, reason: str) -> None:
    with pytest.raises(DeviceError) as refused:
        make(name)
    text = str(refused.value)
    assert text.startswith(f"PyTorch cannot compute in float64 on device {name!r} (")
    assert reason in text
    assert "; usable devices are cpu" in text


def test_oracle_hands_everything_to_its_device() -> None:
    seen: dict[str, str] = {}

    def function(x: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        seen.update(x=x.device.type, mask=mask.device.type, weight=weight.device.type)
        return x * mask * weight

    call = Call(np.ones((2, 3)), {"weight": np.ones(3)}, np.ones((2, 3)), {"mask": np.ones((2, 3))})
    with pytest.raises(RefusedError, match="Cannot copy out of meta tensor"):
        TorchOracle(function, Measured(), {}, META).vjp(call)
    assert seen == dict.fromkeys(("x", "mask", "weight"), "meta")


def modules() -> dict[str, nn.Module]:
    """Return a network with everything that a training has to carry along."""
    conv, norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
    return {"conv": conv, "norm": norm, "drop": SharedDropout(0.5), "flat": nn.Flatten(), "linear": nn.Linear(32, 3)}


NOISE = {("conv", "output"): 1e-6, ("norm", "weight.grad"): 1e-6, ("linear", "weight"): 1e-6}


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device without numbers pass for one that has some: all of them 0."""

    def array(value: torch.Tensor) -> Array:
        return pytorch.array(torch.zeros_like(value, device=CPU) if value.device == META else value)

    monkeypatch.setattr(pytorch_training, "device_of", torch.device)
    for module in (pytorch_training, pytorch_snapshot):
        monkeypatch.setattr(module, "array", array)


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize("noise", [None, NOISE], ids=["exact", "perturbed"])
@pytest.mark.parametrize("settings", [SgdSettings(0.1, 0.9), AdamSettings(), AdadeltaSettings(), RmspropSettings()], ids=lambda s: type(s).__name__)
def test_training_stays_on_its_device(settings: Settings, noise: Any) -> None:
    """Two steps, the way through a snapshot between them: whatever stayed on the CPU would be refused by the other device."""
    network = TorchNetwork(modules(), nn.CrossEntropyLoss(torch.ones(3).double()), settings, device="meta")
    rng = np.random.default_rng(0)
    x, labels, masks = rng.standard_normal((4, 1, 6, 6)), np.arange(4) % 3, {"drop": {"mask": rng.random((4, 2, 4, 4)) > 0.5}}
    training, other = network.training(np.float64, noise, 1), network.training(np.float64, noise, 1)
    training.step(x, labels, Trace(1), masks)
    other.restore(training.snapshot())
    for each in (training, other):
        each.load(TrainState(each.params, each.state, each.buffers))
        each.step(x, labels, Trace(2), masks)
        each.predict(x)
        kept = [value for own in each._optimizer.state.values() for name, value in own.items() if name != "step"]  # type: ignore[union-attr]
        assert {value.device.type for value in (*each._tensors.values(), *each._buffers.values(), *kept)} == {"meta"}


def products() -> tuple[Any, ...]:
    """Return the settings on which the digits of a product of float32 depend, and the kernels that are taken."""
    backends: Any = torch.backends
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul, backends.mkldnn.conv)
    return (torch.get_float32_matmul_precision(), *(place.fp32_precision for place in places), backends.cudnn.deterministic)


EXACT = ("highest", *["ieee"] * 5, True)
IN_TF32 = ("high", *["tf32"] * 3, *["ieee"] * 2, True)


@pytest.fixture
def careless() -> Any:
    """Ask for fast products, as many scripts do, and yield what was asked for; everything is as it was afterwards."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    yield products()
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


class Watching(nn.Module):  # type: ignore[misc]
    """Notes the settings while it computes, forward and backward."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.seen: list[tuple[Any, ...]] = []
        self.fails = fails

    def __deepcopy__(self, memo: Any) -> Watching:
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(products())
        if self.fails:
            raise RuntimeError("it fails")
        product = x * self.weight
        if product.requires_grad:
            product.register_hook(lambda grad: self.seen.append(products()))
        return product


def test_oracle_multiplies_exactly(careless: tuple[Any, ...]) -> None:
    watching, ones = Watching(), np.ones((2, 3), np.float32)
    oracle(watching).vjp(Call(ones, {"weight": ones[0]}, ones))
    assert watching.seen == [EXACT, EXACT]
    assert products() == careless != EXACT


@pytest.mark.parametrize(("tf32", "expected"), [(False, EXACT), (True, IN_TF32)], ids=["exact", "tf32"])
def test_training_multiplies_as_asked(careless: tuple[Any, ...], tf32: bool, expected: tuple[Any, ...]) -> None:
    watching, x = Watching(), np.ones((2, 3), np.float32)
    training = TorchNetwork({"watching": watching}, nn.CrossEntropyLoss(), SgdSettings(0.1), tf32=tf32).training(np.float32)
    training.step(x, np.array([0, 1]))
    training.predict(x)
    assert watching.seen == [expected] * 3
    assert products() == careless


def test_settings_are_put_back_after_an_error(careless: tuple[Any, ...]) -> None:
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(RefusedError, match="it fails"):
        oracle(Watching(fails=True)).vjp(Call(ones, {"weight": ones[0]}, ones))
    assert products() == careless


def test_settings_that_say_nothing_are_left_alone(careless: tuple[Any, ...]) -> None:
    """Float64 on the CPU has one way to be multiplied, and most calls are of that kind."""
    with computing(device_of("cpu"), torch.float64):
        assert products() == careless


def test_settings_that_may_not_be_assigned_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torch.backends.disable_global_flags.__globals__, "__allow_nonbracketed_mutation_flag", False)
    assert torch.backends.flags_frozen()
    before = products()
    with computing(device_of("cpu"), torch.float32):
        assert products() == EXACT
    assert products() == before != EXACT


FROZEN = """
import numpy as np, torch
import torch.testing._internal.common_utils
from crosscheck import Functions, Pair, Settings, check

pair = Pair(Functions(lambda x: (np.tanh(x), np.tanh(x)), lambda d, y: d * (1 - y**2)), torch.tanh, [(3, 2)])
print(torch.backends.flags_frozen(), check(pair, Settings(shrink=False), lambda name: name.endswith("-normal")).verdict)
"""


@pytest.mark.slow("takes long to import; test_settings_that_may_not_be_assigned_to shows the same")
def test_pair_in_a_test_suite_of_extensions() -> None:
    """What such suites import forbids to assign to settings."""
    done = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.stdout.split() == ["True", "match"], done.stderr
