"""Compare a scratch network with PyTorch as compare_training.py does, for the parts of the benchmark that time checked steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import torch
from digits.batches import Images, Labels, scaled
from training.subjects import Twins, layered

import scratch
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Precision
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import elements_per_step
from crosscheck.training.listened import TrainingComparison
from study.benchmark.rounds import Run, repeated
from study.benchmark.sides import DTYPE, digits

Batches = Iterator[tuple[Images, Labels]]
Step = Callable[[Images, Labels], object]


def beside_torch(model: scratch.Sequential, optimizer: scratch.Optimizer) -> Twins:
    """Return a network and its references in PyTorch; PyTorch gets one thread, as in compare_training.py."""
    torch.set_num_threads(1)
    return layered(model, optimizer)


def comparison(twins: Twins, x: Images, labels: Labels, steps: int) -> TrainingComparison:
    """Return a comparison with one reference, ready for training steps on batches like ``x`` and ``labels``.

    ``steps`` is about how many steps will be checked; the tolerances depend on this number.
    """
    start = TrainState(twins.subject.params, buffers=twins.subject.buffers)
    precision = Precision(DTYPE, steps * elements_per_step(twins.architecture, start, x, labels))
    return TrainingComparison(twins.architecture, twins.subject, twins.make, precision, looks=1, perturbed=0)


def endless(batch: int, size: int = 28, count: int = 8) -> Batches:
    """Yield batches of digits again and again, as floats, resized to ``size`` by ``size`` pixels by repeating or leaving out pixels."""
    found = []
    for images, labels in digits(batch, count):
        at = np.arange(size) * images.shape[1] // size
        found.append((scaled(images[:, at][:, :, at], DTYPE), labels))
    return cycle(found)


def stepping(step: Step, batches: Batches) -> Run:
    """Return a function that does a number of steps, each on the next batch."""
    return repeated(lambda: step(*next(batches)))


def complaint(comparison: TrainingComparison) -> str:
    """Return what the comparison found wrong; empty if everything matches."""
    verdict = comparison.steps_verdict
    if verdict is Verdict.MATCH:
        return ""
    first = comparison.first
    place = f", first at step {first.judgement.place.step}, {first.judgement.place.layer}.{first.judgement.place.quantity}" if first else ""
    return f"{verdict.value} in {comparison.steps_checked:,} checked steps{place}"
