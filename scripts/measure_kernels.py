"""Measure how fast scratch's layers and training steps are: plain kernels over fast ones or, with --beside, fast ones over another checkout's.

Each side runs in its own process, and the sides take turns. A ratio is the median of the ratios of all rounds, with a 95 % confidence interval. What
is timed is a layer's forward and backward pass, or a network's training step, in float32. The time is CPU time of all threads, which other programs
disturb less than wall-clock time.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
LAYERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "Conv2d(1, 32, 3)": ("Conv2d", (1, 32, 3), {}, (128, 1, 28, 28)),
    "Conv2d(32, 64, 3)": ("Conv2d", (32, 64, 3), {}, (128, 32, 26, 26)),
    "Conv2d(16, 32, 3, stride 2)": ("Conv2d", (16, 32, 3, 2, 1), {}, (128, 16, 28, 28)),
    "Conv2d(32, 32, 3, depthwise)": ("Conv2d", (32, 32, 3, 1, 1), {"groups": 32}, (32, 32, 14, 14)),
    "MaxPool2d(2)": ("MaxPool2d", (2,), {}, (128, 64, 24, 24)),
    "MaxPool2d(3, 2, 1)": ("MaxPool2d", (3, 2, 1), {}, (128, 16, 28, 28)),
    "AvgPool2d(2)": ("AvgPool2d", (2,), {}, (128, 16, 28, 28)),
    "Linear(9216, 128)": ("Linear", (9216, 128), {}, (128, 9216)),
    "Linear(1352, 10), one image": ("Linear", (1352, 10), {}, (1, 1352)),
    "ReLU": ("ReLU", (), {}, (128, 32, 26, 26)),
    "Dropout(0.25)": ("Dropout", (0.25,), {}, (128, 64, 12, 12)),
    "BatchNorm2d(16)": ("BatchNorm2d", (16,), {}, (128, 16, 28, 28)),
}
"""For each layer, its class, its arguments, its options, and the shape of its input."""
STEPS = {"tutorial": 1, "keras-mnist-cnn": 128, "lenet5": 32, "resnet-50-layers": 16}
"""For each network, the images in a step."""
CONFIDENCE = 0.95
LEAST_ROUNDS = 6
"""With fewer rounds, even the smallest and the largest ratio enclose the true median with a smaller probability."""


def layer_run(name: str, kernels: str) -> Callable[[], object]:
    """Return a function that runs a layer's forward and backward pass once."""
    kind, sizes, options, shape = LAYERS[name]
    package, found = importlib.import_module("scratch"), None
    if kernels == "fast":
        with contextlib.suppress(ImportError):  # an old checkout has only plain kernels
            found = getattr(importlib.import_module("scratch.fast"), kind, None)
    rng = np.random.default_rng(0)
    options = options | ({"rng": rng} if kind in ("Conv2d", "Linear", "Dropout") else {})
    options |= {"dtype": np.float32} if kind in ("Conv2d", "Linear", "BatchNorm2d") else {}
    layer = (found or getattr(package, kind))(*sizes, **options)
    x = rng.standard_normal(shape).astype(np.float32)
    grad_output = rng.standard_normal(layer.forward(x).shape).astype(np.float32)
    return lambda: (layer.forward(x), layer.backward(grad_output))


def step_run(name: str, kernels: str) -> Callable[[], object]:
    """Return a function that does one training step of a network."""
    import scratch  # noqa: PLC0415 - from the measured checkout
    from scratch.networks import NETWORKS  # noqa: PLC0415

    recipe: Any = NETWORKS[name]
    chosen = (kernels,) if hasattr(importlib.import_module("scratch.networks"), "KERNELS") else ()
    model, loss = recipe.make(np.random.default_rng(0), np.float32, *chosen), scratch.SoftmaxCrossEntropy()
    optimizer = recipe.trained_by(model.trainable_params, *chosen)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((STEPS[name], 1, 28, 28)).astype(np.float32), rng.integers(0, 10, STEPS[name])

    def step() -> None:
        loss.forward(model.forward(x), labels)
        model.backward_params(loss.backward())
        optimizer.step(model.grads)

    return step


def answer(name: str, kernels: str, seconds: float) -> None:
    """For every line of standard input, time a layer or a step and print the seconds of one run."""
    run = layer_run(name, kernels) if name in LAYERS else step_run(name, kernels)
    run()
    started = time.process_time()
    run()
    repetitions = max(1, round(seconds / max(time.process_time() - started, 1e-7)))
    for _ in sys.stdin:
        run()
        started = time.process_time()
        for _ in range(repetitions):
            run()
        sys.stdout.write(f"{(time.process_time() - started) / repetitions}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def timer(name: str, kernels: str, checkout: Path, options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    """Yield a function that times a layer or a step of a checkout in a separate process."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(options.threads)}
    command = [sys.executable, __file__, "--one", name, kernels, "--seconds", str(options.seconds)]
    with subprocess.Popen(command, env=environment, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def once() -> float:
            to.write("\n")
            to.flush()
            return float(back.readline())

        yield once
        to.close()


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and a 95 % confidence interval of the true median: two order statistics, chosen by the binomial distribution."""
    ordered, count = sorted(ratios), len(ratios)
    # At most k ratios are below the true median with the probability of at most k heads in ``count`` throws of a coin.
    tails = itertools.accumulate(math.comb(count, k) / 2**count for k in range(count // 2))
    left = sum(tail <= (1 - CONFIDENCE) / 2 for tail in tails) - 1
    return statistics.median(ordered), ordered[left], ordered[count - 1 - left]


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a layer or a step."""
    kernels, other = ("fast", options.beside.resolve()) if options.beside else ("plain", ROOT)
    sides = {"this": (kernels, ROOT), "other": ("fast", other)}
    with contextlib.ExitStack() as processes:
        timers = {side: processes.enter_context(timer(name, *own, options)) for side, own in sides.items()}
        rounds = []
        for number in range(options.rounds):
            order = list(timers) if number % 2 else list(reversed(timers))
            rounds.append({side: timers[side]() for side in order})
    return {
        "name": name,
        "milliseconds": [1e3 * statistics.median(found[side] for found in rounds) for side in sides],
        "ratio": interval([found["this"] / found["other"] for found in rounds]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each side takes its turn (default 15)")
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes; at least one run is timed (default 0.1)")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, measured in turns with this one")
    parser.add_argument("--only", metavar="TEXT", default="", help="only layers and networks whose names contain this")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        answer(options.one[0], options.one[1], options.seconds)
        return 0
    if options.rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {options.rounds}: an interval takes at least {LEAST_ROUNDS}")
    if options.beside and not (options.beside / "scratch").is_dir():
        parser.error(f"--beside {options.beside}: not a checkout, it has no folder scratch")
    names = [name for name in (*LAYERS, *STEPS) if options.only in name]
    if not names:
        parser.error(f"--only {options.only}: no layer and no network has this in its name; there are {', '.join((*LAYERS, *STEPS))}")
    console, rows = Console(width=120), []
    with console.status("starting") as status:
        for name in names:
            status.update(name)
            rows.append(measured(name, options))
    console.print(table(rows, ("here", "beside") if options.beside else ("plain", "fast")))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def table(rows: Sequence[dict[str, Any]], sides: tuple[str, str]) -> Table:
    """Return the rows for the terminal."""
    result = Table(title="forward and backward of a layer, or a training step, in milliseconds", title_justify="left")
    for heading in ("", *sides, f"{sides[0]} / {sides[1]}"):
        result.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        result.add_row(row["name"], *(f"{value:.3f}" for value in row["milliseconds"]), "{:.3f} ({:.3f} to {:.3f})".format(*row["ratio"]))
    return result


if __name__ == "__main__":
    sys.exit(main())
