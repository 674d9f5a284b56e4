"""What the benchmark measures: its parts and their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.benchmark.sides import Workload, applicable
from study.benchmark.tasks import Task
from study.workers import available

PARTS = {
    "steps": "the training step of each side",
    "memory": "peak memory of each side, and of a run",
    "layers": "each layer alone, scratch beside PyTorch",
    "checked": "what it costs to check a step",
    "growth": "how steps grow with batch, image, channels, depth",
    "full": "the tutorial's whole training, plain and checked at every 100th step",
    "startup": "the harness imported, the command's help",
}
"""The parts by name, each with what it measures."""

TUTORIAL, CNN = "tutorial", "keras-mnist-cnn"
BATCHES = (1, 8, 32, 128, 512)
CNN_BATCH = 128
IMAGES_OF_MNIST, EPOCHS = 60_000, 3
STEPS = 3_000
"""Steps of the full run, unless all of them are wanted."""


@dataclass(frozen=True)
class Choice:
    """What the command line asks for.

    Attributes
    ----------
    parts : sequence of str
        Of :data:`PARTS`.
    sides : sequence of str
        Of :data:`study.benchmark.sides.SIDES`.
    threads : sequence of int
        Numbers of threads to measure with.
    folder : Path
        The folder with the images of the full run.
    whole : bool
        Whether the full run does all 180,000 steps.
    """

    parts: Sequence[str]
    sides: Sequence[str]
    threads: Sequence[int]
    quick: bool
    folder: Path
    whole: bool


def every_thread() -> list[int]:
    """Return the numbers of threads to measure with: one, and all."""
    return sorted({1, available()})


def planned(choice: Choice) -> list[Task]:
    """Return the tasks in order."""
    makers = {
        "steps": _steps,
        "memory": _memory,
        "layers": _layers,
        "checked": _checked,
        "growth": _growth,
        "full": _full,
        "startup": _startup,
    }
    return [task for part in PARTS if part in choice.parts for task in makers[part](choice)]


def _workloads(network: str, *batches: int) -> list[dict[str, Any]]:
    return [{"network": network, "batch": batch} for batch in batches]


def _pace(choice: Choice) -> dict[str, Any]:
    return {"rounds": 5, "seconds": 0.02} if choice.quick else {"rounds": 15, "seconds": 0.1}


def _steps(choice: Choice) -> list[Task]:
    workloads = [_workloads(TUTORIAL, 1, 32)] if choice.quick else [_workloads(TUTORIAL, *BATCHES), _workloads(CNN, CNN_BATCH)]
    return [
        Task("steps", "study.benchmark.steps.measured", threads, {"workloads": own, "sides": list(choice.sides), "pace": _pace(choice)})
        for threads in choice.threads
        for own in workloads
    ]


def _memory(choice: Choice) -> list[Task]:
    workloads = [] if choice.quick else [*_workloads(TUTORIAL, 1, CNN_BATCH), *_workloads(CNN, CNN_BATCH)]
    sides = [
        Task("memory", "study.benchmark.memory.measured", choice.threads[-1], {"workload": workload, "side": side, "steps": 5})
        for workload in workloads
        for side in choice.sides
        if applicable(side, Workload(**workload))
    ]
    run = {"folder": str(choice.folder), "steps": 300 if choice.quick else 10_000}
    return [*sides, Task("memory", "study.benchmark.memory.measured_run", choice.threads[-1], run)]


def _layers(choice: Choice) -> list[Task]:
    workloads = _workloads(TUTORIAL, 32) if choice.quick else [*_workloads(TUTORIAL, 1, 32), *_workloads(CNN, CNN_BATCH)]
    pace = {"rounds": 5, "seconds": 0.005} if choice.quick else {"rounds": 15, "seconds": 0.02}
    return [Task("layers", "study.benchmark.layers.measured", choice.threads[-1], {"workloads": workloads, "pace": pace})]


def _checked(choice: Choice) -> list[Task]:
    workloads = _workloads(TUTORIAL, 1, 32) if choice.quick else _workloads(TUTORIAL, 1, 8, 32, 128)
    return [Task("checked", "study.benchmark.checked.measured", choice.threads[-1], {"workloads": workloads, "pace": _pace(choice)})]


def _growth(choice: Choice) -> list[Task]:
    sizes = {"batch": (1, 4, 16, 64), "image": (14, 28, 56, 112), "channels": (4, 8, 16, 32, 64), "depth": (1, 2, 4, 8)}
    if choice.quick:
        sizes = {"batch": (1, 8)}
    pace = {"rounds": 3, "seconds": 0.02} if choice.quick else {"rounds": 7, "seconds": 0.05}
    return [Task("growth", "study.benchmark.growth.measured", choice.threads[-1], {"growths": sizes, "pace": pace})]


def _full(choice: Choice) -> list[Task]:
    steps = EPOCHS * IMAGES_OF_MNIST if choice.whole else 300 if choice.quick else STEPS
    return [Task("full", "study.benchmark.full.measured", choice.threads[-1], {"folder": str(choice.folder), "steps": steps})]


def _startup(choice: Choice) -> list[Task]:
    return [Task("startup", "study.benchmark.startup.measured", choice.threads[-1], {"rounds": 3 if choice.quick else 11})]
