"""A network with its own training code: its layers are observed during a training step, and can be called one by one between steps.

The declaration lists the layer objects, each with an adapter, and a function that does one training step. During a step, the layers' methods are
wrapped so that their arguments and results are recorded; after the step, the original methods are restored.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.adapted_layer import NO_GRAD_INPUT, AdaptedLayer
from crosscheck.adapters.layer_object import LayerObject
from crosscheck.adapters.layout import LayerLayout, Layout, to_subject
from crosscheck.adapters.objects import Updating
from crosscheck.adapters.train_step import TrainingStep, one_number, same_parameters
from crosscheck.core.guard import SubjectError, contained, silenced, source
from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome, SubjectLayer
from crosscheck.core.trace import Trace


class TracedNetwork:
    """A network with its own training step, whose layers can also be called as functions.

    Parameters
    ----------
    layers : mapping of str to Dicts, Attributes or Updating
        The network's own layer objects, in the order of the forward pass.
    layouts : mapping of str to LayerLayout
        The layouts of each layer.
    step, loss
        As for :class:`~crosscheck.adapters.network.Network`; the loss is an adapter.
    state : callable, optional
        Returns ``{"momentum": {"conv.W": array}}``: by the state's name, then by the reference's layer name and the subject's parameter name.
    forward : callable, optional
        Returns the last layer's output for a batch. Without it, the layers are called one after another.
    batch : Layout, optional
        Layout of the batch that ``step`` gets; by default, the batch has the layout of the first layer's input.
    """

    def __init__(
        self,
        layers: Mapping[str, LayerObject],
        layouts: Mapping[str, LayerLayout],
        step: Callable[[Any, Any], Any],
        loss: LayerObject | None = None,
        state: Callable[[], Mapping[str, Mapping[str, Array]]] = dict,
        forward: Callable[[Array], Array] | None = None,
        batch: Layout | None = None,
    ) -> None:
        self.parts, self._loss, self._optimizer_state, self._predict = dict(layers), loss, state, forward
        self.layouts = {**layouts, "loss": LayerLayout()}
        self.one_sample = any(part.one_sample for part in layers.values())
        self.train = TrainingStep(step, next(iter(layouts.values())).input if batch is None else batch, self.one_sample)
        self._shapes = {name: {ours: tuple(shape or ()) for ours, shape in part.shapes.items()} for name, part in layers.items()}
        self.functions = {name: AdaptedLayer(part, layouts[name]) for name, part in layers.items()}
        within = Unseen(source(step)) if loss is None else AdaptedLayer(loss, LayerLayout())
        self.layers: dict[str, SubjectLayer] = {**self.functions, "loss": within}

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters in the reference's layout."""
        return {f"{layer}.{name}": value for layer, name, value in self._parameters()}

    def load(self, params: Mapping[str, Array]) -> None:
        """Set the parameters, named as in the reference and in its layout."""
        for name, part in self.parts.items():
            layout = self.layouts[name]
            own = to_subject(layout.params, {parameter.name: params[f"{name}.{parameter.name}"] for parameter in layout.params.values()})
            with contained(f"setting the parameters of {name}"):
                part.live().load(own)

    def _parameters(self) -> Iterator[tuple[str, str, Array]]:
        for name, part in self.parts.items():
            with contained(f"reading the parameters of {name}"):
                values = same_parameters(part.live().params(), self._shapes[name], name)
            for ours, parameter in self.layouts[name].params.items():
                yield name, parameter.name, parameter.layout.to_reference(values[ours])

    @property
    def buffers(self) -> dict[str, Array]:
        """Copies of the layers' buffers in the reference's layout."""
        return {f"{layer}.{name}": value for layer, name, value in self._buffers()}

    def _buffers(self, *layers: str) -> Iterator[tuple[str, str, Array]]:
        """Yield layer, name and array of the buffers of the given layers, or of all layers."""
        for name in layers or self.layouts:
            layout = self.layouts[name]
            if not layout.buffers:
                continue
            with contained(f"reading the buffers of {name}"):
                kept = dict(self.parts[name].live().buffers())
            for ours, buffer in layout.buffers.items():
                yield name, buffer.name, buffer.layout.received(kept.get(ours), f"{name}.{ours}", np.dtype(np.float64))

    def _state(self) -> Iterator[tuple[str, str, Array]]:
        """Yield the optimizer's state of each parameter: the layer's name, ``parameter.state`` and the array."""
        with contained("reading the optimizer's state"):
            kept = {state: dict(arrays) for state, arrays in self._optimizer_state().items()}
        for name, layout in self.layouts.items():
            for ours, parameter in layout.params.items():
                for state, arrays in kept.items():
                    if (value := arrays.get(f"{name}.{ours}")) is None:
                        continue
                    if np.ndim(value):
                        own = same_parameters({ours: value}, {ours: self._shapes[name][ours]}, f"the {state} of {name}")
                        value = parameter.layout.to_reference(own[ours])
                    yield name, f"{parameter.name}.{state}", np.array(value)

    def _mask(self, name: str, part: LayerObject) -> npt.NDArray[np.bool_]:
        mask = getattr(part.layer, part.mask, None)
        if mask is None:
            raise SubjectError(f"after forward, {name} has no mask in its attribute {part.mask!r}, expected the mask that it drew; store it there")
        return np.array(mask).astype(bool)

    def predict(self, x: Array) -> Array:
        """Return the last layer's output for a batch."""
        if self.one_sample and len(x) > 1:
            return np.concatenate([self.predict(sample[None]) for sample in x])
        value = self.train.batch(x)
        with contained("predicting"):
            if self._predict is not None:
                value = self._predict(value)
            else:
                for part in self.parts.values():
                    value = getattr(part.layer, part.forward)(value)
        return self._to_reference(next(reversed(self.parts)), "output", value, x.dtype)

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step with the network's own code, and return its loss, last output and dropout masks."""
        outputs: list[Array] = []
        name, part = next(reversed(self.parts.items()))

        def forward(method: Method, /, *given: Any, **named: Any) -> Any:
            outputs.append(method(*given, **named))
            return outputs[-1]

        with contained("observing the training step"), _wrapped(part.layer, part.forward, forward):
            loss = self.train(self.train.batch(x), self.train.labels(labels))
        if not outputs:
            raise SubjectError(_never_ran(name))
        masks = {name: {"mask": self._mask(name, part)} for name, part in self.parts.items() if part.mask}
        return Outcome(float(loss), self._to_reference(name, "output", outputs[-1], x.dtype), masks)

    @silenced()
    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step, and record the arguments and results of every layer that it calls."""
        trace = Trace(step)
        for layer, name, value in (*self._parameters(), *self._state(), *self._buffers()):
            trace.take(layer, f"{name}.before", value)
        parts = self.parts if self._loss is None else {**self.parts, "loss": self._loss}
        with contained("observing the training step"), ExitStack() as observed:
            for name, part in parts.items():
                observed.enter_context(_wrapped(part.layer, part.forward, partial(self._observe_forward, trace, name, part, x.dtype)))
                observed.enter_context(_wrapped(part.layer, part.backward, partial(self._observe_backward, trace, name, part, x.dtype)))
            loss = self.train(self.train.batch(x), self.train.labels(labels))
        if self._loss is None:
            self._record_loss(trace, loss)
        elif ("loss", "output") not in trace:
            raise SubjectError(_never_ran("loss"))
        for layer, name, value in (*self._parameters(), *self._state()):
            trace.take(layer, name, value)
        own = trace["loss", "output"].astype(x.dtype)
        if not np.array_equal(loss, own, equal_nan=True):
            raise SubjectError(f"loss.output: the training step returned {float(loss)!r}, expected the loss layer's output {float(own)!r}")
        return trace

    def _record_loss(self, trace: Trace, loss: Array) -> None:
        """Record a loss that is computed inside the step: the last layer's output is its input, the last layer's ``grad_output`` its gradient."""
        name = next(reversed(self.parts))
        if (name, "output") not in trace:
            raise SubjectError(_never_ran(name))
        trace.take("loss", "input", trace[name, "output"])
        trace.take("loss", "output", loss)
        if (name, "grad_output") in trace:
            trace.take("loss", "grad_input", trace[name, "grad_output"])

    def _observe_forward(self, trace: Trace, name: str, part: LayerObject, dtype: np.dtype[Any], method: Method, /, *given: Any, **named: Any) -> Any:
        if (name, "input") in trace:
            raise SubjectError(f"the training step ran {name} forward twice, expected once; a layer that runs twice in a step cannot be compared")
        trace.take(name, "input", self._to_reference(name, "input", _first(given, named), dtype))
        output = method(*given, **named)
        value = self._to_reference(name, "output", output, dtype)
        trace.take(name, "output", one_number(value) if name == "loss" else value)
        if part.mask:
            trace.take(name, "mask", self._mask(name, part))
        for _, buffer, kept in self._buffers(name):
            trace.take(name, buffer, kept)
        return output

    def _observe_backward(
        self, trace: Trace, name: str, part: LayerObject, dtype: np.dtype[Any], method: Method, /, *given: Any, **named: Any
    ) -> Any:
        if {(name, "grad_output"), (name, "grad_input")} & set(trace):
            raise SubjectError(f"the training step ran {name} backward twice, expected once; a layer that runs twice in a step cannot be compared")
        grad_output = _first(given, named)
        if grad_output is not None and name != "loss":
            trace.take(name, "grad_output", self._to_reference(name, "output", grad_output, dtype))
        ahead = _read_ahead(part, grad_output) if isinstance(part, Updating) else None
        grad_input = method(*given, **named)
        self._record_gradients(trace, name, part, grad_input, part.live().stored() if ahead is None else ahead, dtype)
        return grad_input

    def _record_gradients(
        self, trace: Trace, name: str, part: LayerObject, grad_input: Any, grads: Mapping[str, Array], dtype: np.dtype[Any]
    ) -> None:
        if grad_input is None:
            trace.leave_out(name, "grad_input", NO_GRAD_INPUT)
            if "grad_input" in part.may_lack:
                self.functions[name].absent["grad_input"] = NO_GRAD_INPUT
        else:
            trace.take(name, "grad_input", self._to_reference(name, "input", grad_input, dtype))
        for ours, parameter in self.layouts[name].params.items():
            if f"{ours}.grad" in grads:
                value = parameter.layout.received(grads[f"{ours}.grad"], f"{name}'s gradient of {ours}", dtype)
                trace.take(name, f"{parameter.name}.grad", value)

    def _to_reference(self, name: str, quantity: str, value: Any, dtype: np.dtype[Any]) -> Array:
        """Convert an array that a layer received or returned to a copy in the reference's layout."""
        layout = self.layouts[name].input if quantity == "input" else self.layouts[name].output
        return layout.received(value, f"{name}'s {quantity}", dtype, self.one_sample)


def _read_ahead(part: Updating, grad_output: Array) -> dict[str, Any]:
    """Return the gradients of a layer that stores no gradients. They are measured on a copy, before the layer itself updates its parameters."""
    plain = copy.copy(part.layer)
    for wrapper in (part.forward, part.backward):
        vars(plain).pop(wrapper, None)
    return replace(part, layer=plain).instance().backward(grad_output)


def _first(given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Return the first argument of a call, positional or keyword; None if there is none."""
    return next(iter([*given, *named.values()]), None)


def _never_ran(name: str) -> str:
    return f"the training step never ran the forward method of {name}, expected once; declare the object that the step calls"


class Traced:
    """A layer whose quantities are read from a trace, so that it is never called."""

    absent: Mapping[str, str] = {}
    sources: Mapping[str, str] = {}

    def vjp(self, call: Any) -> dict[str, Array]:
        """Return no results, because there is no function to call."""
        return {}

    def reading(self, quantity: str, call: Any, value: Array) -> None:
        """Return None."""


class Unseen(Traced):
    """A part of the training step that cannot be called separately, such as a loss computed inside the step."""

    def __init__(self, where: str) -> None:
        reason = "computed inside the training step, not by a separate function"
        self.absent, self.sources = (dict.fromkeys(("output", "grad_input"), text) for text in (reason, where))


Method = Callable[..., Any]


@contextmanager
def _wrapped(owner: object, name: str, around: Method) -> Iterator[None]:
    """Inside the block, replace a method of an object by ``around(method, ...)``."""
    setattr(owner, name, partial(around, getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)
