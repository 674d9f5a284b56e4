"""Whole networks in lock-step: every connection of two training steps, and the ends of these steps beside the oracle's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from training.subjects import layered

from crosscheck.core.judge import Judgement
from crosscheck.core.precision import Array, Precision
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import elements_per_step
from crosscheck.training.lockstep import check_step
from scratch.adam import Adam
from scratch.networks import batchnorm_cnn
from tests.support.networks import NETWORKS, Network, quantities_in
from tests.support.right_ways.task import Trial, drawn

_STEPS = 2
"""Two, so that one starts with an optimizer state."""

_CLASSES = 10

ROWS: Mapping[str, Network] = {**NETWORKS, "batchnorm-cnn": Network(batchnorm_cnn, partial(Adam, lr=0.001), 4)}
"""The networks of the table, and a convolutional one with batch normalisation."""


@dataclass(frozen=True)
class NetworkTask:
    """A network of :data:`ROWS` with its optimizer, beside PyTorch's."""

    network: str
    images: bool = False
    ways: Sequence[str] = ("scratch",)
    sensitive: Sequence[str] = ("scratch",)
    cost: float = 1.0
    measured: bool = False

    @property
    def quantities(self) -> int:
        """About two for each quantity of a step: its connection, and its value at the end of the step."""
        return 2 * _STEPS * self._made

    @cached_property
    def _made(self) -> int:
        return len(quantities_in(ROWS[self.network]))

    @property
    def name(self) -> str:
        """The network."""
        return f"network {self.network}{', digit images' if self.images else ''}"

    @np.errstate(all="ignore")
    def judged(self, way: str, trial: Trial) -> list[Judgement]:
        """Return the verdict on every connection and every end of each step."""
        row, rng = ROWS[self.network], np.random.default_rng([trial.seed, *map(ord, self.network)])
        model = row.make(rng, trial.dtype)
        twins = layered(model, row.optimizer(model.trainable_params))
        shape = (row.batch_size, 1, 28, 28)
        batches = [self._batch(trial, rng, shape) for _ in range(_STEPS)]
        elements = _STEPS * elements_per_step(twins.architecture, TrainState(twins.subject.params, buffers=twins.subject.buffers), *batches[0])
        precision, previous = Precision(np.dtype(trial.dtype), elements), None
        judgements: list[Judgement] = []
        for number, (x, labels) in enumerate(batches):
            trace = twins.subject.traced_step(number + 1, x, labels)
            report = check_step(twins.architecture, dict(twins.subject.layers), trace, x, labels, precision, previous)
            judgements += [*report.links, *report.whole]
            previous = trace
        return judgements

    def _batch(self, trial: Trial, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        return drawn(trial, self.images)[0].input(rng, shape, trial.dtype), rng.integers(0, _CLASSES, shape[0])


TASKS = tuple(NetworkTask(name, images) for images in (False, True) for name in ROWS)
"""All of them."""
