"""Traces: all arrays that the subject or a reference computed in a training step, by name and in execution order.

A place is (step, layer, quantity). These are the quantities of a step, in the order in which a training step computes them:

=====================  ==============================================================================================
``weight.before``      each parameter before the step, ``weight.momentum.before`` (the optimizer's state for it) and
                       ``running_mean.before`` (a layer's running statistics)
``input``, ``output``  of each layer, first to last; the loss is a layer too, with the logits as its input and the loss as its
                       output; after the output ``running_mean``, the new running statistics
``grad_output``        the cotangent that a layer received, last layer to first
``grad_input``         the gradient that it returned
``weight.grad``        the gradient of each parameter
``weight``             each parameter after the update, and ``weight.momentum``
=====================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array


class Place(NamedTuple):
    """The full name of a quantity: the training step (from 1; 0 outside training), the layer's name and the quantity's name."""

    step: int
    layer: str
    quantity: str

    @property
    def key(self) -> tuple[str, str]:
        """The layer and the quantity."""
        return self.layer, self.quantity

    def __str__(self) -> str:
        return f"step {self.step}, {self.layer}.{self.quantity}" if self.step else f"{self.layer}.{self.quantity}"


def key_of(name: str) -> tuple[str, str]:
    """Split a name such as ``conv.weight`` into layer and quantity."""
    layer, _, quantity = name.rpartition(".")
    return layer, quantity


class Trace(dict[tuple[str, str], Array]):
    """The quantities of one training step in execution order, by (layer, quantity).

    Parameters
    ----------
    step : int
        The number of the step, from 1.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.absent: dict[tuple[str, str], str] = {}

    def record(self, layer: str, quantity: str, value: npt.NDArray[Any]) -> None:
        """Append a copy of a quantity.

        Raises
        ------
        ValueError
            If the quantity is already recorded, because the trace would lose the first value.
        """
        self.take(layer, quantity, np.array(value))

    def take(self, layer: str, quantity: str, value: npt.NDArray[Any]) -> None:
        """Append a quantity without copying it, for arrays that will not change."""
        if (layer, quantity) in self:
            raise ValueError(f"{Place(self.step, layer, quantity)} is recorded already; use two names for a layer that runs twice in a step")
        self[layer, quantity] = value

    def leave_out(self, layer: str, quantity: str, reason: str) -> None:
        """Note why a quantity is missing, so that no comparison skips it silently."""
        self.absent[layer, quantity] = reason

    def left(self) -> Trace:
        """Return the parameters, the optimizer's state and the running statistics after the step; the next step must start from these."""
        passing = {"input", "output", "grad_output", "grad_input"}
        result = Trace(self.step)
        for (layer, quantity), value in self.items():
            if quantity not in passing and not quantity.endswith((".before", ".grad")):
                result.record(layer, quantity, value)
        return result

    def before(self, layer: str, names: Iterable[str]) -> dict[str, Array]:
        """Return the given parameters or buffers of a layer, by name, with their values before the step."""
        return {name: self[layer, f"{name}.before"] for name in names}

    def state(self, layer: str, parameter: str, before: bool = False) -> dict[str, Array]:
        """Return the optimizer's state for a parameter, by the state's name: before the step if ``before``, otherwise after the step."""
        start, ending = f"{parameter}.", ".before" if before else ""
        found = {
            quantity.removeprefix(start).removesuffix(ending): value
            for (owner, quantity), value in self.items()
            if owner == layer and quantity.startswith(start) and quantity.endswith(ending)
        }
        return {name: value for name, value in found.items() if name not in ("grad", "before") and "." not in name}

    def constants(self, layer: str) -> dict[str, npt.NDArray[Any]]:
        """Return the layer's inputs without a gradient: the mask of a dropout layer; empty for other layers."""
        return {"mask": self[layer, "mask"]} if (layer, "mask") in self else {}
