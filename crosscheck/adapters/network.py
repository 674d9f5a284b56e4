"""The declaration of a network with its own training code: its layer objects, and a function that does one training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layer_object import LayerObject
from crosscheck.adapters.layout import LayerLayout, Layout
from crosscheck.adapters.match_params import LayerShapes, MappingError, mapped
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.objects import Dicts, Updating
from crosscheck.adapters.recognise import recognise
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class Part:
    """One layer of a network, for which layouts or parameters must be declared.

    Parameters
    ----------
    layer : object
        The network's own layer object, or an adapter of :mod:`crosscheck.adapters.objects` that says how it is called.
    params : mapping of str to str
        ``{"W": "weight: i o -> o i"}``, as for a pair; other parameters are inferred if there is exactly one way.
    input, output : str
        einops patterns from the layer's layout to the reference's. If the layer takes one sample, they give a batch of one: ``"h w c -> 1 c h w"``.
    sizes : mapping of str to int
        Lengths of axes inside parentheses.
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
        Each layer is a :class:`Part`, an adapter or a layer object; no object occurs twice. A mapping has the reference's layer names as keys, a
        sequence the reference's order.
    step : callable
        Gets a batch and its labels, does one training step, and returns the loss; gets one sample and its label if the layers take one sample.
    loss : object, optional
        The loss, if it is an object with ``forward(logits, labels)`` and ``backward``; None if the loss is computed inside ``step``.
    state : callable, optional
        Returns the optimizer's momentum buffers in a dict. The keys are ``layer.parameter``: the reference's layer name and your parameter name.
    predict : callable, optional
        Returns the last layer's output for a batch. Without it, the layers are called one after another.
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
            If the layers do not match the reference's, or a layer follows no known convention.
        """
        given = dict(self.layers) if isinstance(self.layers, Mapping) else dict(zip(shapes, self.layers, strict=False))
        if list(given) != list(shapes) or len(self.layers) != len(shapes):
            found = ", ".join(given) if isinstance(self.layers, Mapping) else f"{len(self.layers)} without names"
            raise ConventionError(f"the network's layers are {found or 'none'}, expected the reference's, in order: {', '.join(shapes)}")
        parts = {name: part if isinstance(part, Part) else Part(part) for name, part in given.items()}
        adapted = {name: replace(part, layer=_adapter(part, len(shapes[name]), name)) for name, part in parts.items()}
        names: dict[int, str] = {}
        for name, part in adapted.items():
            if (other := names.setdefault(id(part.layer.layer), name)) != name:
                raise ConventionError(f"the layers {other} and {name} are the same object; give each layer an object of its own")
        if any(part.layer.one_sample for part in adapted.values()):
            return {name: replace(part, layer=replace(part.layer, one_sample=True)) for name, part in adapted.items()}
        return adapted

    def layouts(self, shapes: LayerShapes) -> tuple[dict[str, LayerLayout], list[str]]:
        """Return each layer's layouts, and a list of sentences that say what was inferred.

        Raises
        ------
        ConventionError, MappingError, LayoutError
            If a layer does not fit the reference's, or fits in several ways.
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
            part.layer.instance()  # each layer is also tested alone, on a copy; raises if it cannot be copied
        return result, words

    def bound(self, layouts: Mapping[str, LayerLayout], batch: Layout | None) -> TracedNetwork:
        """Return the network ready to be trained. The layouts were computed for this network or for another one from the same factory.

        ``batch`` is the layout of the batch that ``step`` gets; by default, the batch has the layout of the first layer's input.
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
    """Return the declared adapter of a layer, or the only one that fits.

    ``count`` is the number of parameters that the reference's layer has; if this is 0, none of the layer's arrays is a parameter.
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
        raise ConventionError(f"layer {name} is a {type(found).__name__}, whose calls cannot be observed; expected Dicts, Attributes or Updating")
    return found
