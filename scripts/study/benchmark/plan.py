"""The parts of the benchmark, and the tasks of each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study.benchmark.sides import Workload, applicable
from study.benchmark.tasks import Task
from study.workers import available

PARTS = {
    "steps": "the training step of each side",
    "memory": "peak memory of each side, and of a run",
    "layers": "each layer on its own, scratch and PyTorch",
    "checked": "what it costs to check a step",
    "growth": "how steps grow with batch, image, channels, depth",
    "full": "the tutorial's whole training, plain and checked at every 100th step",
    "startup": "the harness imported, the command's help",
}
"""What each part measures, by the part's name."""

TUTORIAL, CNN = "tutorial", "keras-mnist-cnn"
BATCHES = (1, 8, 32, 128, 512)
CNN_BATCH = 128
IMAGES_OF_MNIST, EPOCHS = 60_000, 3
STEPS = 3_000
"""The steps of the full run without ``--full``."""


@dataclass(frozen=True)
class Choice:
    """The choices that the command line makes."""

    parts: Sequence[str]  # some of PARTS
    sides: Sequence[str]  # some of SIDES
    threads: Sequence[int]  # numbers of threads to measure with
    quick: bool
    folder: Path  # the folder with the images of the full run
    whole: bool  # whether the full run does all 180,000 steps


def every_thread() -> list[int]:
    """Return the numbers of threads to measure with: 1, and one per core."""
    return sorted({1, available()})


def planned(choice: Choice) -> list[Task]:
    """Return the tasks in order."""
    last, quick = choice.threads[-1], choice.quick

    def task(part: str, name: str = "measured", **settings: Any) -> Task:
        return Task(part, f"study.benchmark.{part}.{name}", last, settings)

    def pace(rounds: int, seconds: float, quick_rounds: int, quick_seconds: float) -> dict[str, Any]:
        return {"rounds": quick_rounds, "seconds": quick_seconds} if quick else {"rounds": rounds, "seconds": seconds}

    def tutorial(*batches: int, cnn: bool = False) -> list[dict[str, Any]]:
        """Return a workload of the tutorial's network for each batch size, and with ``cnn`` one of Keras' example."""
        return [*({"network": TUTORIAL, "batch": batch} for batch in batches), *[{"network": CNN, "batch": CNN_BATCH}] * cnn]

    folder, usual = str(choice.folder), pace(15, 0.1, 5, 0.02)
    growths = (
        {"batch": (1, 8)} if quick else {"batch": (1, 4, 16, 64), "image": (14, 28, 56, 112), "channels": (4, 8, 16, 32, 64), "depth": (1, 2, 4, 8)}
    )
    whole = EPOCHS * IMAGES_OF_MNIST if choice.whole else 300 if quick else STEPS
    tasks = [
        *(
            replace(task("steps", workloads=workloads, sides=list(choice.sides), pace=usual), threads=threads)
            for threads in choice.threads
            for workloads in ([tutorial(1, 32)] if quick else [tutorial(*BATCHES), tutorial(cnn=True)])
        ),
        *(
            task("memory", workload=workload, side=side, steps=5)
            for workload in ([] if quick else tutorial(1, CNN_BATCH, cnn=True))
            for side in choice.sides
            if applicable(side, Workload(**workload))
        ),
        task("memory", "measured_run", folder=folder, steps=300 if quick else 10_000),
        task("layers", workloads=tutorial(32) if quick else tutorial(1, 32, cnn=True), pace=pace(15, 0.02, 5, 0.005)),
        task("checked", workloads=tutorial(1, 32) if quick else tutorial(1, 8, 32, 128), pace=usual),
        task("growth", growths={"batch": (1, 8)} if quick else growths, pace=pace(7, 0.05, 3, 0.02)),
        task("full", folder=folder, steps=whole),
        task("startup", rounds=3 if quick else 11),
    ]
    return [task for task in tasks if task.part in choice.parts]
