"""Measure the seconds that it takes to check one layer, right and wrong, beside a reference of PyTorch; with --beside, in another checkout as well.

Each layer is PyTorch's own, called with NumPy arrays, so that the subject itself costs next to nothing. A wrong one has a gradient that is 1 % too
large; the search for its cause and the smallest case are left out. Each figure is the median of several runs, each in a process of its own; the first
check in a process, of another pair, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from crosscheck import Pair
from crosscheck.causes.divergence import Divergence
from crosscheck.checks import Settings, checks_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Verdict
from crosscheck.run.check import run_checks

ROOT = Path(__file__).resolve().parent.parent


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Attention of a sequence to itself: one input, one output."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output for ``(batch, time, 8)``."""
        return self.attention(x, x, x, need_weights=False)[0]


class Outputs(nn.Module):  # type: ignore[misc]
    """The outputs of an LSTM at all times, without its last state."""

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
    """A module of PyTorch as somebody's layer: NumPy arrays in and out, dicts of parameters and gradients."""

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
        """Return the input's gradient, and keep those of the parameters."""
        cotangent = torch.tensor(np.array(grad, order="C"))
        first, *others = torch.autograd.grad(self.y, [self.x, *self.p.values()], cotangent, retain_graph=True)
        self.grads.update({name: value.numpy() for name, value in zip(self.p, others, strict=True)})
        return first.numpy() * first.numpy().dtype.type(self.factor)


def pair_of(name: str, factor: float) -> Pair:
    """Return a layer beside itself, its input's gradient multiplied by a factor."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    module = make().double()
    return Pair(OwnKernels(module, factor), module, [shape], params={own: own for own, _ in module.named_parameters()}, name="layer")


def seconds(name: str, factor: float) -> float:
    """Return how long it takes to check one layer.

    Raises
    ------
    SystemExit
        If it is not found to be what it is.
    """
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


def uncaused(failure: Failure) -> Divergence:
    """Return a divergence whose cause nobody looked for."""
    return Divergence(failure.judgement, None, "")


def measured(name: str, factor: float, checkout: Path, threads: int) -> float:
    """Return the seconds of one check in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--one", name, str(factor)]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)  # noqa: S603 - this very script


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often each layer is checked (default 3)")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, measured in turns with this one")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the layers whose name holds this")
    parser.add_argument("--threads", type=int, default=1, help="of each process (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        sys.stdout.write(f"{seconds(options.one[0], float(options.one[1]))}\n")
        return 0
    if options.beside and not (options.beside / "crosscheck").is_dir():
        parser.error(f"--beside {options.beside}: no checkout, it has no folder crosscheck")
    console, rows = Console(width=120), []
    with console.status("starting") as status:
        for name in [name for name in LAYERS if options.only in name]:
            right: list[float] = []
            ratios: list[float] = []
            before: list[float] = []
            for run in range(options.runs):
                status.update(f"{name}, run {run + 1} of {options.runs}")
                right.append(measured(name, 1.0, ROOT, options.threads))
                ratios.append(measured(name, 1.01, ROOT, options.threads) / right[-1])
                if options.beside and not before:  # the other one may take minutes
                    before.append(measured(name, 1.0, options.beside.resolve(), options.threads))
            figures = {"seconds": statistics.median(right), "wrong": statistics.median(ratios), "beside": before[0] if before else None}
            rows.append({"layer": name, **figures})
    console.print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the rows for the terminal."""
    result = Table(title="medians of seconds; wrong: how many times the right layer's; beside: the other checkout, right, once", title_justify="left")
    for heading in ("layer", "seconds", "wrong", "beside"):
        result.add_column(heading, justify="left" if heading == "layer" else "right", no_wrap=True)
    for row in rows:
        beside = "-" if row["beside"] is None else f"{row['beside']:.2f}"
        result.add_row(row["layer"], f"{row['seconds']:.2f}", f"{row['wrong']:.2f}", beside)
    return result


if __name__ == "__main__":
    sys.exit(main())
