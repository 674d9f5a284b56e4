"""The adapter for layer objects that keep their parameters and gradients anywhere: in attributes, lists, dicts, other objects or inner layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, expect_instance
from crosscheck.adapters.kept import Kept, dotted, elsewhere, find, place
from crosscheck.adapters.object_graph import arrays_in, read
from crosscheck.adapters.objects import Attributes, Dicts, ObjectConvention, Updating
from crosscheck.adapters.returned_grads import split
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Shape
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class Layer(ObjectConvention):
    """``forward(x)``, ``backward(grad_output)``, and parameters and gradients anywhere in the object or in its inner layers.

    Parameters
    ----------
    layer : object
        The layer. It is copied for each call, and never changed.
    params : mapping of str to str, optional
        For the place of each parameter that of its gradient, as dotted paths: ``{"W": "dW", "inner.params.V": "inner.grads.V"}``. Without it, the
        places are found by their names and by what a backward pass writes.
    returned : sequence of str
        The parameters whose gradients the backward method returns behind the input's, in this order, or in a dict: ``return dx, dW, db``.
    output, grad_input : str
        The attributes where the forward pass leaves its output, and the backward pass the input's gradient, if they return nothing.
    forward, backward, accumulates, one_sample, buffers, mask, reset
        As for :class:`Dicts`.
    """

    layer: Any
    params: Mapping[str, str] | None = None
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False
    buffers: str = "buffers"
    mask: str = ""
    reset: str = ""
    returned: Sequence[str] = ()
    output: str = ""
    grad_input: str = ""
    kept: Mapping[str, Kept] | None = field(default=None, kw_only=True, repr=False)
    """The parameters by name, once they are found."""

    places: dict[str, Kept] = field(init=False, repr=False)
    """Where the parameters and their gradients are, by the parameters' names."""

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        object.__setattr__(self, "places", self._places())
        for name, kept in self.places.items():
            try:
                kept.read(self.layer)
            except (LookupError, AttributeError, SubjectError) as error:
                example = {own: "GRADIENT" if one.grad is None else dotted(one.grad) for own, one in find(self.layer).items()}
                arrays = ", ".join(dotted(path) for path, _ in arrays_in(self.layer)) or "none"
                raise ConventionError(
                    f"{self.title} has no array {name!r}, which params lists; its arrays are {arrays}; declare them:\n"
                    f"    subject=Layer(layer, params={example})"
                ) from error
        super().__post_init__()

    @property
    def inferred(self) -> list[str]:
        """Sentences that say where results and gradients were found."""
        words = [f"forward leaves its output in {self.output}"] if self.output else []
        words += [f"backward leaves the input's gradient in {self.grad_input}"] if self.grad_input else []
        known = {name: dotted(kept.grad) for name, kept in self.places.items() if kept.grad is not None}
        if self.returned:
            words.append(f"backward returns the gradients of {', '.join(self.returned)}")
        elif known and self.params is None:
            words.append(f"the gradients of {', '.join(known)} are in {', '.join(known.values())}")
        return words

    def _places(self) -> dict[str, Kept]:
        if self.kept is not None:
            return dict(self.kept)
        found = find(self.layer)
        if self.params is None:
            return found
        return {name: Kept(found[name].path if name in found else place(name), place(grad), True) for name, grad in self.params.items()}

    @property
    def bare(self) -> Layer:
        """The same adapter without parameters."""
        return replace(self, params={}, kept=None)

    @cached_property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the parameters."""
        return {name: np.shape(value) for name, value in self.params_in(self.layer).items()}

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters, wherever they are."""
        return {name: kept.read(layer) for name, kept in self.places.items()}

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Set one parameter."""
        self.places[name].write(layer, value)

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients, wherever they are; None for a missing one."""
        return {name: kept.read_grad(layer) for name, kept in self.places.items()}

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Set one gradient."""
        self.places[name].write_grad(layer, value)

    @property
    def keeps(self) -> frozenset[str]:
        """The kinds of values that the layer stores between calls; gradients that are returned are none of them."""
        return frozenset({"cache"}) if self.returned else super().keeps

    def split(self, result: Any) -> tuple[Any, dict[str, Any]]:
        """Return the input's gradient, and the gradients of parameters that are returned with it."""
        return split(result, self.returned) if self.returned else (result, {})

    def buffers_in(self, layer: Any) -> Any:
        """Return the dict of buffers, or that of the parameters if running statistics are in it; empty if the layer has none."""
        found = getattr(layer, self.buffers, None)
        if not isinstance(found, Mapping):
            homes = {kept.path[:-1] for kept in self.places.values() if len(kept.path) == 2}
            found = read(layer, next(iter(homes))) if len(homes) == 1 else {}
        return found if isinstance(found, Mapping) else {}

    def looked_for(self, layer: Any, name: str) -> str:
        """Return a sentence that says where a gradient was expected, and the lines that declare where else it may be, the likeliest first."""
        kept = self.places[name]
        where = f"expected in {self.title}.{dotted(kept.grad)}" if kept.grad is not None else f"no place in {self.title} was found for it"
        grads = {other: dotted(one.grad) for other, one in self.places.items() if one.grad is not None}
        return f"{where}; {elsewhere(layer, grads, name, self.shapes[name])}"


LayerObject = Dicts | Attributes | Updating | Layer
