"""What one side did: named arrays in execution order.

A place is (step, layer, quantity). Quantities of one step, in the order in which a training step makes them:

=====================  ==============================================================================================
``weight.before``      each parameter as the step found it, ``weight.momentum.before``, the optimizer's state of it, and
                       ``running_mean.before``, what a layer keeps from step to step
``input``, ``output``  of each layer, first to last; the loss is a layer too, its input the logits, its output the loss; after the
                       output ``running_mean``, what a layer keeps now
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
    """Where a quantity belongs: the training step (from 1; 0 outside training), the layer's name and the quantity's name."""

    step: int
    layer: str
    quantity: str

    @property
    def key(self) -> tuple[str, str]:
        """The layer and the quantity."""
        return self.layer, self.quantity

    def __str__(self) -> str:
        return f"step {self.step}, {self.layer}.{self.quantity}" if self.step else f"{self.layer}.{self.quantity}"


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
            If the quantity was recorded before: a trace never loses what a side did.
        """
        self.take(layer, quantity, np.array(value))

    def take(self, layer: str, quantity: str, value: npt.NDArray[Any]) -> None:
        """Append a quantity as :meth:`record` does, but the array itself, which nobody else may write to."""
        if (layer, quantity) in self:
            raise ValueError(f"{Place(self.step, layer, quantity)} is recorded already; a layer that runs twice in a step needs two names")
        self[layer, quantity] = value

    def leave_out(self, layer: str, quantity: str, reason: str) -> None:
        """Say why a quantity that others have is missing here, so that no comparison passes over it in silence."""
        self.absent[layer, quantity] = reason

    def left(self) -> Trace:
        """Return what the step left behind, from which the next one must start: everything but what passed through and what was there before."""
        passing = {"input", "output", "grad_output", "grad_input"}
        result = Trace(self.step)
        for (layer, quantity), value in self.items():
            if quantity not in passing and not quantity.endswith((".before", ".grad")):
                result.record(layer, quantity, value)
        return result

    def before(self, layer: str, names: Iterable[str]) -> dict[str, Array]:
        """Return parameters or buffers of a layer as the step found them, by name."""
        return {name: self[layer, f"{name}.before"] for name in names}

    def state(self, layer: str, parameter: str, before: bool = False) -> dict[str, Array]:
        """Return what the optimizer keeps of a parameter after the step, or as the step found it, by the state's name."""
        start, ending = f"{parameter}.", ".before" if before else ""
        found = {
            quantity.removeprefix(start).removesuffix(ending): value
            for (owner, quantity), value in self.items()
            if owner == layer and quantity.startswith(start) and quantity.endswith(ending)
        }
        return {name: value for name, value in found.items() if name not in ("grad", "before") and "." not in name}

    def constants(self, layer: str) -> dict[str, npt.NDArray[Any]]:
        """Return what the layer got besides its input, and nothing is differentiated by: the mask of a dropout."""
        return {"mask": self[layer, "mask"]} if (layer, "mask") in self else {}
