"""Time the check of one PyTorch layer, right or wrong, in a separate process, optionally with the code of another checkout."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.causes import Edits
from crosscheck.causes.divergence import Divergence
from crosscheck.checks import Settings, checks_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Verdict
from crosscheck.run.check import run_checks

ROOT = Path(__file__).resolve().parents[2]
WRONG = 1.01
"""A wrong layer multiplies its input gradient by this."""


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Self-attention with one input and one output."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output for ``(batch, time, 8)``."""
        return self.attention(x, x, x, need_weights=False)[0]


class Outputs(nn.Module):  # type: ignore[misc]
    """An LSTM that returns its outputs at all times, without its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output for ``(batch, time, 6)``."""
        return self.lstm(x)[0]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear(12, 7)": (lambda: nn.Linear(12, 7), (3, 12)),
    "LayerNorm(32)": (lambda: nn.LayerNorm(32), (8, 10, 32)),
    "GroupNorm(2, 6)": (lambda: nn.GroupNorm(2, 6), (4, 6, 5, 5)),
    "MultiheadAttention(8, 2)": (SelfAttention, (3, 5, 8)),
    "LSTM(6, 5)": (Outputs, (4, 7, 6)),
    "ConvTranspose2d(3, 4, 3)": (lambda: nn.ConvTranspose2d(3, 4, 3), (2, 3, 6, 6)),
    "Linear(1024, 1024)": (lambda: nn.Linear(1024, 1024), (64, 1024)),
    "ConvTranspose3d(12, 12, (3, 5, 7))": (lambda: nn.ConvTranspose3d(12, 12, (3, 5, 7)), (3, 12, 12, 12, 8)),
}
"""Each layer's constructor and the shape of its input."""


class OwnKernels:
    """A PyTorch module with the interface of a hand-written layer: NumPy arrays in and out, dicts of parameters and gradients."""

    def __init__(self, module: nn.Module, factor: float) -> None:
        self.module, self.factor = module, factor
        self.params = {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        """Return the output."""
        self.x, *values = (torch.tensor(np.array(value, order="C"), requires_grad=True) for value in (x, *self.params.values()))
        self.p = dict(zip(self.params, values, strict=True))
        self.y = torch.func.functional_call(self.module, self.p, (self.x,))
        return self.y.detach().numpy()

    def backward(self, grad: Any) -> Any:
        """Return the input gradient times the factor, and store the parameters' gradients."""
        cotangent = torch.tensor(np.array(grad, order="C"))
        first, *others = torch.autograd.grad(self.y, [self.x, *self.p.values()], cotangent, retain_graph=True)
        self.grads.update({name: value.numpy() for name, value in zip(self.p, others, strict=True)})
        return first.numpy() * first.numpy().dtype.type(self.factor)


def pair_of(name: str, factor: float) -> Pair:
    """Return a pair of a PyTorch layer and itself, with the input gradient multiplied by a factor."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    module = make().double()
    return Pair(OwnKernels(module, factor), module, [shape], params={own: own for own, _ in module.named_parameters()}, name="layer")


def seconds(name: str, factor: float) -> float:
    """Return the seconds that it takes to check one layer, and report a wrong verdict on standard error."""
    first = pair_of("Linear(12, 7)", 1.0)
    list(run_checks(first, checks_of(first), Settings(shrink=False)))
    with mock.patch("crosscheck.checks.check.examined", uncaused):
        pair = pair_of(name, factor)
        started = time.perf_counter()
        results = [result for _, result, _ in run_checks(pair, checks_of(pair), Settings(shrink=False))]
        took = time.perf_counter() - started
    mismatches = [result.check for result in results if result.verdict is Verdict.MISMATCH]
    if bool(mismatches) != (factor != 1):
        sys.stderr.write(f"{name} times {factor:g}: mismatches in {', '.join(mismatches) or 'no check'}\n")
    return took


def uncaused(failure: Failure, edits: Edits | None = None) -> Divergence:
    """Return a divergence without looking for its cause."""
    return Divergence(failure.judgement, None, "")


def measured(name: str, factor: float, checkout: Path, threads: int) -> float:
    """Return the seconds of one check in its own process."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, name, str(factor)]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)  # noqa: S603 - this module


def figures(name: str, runs: int, beside: Path | None, threads: int, reported: Callable[[str], None]) -> dict[str, Any]:
    """Return the median seconds of a layer's check, how many times as long it takes if the layer is wrong, and the seconds in another checkout."""
    right, ratios, before = list[float](), list[float](), None
    for run in range(runs):
        reported(f"{name}, run {run + 1} of {runs}")
        right.append(measured(name, 1.0, ROOT, threads))
        ratios.append(measured(name, WRONG, ROOT, threads) / right[-1])
        if beside and before is None:  # once: the other checkout may take minutes
            before = measured(name, 1.0, beside.resolve(), threads)
    return {"layer": name, "seconds": statistics.median(right), "wrong": statistics.median(ratios), "beside": before}


if __name__ == "__main__":
    sys.stdout.write(f"{seconds(sys.argv[1], float(sys.argv[2]))}\n")
