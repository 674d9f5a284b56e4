"""Layers with ``forward(x)``, ``backward(grad_output)`` and the dicts ``params`` and ``grads``; updates by an optimizer's ``step(grads)``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from crosscheck.adapters.recording import Method, all_wrapped
from crosscheck.arithmetic import Array, Bound
from crosscheck.layout import LayerLayout
from crosscheck.operation import Call
from crosscheck.subject import Labels, Outcome, SubjectLayer, source
from crosscheck.trace import Trace


class LayerLike(Protocol):
    """A layer of this convention."""

    params: dict[str, Array]
    grads: dict[str, Array]

    def forward(self, x: Array) -> Array:
        """Return the output."""

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient and set ``grads``."""


class LossLike(Protocol):
    """A loss of this convention."""

    def forward(self, logits: Array, labels: Labels) -> Array:
        """Return the loss."""

    def backward(self) -> Array:
        """Return the gradient for the logits."""


class NetworkLike(Protocol):
    """A chain of layers of this convention."""

    layers: dict[str, Any]
    frozen: set[str]

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""

    def backward(self, grad_output: Array) -> Array:
        """Run the backward passes."""

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients by ``layer.parameter``."""


class OptimizerLike(Protocol):
    """An optimizer of this convention."""

    buffers: dict[str, Array]

    def step(self, grads: Mapping[str, Array]) -> None:
        """Update the parameters in place."""


class Layer:
    """A layer as a function; the calls go to a copy of it."""

    def __init__(self, layer: LayerLike, layout: LayerLayout) -> None:
        self._layer, self.layout = copy.deepcopy(layer), layout
        self.absent: dict[str, str] = {}
        backward = source(type(layer).backward)
        grads = {f"{parameter.name}.grad": backward for parameter in layout.params.values()}
        self.sources = {"output": source(type(layer).forward), "grad_input": backward, **grads}

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients of the copy, its parameters set to those of the call."""
        layout = self.layout
        for name, parameter in layout.params.items():
            self._layer.params[name] = np.array(parameter.layout.to_subject(call.params[parameter.name]), order="C")
        result = {"output": layout.output.to_reference(self._layer.forward(layout.input.to_subject(call.x)))}
        if call.grad_output is not None:
            grad_input = self._layer.backward(layout.output.to_subject(call.grad_output))
            result["grad_input"] = layout.input.to_reference(grad_input)
            result |= {f"{p.name}.grad": p.layout.to_reference(self._layer.grads[name]) for name, p in layout.params.items()}
        return result

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: every quantity is there to be read."""
        return None


class Loss:
    """A loss as a function of the logits, the labels a constant; the calls go to a copy of it."""

    def __init__(self, loss: LossLike) -> None:
        self._loss = copy.deepcopy(loss)
        self.absent: dict[str, str] = {}
        self.sources = {"output": source(type(loss).forward), "grad_input": source(type(loss).backward)}

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the loss and, where a cotangent is given, the gradient for the logits times it."""
        result = {"output": np.asarray(self._loss.forward(call.x, call.constants["labels"]))}
        if call.grad_output is not None:
            result["grad_input"] = np.asarray(self._loss.backward() * call.grad_output)
        return result

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: both quantities are there to be read."""
        return None


class LayeredSubject:
    """A network of such layers, trained by its own forward, backward and optimizer.

    Parameters
    ----------
    model, loss, optimizer
        Of this convention; they are trained in place.
    layouts : mapping of str to LayerLayout
        For each layer of the model.
    """

    def __init__(self, model: NetworkLike, loss: LossLike, optimizer: OptimizerLike, layouts: Mapping[str, LayerLayout]) -> None:
        self.model, self.loss, self.optimizer, self.layouts = model, loss, optimizer, layouts
        self.layers: dict[str, SubjectLayer] = {name: Layer(layer, layouts[name]) for name, layer in model.layers.items()}
        self.layers["loss"] = Loss(loss)

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters in the reference's layout."""
        return {f"{layer}.{name}": value for layer, name, value in self._parameters()}

    def _parameters(self) -> list[tuple[str, str, Array]]:
        return [
            (name, parameter.name, parameter.layout.to_reference(self.model.layers[name].params[ours]))
            for name, layout in self.layouts.items()
            for ours, parameter in layout.params.items()
        ]

    def _state(self) -> list[tuple[str, str, Array]]:
        return [
            (name, parameter.name, parameter.layout.to_reference(self.optimizer.buffers[f"{name}.{ours}"]))
            for name, layout in self.layouts.items()
            for ours, parameter in layout.params.items()
            if f"{name}.{ours}" in self.optimizer.buffers
        ]

    def predict(self, x: Array) -> Array:
        """Return the logits."""
        return self.model.forward(x)

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step with the model's own methods."""
        output = self.model.forward(x)
        loss = self.loss.forward(output, labels)
        self.model.backward(self.loss.backward())
        self.optimizer.step(self.model.grads)
        return Outcome(float(loss), output)

    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step while every method called by it is listened to."""
        trace = Trace(step)
        for layer, name, value in self._parameters():
            trace.record(layer, f"{name}.before", value)
        for layer, name, value in self._state():
            trace.record(layer, f"{name}.momentum.before", value)
        listening = [
            wrapping
            for name, layer in self.model.layers.items()
            for wrapping in (
                (layer, "forward", self._forward(trace, name)),
                (layer, "backward", self._backward(trace, name)),
            )
        ]
        loss = ((self.loss, "forward", self._loss_forward(trace)), (self.loss, "backward", self._loss_backward(trace)))
        with all_wrapped(*listening, *loss):
            self.step(x, labels)
        for layer, name, value in self._parameters():
            trace.record(layer, name, value)
        for layer, name, value in self._state():
            trace.record(layer, f"{name}.momentum", value)
        return trace

    def _forward(self, trace: Trace, name: str) -> Callable[[Method], Method]:
        layout = self.layouts[name]

        def around(method: Method) -> Method:
            def forward(x: Array) -> Array:
                trace.record(name, "input", layout.input.to_reference(x))
                output: Array = method(x)
                trace.record(name, "output", layout.output.to_reference(output))
                return output

            return forward

        return around

    def _backward(self, trace: Trace, name: str) -> Callable[[Method], Method]:
        layout, layer = self.layouts[name], self.model.layers[name]

        def around(method: Method) -> Method:
            def backward(grad_output: Array) -> Array:
                trace.record(name, "grad_output", layout.output.to_reference(grad_output))
                grad_input: Array = method(grad_output)
                trace.record(name, "grad_input", layout.input.to_reference(grad_input))
                for ours, parameter in layout.params.items():
                    trace.record(name, f"{parameter.name}.grad", parameter.layout.to_reference(layer.grads[ours]))
                return grad_input

            return backward

        return around

    def _loss_forward(self, trace: Trace) -> Callable[[Method], Method]:
        def around(method: Method) -> Method:
            def forward(logits: Array, labels: Labels) -> Array:
                trace.record("loss", "input", logits)
                loss: Array = method(logits, labels)
                trace.record("loss", "output", np.asarray(loss))
                return loss

            return forward

        return around

    def _loss_backward(self, trace: Trace) -> Callable[[Method], Method]:
        def around(method: Method) -> Method:
            def backward() -> Array:
                grad: Array = method()
                trace.record("loss", "grad_input", grad)
                return grad

            return backward

        return around
