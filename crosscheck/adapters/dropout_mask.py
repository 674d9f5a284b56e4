"""Read the mask that a dropout layer drew and give it to the reference, so that both drop the same elements.

The mask is read from a declared attribute. Without such an attribute, it is inferred: an element was kept if its output is not zero or, for an input
of zero, if its gradient is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.core.guard import SubjectError
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array

Mask = npt.NDArray[np.bool_]


@dataclass
class Drawn(AdaptedLayer):
    """A dropout layer that has already run. A call returns the stored results, which belong to the mask that the layer drew."""

    results: Mapping[str, Array] = field(default_factory=dict)
    error: SubjectError | None = None
    """The error that the layer raised, if it did not return all results."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the stored results, or raise the stored error."""
        if self.error is not None:
            raise self.error
        return dict(self.results)

    def redrawn(self, call: Call) -> tuple[Drawn, Call]:
        """Run the layer on another call, for which it draws another mask. Return it with the new results, and the call with the new mask."""
        layer = AdaptedLayer(**{name: value for name, value in vars(self).items() if name not in ("results", "error")})
        return drawn(layer, replace(call, constants={name: value for name, value in call.constants.items() if name != "mask"}))


def drawn(layer: AdaptedLayer, call: Call) -> tuple[Drawn, Call]:
    """Run a dropout layer. Return a layer that replays its results, and the call with the mask that it drew, for the reference."""
    # Copies, because the layer may write to its arrays.
    own = call.with_x(arranged(call.x, memory_of(call.x)))
    if call.grad_output is not None:
        own = own.with_grad_output(arranged(call.grad_output, memory_of(call.grad_output)))
    try:
        run = Drawn(**vars(layer), results=layer.vjp(own))
    except SubjectError as error:
        run = Drawn(**vars(layer), results=error.found, error=error)
    return run, replace(call, constants={**call.constants, "mask": mask_of(call.x, run.results)})


def mask_of(x: Array, results: Mapping[str, Any]) -> Mask:
    """Return the mask of a dropout layer, true where an element was kept; it is true everywhere if the results do not show which were kept."""
    if "mask" in results and results["mask"].shape == x.shape:
        return np.asarray(results["mask"] != 0)
    output, grad_input = (results.get(name) for name in ("output", "grad_input"))
    if output is None or output.shape != x.shape:
        return np.ones(x.shape, bool)
    elsewhere = grad_input != 0 if grad_input is not None and grad_input.shape == x.shape else True
    return np.asarray(np.where(x == 0, elsewhere, output != 0))
