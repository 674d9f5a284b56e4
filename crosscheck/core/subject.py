"""The interface of the code under test: each layer as a function, and a training step that returns a trace.

The adapters in :mod:`crosscheck.adapters` implement it for the usual conventions of hand-written code. All arrays are in the reference's layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crosscheck.core.operation import Call, Constants, Labels
from crosscheck.core.precision import Array, Bound
from crosscheck.core.trace import Trace


class SubjectLayer(Protocol):
    """One layer of the subject as a pure function; a call does not change the network that is being trained."""

    @property
    def absent(self) -> Mapping[str, str]:
        """For each quantity that cannot be read from this layer, the reason why."""

    @property
    def sources(self) -> Mapping[str, str]:
        """For each quantity, the code that computes it: ``file:line, function``."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the quantities that the layer computes for a call in the subject's precision."""

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return a bound of the error of measuring a quantity, such as a gradient read from an update; None if the layer returns or stores it."""


class DrawingLayer(SubjectLayer, Protocol):
    """A dropout layer that has already run, and that can draw another mask for another call."""

    def redrawn(self, call: Call) -> tuple[SubjectLayer, Call]:
        """Run the layer on another call. Return a layer that replays its results, and the call with the mask that it drew."""


@dataclass(frozen=True)
class Outcome:
    """The results of a training step."""

    loss: float  # the loss before the update
    output: Array  # the network's last output, (batch, classes)
    constants: Mapping[str, Constants] = field(default_factory=dict)  # the dropout masks by layer; a reference needs them to do the same step


class Subject(Protocol):
    """A network under test with its own training code."""

    @property
    def layers(self) -> Mapping[str, SubjectLayer]:
        """The layers by name in the order of the forward pass, and ``"loss"``."""

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters, named ``layer.parameter`` as in the reference."""

    @property
    def buffers(self) -> dict[str, Array]:
        """Copies of the layers' running statistics, named ``layer.buffer`` as in the reference."""

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step."""

    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step and return its trace."""

    def predict(self, x: Array) -> Array:
        """Return the network's last output for a batch, logits or probabilities."""
