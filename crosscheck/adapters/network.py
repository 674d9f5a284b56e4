"""A whole network that trains by its own code: its layers are listened to while it does one step, and asked one by one in between.

The network says which objects its layers are, each by the adapter of its convention, and how one step of training is done. Their methods are wrapped
for that step, called by nobody but the network, and put back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from crosscheck.adapters.adapted import NO_GRAD_INPUT, AdaptedLayer
from crosscheck.adapters.objects import Attributes, Dicts, Updating
from crosscheck.adapters.recording import Method, all_wrapped, wrapped
from crosscheck.arithmetic import Array
from crosscheck.layout import LayerLayout
from crosscheck.subject import Labels, Outcome, SubjectLayer, source
from crosscheck.trace import Trace

Part = Dicts | Attributes | Updating


class Network:
    """A network of somebody else's with its way of training.

    Parameters
    ----------
    layers : mapping of str to Dicts, Attributes or Updating
        The network's own layer objects, in the order of the forward pass.
    layouts : mapping of str to LayerLayout
        For each of them.
    step : callable
        Gets a batch and its labels, does one training step, returns the loss. Where the layers take one sample, so does it.
    loss : Dicts, optional
        The loss, if it is an object of its own; otherwise it is part of ``step``.
    state : callable, optional
        Returns the optimizer's momentum buffers, named ``layer.parameter`` by the subject's names.
    forward : callable, optional
        Returns the last layer's output for a batch; the layers one after another if left out.
    """

    def __init__(
        self,
        layers: Mapping[str, Part],
        layouts: Mapping[str, LayerLayout],
        step: Callable[[Any, Any], Any],
        loss: Part | None = None,
        state: Callable[[], Mapping[str, Array]] = dict,
        forward: Callable[[Array], Array] | None = None,
    ) -> None:
        self.parts, self.layouts, self._step, self._loss, self._buffers, self._predict = dict(layers), layouts, step, loss, state, forward
        self.one_sample = any(part.one_sample for part in layers.values())
        self.functions = {name: AdaptedLayer(part, layouts[name]) for name, part in layers.items()}
        within = SilentLoss(source(step)) if loss is None else AdaptedLayer(loss, LayerLayout())
        self.layers: dict[str, SubjectLayer] = {**self.functions, "loss": within}

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters in the reference's layout."""
        return {f"{layer}.{name}": value for layer, name, value in self._parameters()}

    def _parameters(self) -> Iterator[tuple[str, str, Array]]:
        for name, part in self.parts.items():
            values = part.live().params()
            for ours, parameter in self.layouts[name].params.items():
                yield name, parameter.name, parameter.layout.to_reference(values[ours])

    def _state(self) -> Iterator[tuple[str, str, Array]]:
        buffers = self._buffers()
        for name, layout in self.layouts.items():
            for ours, parameter in layout.params.items():
                if f"{name}.{ours}" in buffers:
                    yield name, parameter.name, parameter.layout.to_reference(buffers[f"{name}.{ours}"])

    def _own(self, x: Array) -> Array:
        """Return a batch as the first layer takes it."""
        if self.one_sample and len(x) != 1:
            raise ValueError(f"this subject trains on one sample at a time, found a batch of {len(x)}")
        first = next(iter(self.layouts.values())).input
        return x[0] if self.one_sample and not first.pattern else first.to_subject(x)

    def _labels(self, labels: Labels) -> Any:
        return int(labels[0]) if self.one_sample else labels

    def predict(self, x: Array) -> Array:
        """Return the last layer's output for a batch."""
        if self.one_sample:
            return np.concatenate([self._forward(image[None]) for image in x])
        return self._forward(x)

    def _forward(self, x: Array) -> Array:
        value = self._own(x)
        if self._predict is not None:
            value = self._predict(value)
        else:
            for part in self.parts.values():
                value = getattr(part.layer, part.forward)(value)
        return self._to_reference(next(reversed(self.parts)), "output", value)

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step with the network's own code."""
        outputs: list[Array] = []
        name, part = next(reversed(self.parts.items()))

        def around(method: Method) -> Method:
            def forward(value: Array, *rest: Any) -> Array:
                outputs.append(method(value, *rest))
                return outputs[-1]

            return forward

        with wrapped(part.layer, part.forward, around):
            loss = self._step(self._own(x), self._labels(labels))
        return Outcome(float(loss), self._to_reference(name, "output", outputs[-1]))

    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step while every layer called by it is listened to."""
        trace = Trace(step)
        for layer, name, value in self._parameters():
            trace.record(layer, f"{name}.before", value)
        for layer, name, value in self._state():
            trace.record(layer, f"{name}.momentum.before", value)
        with self._listening(trace):
            loss = self._step(self._own(x), self._labels(labels))
        if self._loss is None:
            self._record_loss(trace, loss)
        for layer, name, value in self._parameters():
            trace.record(layer, name, value)
        for layer, name, value in self._state():
            trace.record(layer, f"{name}.momentum", value)
        return trace

    def _record_loss(self, trace: Trace, loss: Any) -> None:
        """Record a loss that is part of the step: it got the last output, and the last layer's cotangent is its gradient."""
        name = next(reversed(self.parts))
        last = trace[name, "output"]
        trace.record("loss", "input", last)
        trace.record("loss", "output", np.asarray(loss, last.dtype))
        if (name, "grad_output") in trace:
            trace.record("loss", "grad_input", trace[name, "grad_output"])

    @contextmanager
    def _listening(self, trace: Trace) -> Iterator[None]:
        parts = {**self.parts, **({} if self._loss is None else {"loss": self._loss})}
        hooks = [
            hook
            for name, part in parts.items()
            for hook in (
                (part.layer, part.forward, self._heard_forward(trace, name)),
                (part.layer, part.backward, self._heard_backward(trace, name, part)),
            )
        ]
        with all_wrapped(*hooks):
            yield

    def _heard_forward(self, trace: Trace, name: str) -> Callable[[Method], Method]:
        def around(method: Method) -> Method:
            def forward(x: Array, *rest: Any) -> Any:
                trace.record(name, "input", self._to_reference(name, "input", x))
                output = method(x, *rest)
                trace.record(name, "output", self._to_reference(name, "output", output))
                return output

            return forward

        return around

    def _heard_backward(self, trace: Trace, name: str, part: Part) -> Callable[[Method], Method]:
        def around(method: Method) -> Method:
            def backward(*given: Any) -> Any:
                if given:
                    trace.record(name, "grad_output", self._to_reference(name, "output", given[0]))
                ahead = self._read_ahead(part, given[0]) if isinstance(part, Updating) else None
                grad_input = method(*given)
                if grad_input is None:
                    trace.leave_out(name, "grad_input", NO_GRAD_INPUT)
                    if "grad_input" in part.may_lack:
                        self.functions[name].absent["grad_input"] = NO_GRAD_INPUT
                else:
                    trace.record(name, "grad_input", self._to_reference(name, "input", grad_input))
                grads = part.live().stored() if ahead is None else ahead
                for ours, parameter in self._layout(name).params.items():
                    if f"{ours}.grad" in grads:
                        trace.record(name, f"{parameter.name}.grad", parameter.layout.to_reference(grads[f"{ours}.grad"]))
                return grad_input

            return backward

        return around

    def _read_ahead(self, part: Updating, grad_output: Array) -> dict[str, Array]:
        """Return the gradients of a layer that stores none, read off a copy before the layer itself updates."""
        plain = copy.copy(part.layer)
        for wrapper in (part.forward, part.backward):
            vars(plain).pop(wrapper, None)
        return part.ahead(plain, grad_output)

    def _layout(self, name: str) -> LayerLayout:
        return LayerLayout() if name == "loss" else self.layouts[name]

    def _to_reference(self, name: str, quantity: str, value: Any) -> Array:
        array = np.asarray(value)
        layout = self._layout(name).input if quantity == "input" else self._layout(name).output
        return array[None] if self.one_sample and not layout.pattern and array.ndim else layout.to_reference(array)


class SilentLoss:
    """A loss that is part of the training step and no function of its own."""

    def __init__(self, where: str) -> None:
        reason = "computed inside the training step, not a function of its own"
        self.absent: Mapping[str, str] = {"output": reason, "grad_input": reason}
        self.sources: Mapping[str, str] = {"output": where, "grad_input": where}

    def vjp(self, call: Any) -> dict[str, Array]:
        """Return nothing: there is no function to call."""
        return {}

    def reading(self, quantity: str, call: Any, value: Array) -> None:
        """Return None."""
