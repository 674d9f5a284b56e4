"""Measure the peak memory of a training process, beyond its memory after all imports. Each side runs in its own process."""

from __future__ import annotations

import importlib
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from digits.batches import Schedule, batches
from digits.files import load

from crosscheck.core.judge import Facts
from study.benchmark.sides import DTYPE, SIDES, MissingError, Workload, digits, made
from study.workers import report

STATUS = Path("/proc/self/status")


def measured(workload: dict[str, Any], side: str, steps: int, threads: int) -> Facts:
    """Return the mebibytes that one side needs in a few steps."""
    work = Workload(**workload)
    report(f"memory of {work.network}, batch {work.batch}, {SIDES[side][2]}")
    which = {"network": work.network, "batch": work.batch, "side": side}
    data = digits(work.batch, 2)
    try:
        importlib.import_module(SIDES[side][0])
        before = now()
        own = made(side, work)
    except (ImportError, MissingError) as error:
        return {"missing": [{**which, "threads": threads, "words": str(error)}]}
    own.run([data[number % 2] for number in range(steps)])
    return {"memory": [{**which, "mebibytes": peak() - before}]}


def measured_run(folder: str, steps: int, threads: int) -> Facts:
    """Return the mebibytes that a training run on a folder of images needs: after its first step, and after all steps."""
    report(f"memory of a run of {steps:,} steps")
    before, shown = now(), load(Path(folder))
    training, run = Workload("tutorial", 1).training(), batches(shown, Schedule(DTYPE, 1, steps), np.random.default_rng(0))
    training.step(next(run))
    first = peak() - before
    for batch in run:
        training.step(batch)
    data = sum(array.nbytes for array in (shown.train_images, shown.train_labels, shown.test_images, shown.test_labels)) / 2**20
    return {"memory_run": {"steps": steps, "data_mebibytes": data, "first_mebibytes": first, "mebibytes": peak() - before}}


def now() -> float:
    """Return the mebibytes that this process has in memory now, or if the system does not say, the peak so far."""
    return _of("VmRSS")


def peak() -> float:
    """Return the peak of this process in mebibytes."""
    # Not getrusage: its peak includes the parent's memory at the time when the parent started this process.
    return _of("VmHWM")


def _of(what: str) -> float:
    if STATUS.exists():
        return next(int(line.split()[1]) for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(what)) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
