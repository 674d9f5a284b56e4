"""The tutorial's whole training, image by image: by scratch alone, by PyTorch alone, and by both with every hundredth step checked.

All three go on in turns, a hundred steps each, through the same images in the same order, so that they can be compared even where only a part of the
run is done; the whole one then takes as much longer as it has more steps.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_comparison import beside_torch, comparison, complaint
from benchmark_judge import Judge, wrong
from benchmark_plan import EPOCHS, IMAGES_OF_MNIST
from benchmark_rounds import Tell
from benchmark_sides import DTYPE, ScratchSide, Side, Workload, digits
from benchmark_torch import TorchSide
from mnist_batches import Batch, Schedule, batches
from mnist_files import Digits, load

from crosscheck.report.findings import Facts

WHOLE = EPOCHS * IMAGES_OF_MNIST
CHECK_EVERY = 100


def measured(folder: str, steps: int, threads: int, tell: Tell) -> Facts:
    """Return how long each of the three takes, and how long it would for the whole of MNIST."""
    shown, workload = load(Path(folder)), Workload("tutorial", 1)
    complaints = [
        {"network": "tutorial", "batch": 1, "threads": threads, "side": name, "words": words}
        for name, side in (("scratch", ScratchSide(workload)), ("torch", TorchSide(workload)))
        if (words := _judged(side, workload))
    ]
    if complaints:
        return {"wrong": complaints}
    plain, torch = ScratchSide(workload), TorchSide(workload)
    training = workload.training()
    twins = beside_torch(training.model, training.optimizer)
    checked = None
    seconds = {"plain": 0.0, "torch": 0.0, "checked": 0.0}
    for done, chunk in _chunks(shown, steps):
        tell(f"full run: step {done:,} of {steps:,}")
        if checked is None:
            checked = comparison(twins, chunk[0].x, chunk[0].labels, -(-steps // CHECK_EVERY))
        started = time.perf_counter()
        for batch in chunk:
            plain.training.step(batch)
        seconds["plain"] += time.perf_counter() - started
        images = [(np.rint((batch.x[:, 0] + 0.5) * 255).astype(np.uint8), batch.labels) for batch in chunk]
        started = time.perf_counter()
        torch.run(images)
        seconds["torch"] += time.perf_counter() - started
        started = time.perf_counter()
        for number, batch in enumerate(chunk):
            checked.step(batch.x, batch.labels, (done + number) % CHECK_EVERY == 0)
        seconds["checked"] += time.perf_counter() - started
    assert checked is not None
    if words := complaint(checked):
        return {"wrong": [{"network": "tutorial", "batch": 1, "threads": threads, "side": "scratch", "words": words}]}
    whole = {name: value * WHOLE / steps for name, value in seconds.items()}
    times = seconds["checked"] / (1.5 * seconds["plain"] + seconds["torch"])
    return {"full_run": {"steps": steps, "whole_steps": WHOLE, "seconds": seconds, "whole_seconds": whole, "of_allowed": times}}


def _chunks(shown: Digits, steps: int) -> Any:
    """Yield how many steps were done before, and the batches of the next ones, in the order of a training run."""
    run = batches(shown, Schedule(DTYPE, 1, steps), np.random.default_rng(0))
    chunk: list[Batch] = []
    done = 0
    for batch in run:
        chunk.append(batch)
        if len(chunk) == CHECK_EVERY:
            yield done, chunk
            done, chunk = done + len(chunk), []
    if chunk:
        yield done, chunk


def _judged(side: Side, workload: Workload) -> str:
    judge = Judge.of(side, workload, 2)
    return wrong([judgement for batch in digits(1, 2) for judgement in judge.step(*batch)])
