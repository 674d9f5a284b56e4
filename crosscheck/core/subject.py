"""What the harness asks of the code under test: each layer as a function, and a whole training step that leaves a trace.

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
    """One layer of the subject as a pure function; calling it leaves the subject in training untouched."""

    @property
    def absent(self) -> Mapping[str, str]:
        """Quantities that this layer does not show, each with the reason."""

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the code stands that computes each quantity: ``file:line, function``."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the quantities that the layer computes for a call in the subject's precision."""

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return the error made in reading a quantity that the layer does not store, or None where it is read as it is."""


@dataclass(frozen=True)
class Outcome:
    """What a training step shows from outside.

    Attributes
    ----------
    loss : float
        Before the update.
    output : array of shape (batch, classes)
        The network's last one.
    constants : mapping of str to mapping
        By layer, what was drawn in the step and another side needs to do the same: the masks of dropouts.
    """

    loss: float
    output: Array
    constants: Mapping[str, Constants] = field(default_factory=dict)


class Subject(Protocol):
    """A network under test with its way of training."""

    @property
    def layers(self) -> Mapping[str, SubjectLayer]:
        """The layers by name in the order of the forward pass, and ``"loss"``."""

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters, named ``layer.parameter`` as in the reference."""

    @property
    def buffers(self) -> dict[str, Array]:
        """Copies of what the layers keep from step to step, named ``layer.buffer`` as in the reference."""

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step."""

    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step and return what happened in it."""

    def predict(self, x: Array) -> Array:
        """Return the network's last output for a batch, logits or probabilities."""
