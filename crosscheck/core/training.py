"""What something in progress remembers, as plain data: restored in another process, it goes on as if nothing had happened."""

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
    """A state between two steps.

    Attributes
    ----------
    arrays : mapping of str to array
        Copies.
    facts : dict
        The rest, as JSON can say it.
    """

    arrays: Mapping[str, AnyArray]
    facts: dict[str, Any]


def merge(parts: Mapping[str, Snapshot]) -> Snapshot:
    """Return several snapshots, whose names hold no slash, as one."""
    arrays = {f"{name}/{own}": value for name, part in parts.items() for own, value in part.arrays.items()}
    return Snapshot(arrays, {name: part.facts for name, part in parts.items()})


def split(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Return the snapshots that :func:`merge` has made one of."""
    arrays: dict[str, dict[str, AnyArray]] = {name: {} for name in snapshot.facts}
    for key, value in snapshot.arrays.items():
        name, _, own = key.partition("/")
        arrays[name][own] = value
    return {name: Snapshot(arrays[name], facts) for name, facts in snapshot.facts.items()}


@dataclass(frozen=True)
class TrainState:
    """What a training step starts from.

    Attributes
    ----------
    params : mapping of str to array
        Named ``layer.parameter``.
    state : mapping of str to mapping
        The optimizer's: for each parameter, by the state's name; empty before the first step.
    buffers : mapping of str to array
        What the layers keep from step to step, named ``layer.buffer``.
    state_errors : mapping of str to mapping
        How large the error of each state may be, in multiples of the unit roundoff; none where it was read off the subject.
    constants : mapping of str to mapping
        By layer, what nothing is differentiated by, such as the mask of a dropout.
    """

    params: Arrays
    state: Mapping[str, Arrays] = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)
    state_errors: Mapping[str, Arrays] = field(default_factory=dict)
    constants: Mapping[str, Constants] = field(default_factory=dict)


class Training(Protocol):
    """A reference that trains on its own."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, named ``layer.parameter``."""

    @property
    def buffers(self) -> dict[str, Array]:
        """What the layers keep from step to step, named ``layer.buffer``."""

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """What the optimizer keeps of each parameter, by the state's name."""

    def load(self, start: TrainState) -> None:
        """Take over parameters, buffers and the optimizer's state; state that is not given is forgotten."""

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        """Do one training step, with the masks that another side drew, at so many times the learning rate of the settings."""

    def predict(self, x: Array) -> Array:
        """Return the network's last output, in evaluation mode."""

    def snapshot(self) -> Snapshot:
        """Return all that it takes to go on bit for bit: parameters, buffers, the optimizer's state, the generators of noise and masks."""

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of a training that was made in the same way."""


MakeTraining = Callable[[npt.DTypeLike, Mapping[tuple[str, str], float] | None, int], Training]
"""Make a reference in a precision, with the relative size of the noise in each (layer, quantity) if any, and the seed of that noise."""
