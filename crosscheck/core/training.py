"""The interface of a reference that trains, the state before a step, and snapshots from which another process continues exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from crosscheck.core.operation import Arrays, Constants, Labels
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome
from crosscheck.core.trace import Trace

AnyArray = npt.NDArray[Any]


class Snapshot(NamedTuple):
    """The state of a training between two steps."""

    arrays: Mapping[str, AnyArray]  # copies
    facts: dict[str, Any]  # the rest of the state, as data that JSON can store


def merge(parts: Mapping[str, Snapshot]) -> Snapshot:
    """Combine several named snapshots into one; the names must not contain a slash."""
    arrays = {f"{name}/{own}": value for name, part in parts.items() for own, value in part.arrays.items()}
    return Snapshot(arrays, {name: part.facts for name, part in parts.items()})


def split(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Return the snapshots that :func:`merge` combined."""
    arrays: dict[str, dict[str, AnyArray]] = {name: {} for name in snapshot.facts}
    for key, value in snapshot.arrays.items():
        name, _, own = key.partition("/")
        arrays[name][own] = value
    return {name: Snapshot(arrays[name], facts) for name, facts in snapshot.facts.items()}


@dataclass(frozen=True)
class TrainState:
    """The state before a training step."""

    params: Arrays  # named ``layer.parameter``
    # by parameter, and then by the state's name, the optimizer's state; empty before the first step
    state: Mapping[str, Arrays] = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)  # running statistics of the layers, named ``layer.buffer``
    # the largest error of each state, in multiples of the unit roundoff; empty if the state was read from the subject
    state_errors: Mapping[str, Arrays] = field(default_factory=dict)
    constants: Mapping[str, Constants] = field(default_factory=dict)  # inputs without a gradient by layer, such as the mask of a dropout layer


class Training(Protocol):
    """A reference that trains on its own."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, named ``layer.parameter``."""

    @property
    def buffers(self) -> dict[str, Array]:
        """The running statistics of the layers, named ``layer.buffer``."""

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """The optimizer's state: for each parameter, its arrays by the state's name."""

    def load(self, start: TrainState) -> None:
        """Set parameters, buffers and the optimizer's state; state that ``start`` does not contain is cleared."""

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        """Do one training step with the subject's dropout masks (``constants``), at ``lr_factor`` times the learning rate of the settings."""

    def predict(self, x: Array) -> Array:
        """Return the network's last output, in evaluation mode."""

    def snapshot(self) -> Snapshot:
        """Return all that is needed for a bit-identical continuation: parameters, buffers, optimizer state, generators of noise and masks."""

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of a training with the same settings."""


MakeTraining = Callable[[npt.DTypeLike, Mapping[tuple[str, str], float] | None, int], Training]
"""Function that makes a reference, given its precision, the relative size of the noise in each (layer, quantity) or None, and the noise's seed."""
