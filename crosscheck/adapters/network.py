"""The declaration of a network that trains by its own code: which objects its layers are, and how one step is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import LayerLayout, Layout
from crosscheck.adapters.match_params import LayerShapes, MappingError, mapped
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.objects import Dicts, LayerObject, Updating
from crosscheck.adapters.recognise import recognise
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class Part:
    """One layer of a network, where more has to be declared than which object it is.

    Parameters
    ----------
    layer : object
        The network's own layer object, or an adapter of :mod:`crosscheck.adapters.objects` that says how it is called.
    params : mapping of str to str
        ``{"W": "weight: i o -> o i"}``, as for a pair; what is not declared is inferred where there is exactly one way.
    input, output : str
        einops patterns from the layer's layout to the reference's; for layers that take one sample, of a batch of one: ``"h w c -> 1 c h w"``.
    sizes : mapping of str to int
        Of axes inside parentheses.
    """

    layer: Any
    params: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A network whose layers are observed while it does its own training step.

    Parameters
    ----------
    layers : mapping or sequence
        Each a :class:`Part`, an adapter or a layer object, by the names of the reference's layers or in their order. An object can be one layer only.
    step : callable
        Gets a batch and its labels, does one training step, returns the loss. Where the layers take one sample, so does it.
    loss : object, optional
        The loss, if it is an object of its own with a ``forward(logits, labels)`` and a ``backward``; otherwise it is part of ``step``.
    state : callable, optional
        Returns the optimizer's momentum buffers, a dict with the names ``layer.parameter``, the layer's as in ``layers``, the parameter's its own.
    predict : callable, optional
        Returns the last layer's output for a batch; the layers one after another if left out.
    """

    layers: Mapping[str, Any] | Sequence[Any]
    step: Callable[[Any, Any], Any]
    loss: Any = None
    state: Callable[[], Mapping[str, Array]] | None = None
    predict: Callable[[Any], Any] | None = None

    def parts(self, shapes: LayerShapes) -> dict[str, Part]:
        """Return the layers by name, each with its adapter.

        Raises
        ------
        ConventionError
            If they are not the reference's, or not objects whose way of being called is known.
        """
        given = dict(self.layers) if isinstance(self.layers, Mapping) else dict(zip(shapes, self.layers, strict=False))
        if list(given) != list(shapes) or len(self.layers) != len(shapes):
            found = ", ".join(given) if isinstance(self.layers, Mapping) else f"{len(self.layers)} without names"
            raise ConventionError(f"the network's layers are {found or 'none'}; the reference's, in order: {', '.join(shapes)}")
        parts = {name: part if isinstance(part, Part) else Part(part) for name, part in given.items()}
        adapted = {name: replace(part, layer=_adapter(part, len(shapes[name]), name)) for name, part in parts.items()}
        names: dict[int, str] = {}
        for name, part in adapted.items():
            if (other := names.setdefault(id(part.layer.layer), name)) != name:
                raise ConventionError(f"{other} and {name} are one and the same object; each layer that is listened to needs an object of its own")
        if any(part.layer.one_sample for part in adapted.values()):
            return {name: replace(part, layer=replace(part.layer, one_sample=True)) for name, part in adapted.items()}
        return adapted

    def layouts(self, shapes: LayerShapes) -> tuple[dict[str, LayerLayout], list[str]]:
        """Return how each layer corresponds to the reference's, and in words what was inferred.

        Raises
        ------
        ConventionError, MappingError, LayoutError
            If anything does not fit or can be understood in several ways.
        """
        result, words = {}, []
        for name, part in self.parts(shapes).items():
            own = {parameter: tuple(shape or ()) for parameter, shape in part.layer.shapes.items()}
            try:
                params, inferred = mapped(own, shapes[name], part.params, part.sizes)
            except MappingError as error:
                raise MappingError(f"layer {name}: {error}") from error
            for ours, parameter in params.items():
                parameter.layout.expect(np.zeros(own[ours]), shapes[name][parameter.name], f"the parameter {name}.{ours}")
            result[name] = LayerLayout(Layout(part.input, part.sizes), Layout(part.output, part.sizes), params)
            words += [f"{name}: {way}" for way in inferred]
            part.layer.instance()  # each layer is also called apart from its network; one that cannot be copied is noticed here
        return result, words

    def bound(self, layouts: Mapping[str, LayerLayout], batch: Layout | None) -> TracedNetwork:
        """Return the network ready to be trained, with the layouts of this network or of another one from the same factory.

        The layout of the batch is that of the first layer's input if none is given.
        """
        shapes = {name: {parameter.name: () for parameter in layout.params.values()} for name, layout in layouts.items()}
        parts = {name: part.layer for name, part in self.parts(shapes).items()}
        loss = self.loss if self.loss is None or isinstance(self.loss, LayerObject) else Dicts(self.loss)
        if loss is not None and any(part.one_sample for part in parts.values()):
            loss = replace(loss, one_sample=True)
        state = self.state
        kept = dict if state is None else lambda: {"momentum": state()}
        return TracedNetwork(parts, layouts, self.step, loss, kept, self.predict, batch)


def _adapter(part: Part, count: int, name: str) -> LayerObject:
    """Return the adapter of a layer, recognised where exactly one fits.

    ``count`` is how many parameters its counterpart has; where that is none, no array of the layer is one either.
    """
    try:
        if isinstance(part.layer, LayerObject):
            return part.layer
        if not count and not part.params and not hasattr(part.layer, "instance"):
            return Updating(part.layer) if callable(getattr(part.layer, "backprop", None)) else Dicts(part.layer)
        found = recognise(part.layer, part.params, count)
    except ConventionError as error:
        raise ConventionError(f"layer {name}: {error}") from error
    if not isinstance(found, LayerObject):
        raise ConventionError(f"layer {name}: {type(found).__name__} cannot be listened to; expected Dicts, Attributes or Updating of a layer object")
    return found
