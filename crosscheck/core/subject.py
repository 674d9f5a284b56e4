"""The interface of the code under test: each layer as a function, and a whole training step that returns a trace.

Adapters in :mod:`crosscheck.adapters` provide both for the usual conventions of hand-written code. All arrays are in the reference's layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crosscheck.core.operation import Call, Constants, Labels
from crosscheck.core.precision import Array, Bound
from crosscheck.core.trace import Trace


class SubjectLayer(Protocol):
    """One layer of the subject as a pure function; calling it does not change the subject that is being trained."""

    @property
    def absent(self) -> Mapping[str, str]:
        """Quantities that cannot be read from this layer, each with the reason."""

    @property
    def sources(self) -> Mapping[str, str]:
        """The code that computes each quantity: ``file:line, function``."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the quantities that the layer computes for a call in the subject's precision."""

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return the error of a quantity that is computed from others, such as a gradient from an update; None if it is read directly."""


@dataclass(frozen=True)
class Outcome:
    """What a training step returns."""

    loss: float  # before the update
    output: Array  # the network's last output, (batch, classes)
    constants: Mapping[str, Constants] = field(default_factory=dict)  # the dropout masks drawn, by layer; another side needs them to do the same step


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
