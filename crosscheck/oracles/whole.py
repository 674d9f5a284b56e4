"""The interface of a reference that is a whole network with its loss and optimizer, of any architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers.runs import OptimizerOracle

EACH = 8
"""The number of perturbed runs of an optimizer at each scale of a measured theory."""

PREDICTION = "output.prediction"
"""The quantity that holds the network's output, beside the loss, which is ``output``."""

PREDICTIONS = (PREDICTION, "output.softmax over classes", "output.softmax over the last axis", "output.sigmoid")
"""The quantities in evaluation mode, beside the loss: the network's output, and what a network may predict instead of it."""


class LossError(RuntimeError):
    """The loss fails, or is no number that depends on the network's output."""


class Recorded(NamedTuple):
    """An array that a network computes in a step."""

    module: str  # the part of the network that computes it
    value: Array
    grad: Array | None  # the gradient of the loss with respect to it


class WholeNetwork(Protocol):
    """A network with its loss as one function of a batch, whose last array is the target."""

    title: str
    training: Oracle  # returns the loss and the network's output
    evaluation: Oracle  # in evaluation mode, the loss and all predictions
    params: Arrays  # the network's own values by name; a parameter that is used in several places occurs once
    buffers: Arrays  # running statistics

    def outer(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return arrays of the network by their names in the calls of the oracles."""

    def recorded(self, call: Call) -> list[Recorded]:
        """Return every array of real numbers that the network computes for a call, in order, with its gradient if it has one."""

    def inner(self, name: str) -> str:
        """Return the network's own name of an array, given the name in the calls of the oracles."""


class FollowedOptimizer(Protocol):
    """An optimizer that does steps with parameters and gradients that are given anew each time; its state passes from step to step."""

    def step(self, before: Arrays, grads: Arrays, noisy: Sequence[Arrays], clip: bool = True) -> tuple[dict[str, Array], list[dict[str, Array]]]:
        """Return the parameters after a step, and those of the perturbed runs at each of the scales of a measured theory.

        Parameters
        ----------
        before, grads : mapping of str to array
            The parameters and their gradients.
        noisy : sequence of mapping
            The gradients of the perturbed runs of each scale, with the runs as their first axis; empty if the gradients have no error.
        clip : bool
            Whether the gradients are to be clipped; false if they are already.
        """

    def clipped(self, grads: Arrays) -> dict[str, Array]:
        """Return gradients as the optimizer gets them."""


MakeOracle: TypeAlias = Callable[[int | None], OptimizerOracle]
"""Function that makes an optimizer as an oracle: with its schedule (0), with it one step ahead (1) or behind (-1), or without it (None)."""

MakeOptimizer: TypeAlias = Callable[[Arrays, float], FollowedOptimizer]
"""Function that makes an optimizer, given the parameters before the first step and the absolute error of every rounded result."""
