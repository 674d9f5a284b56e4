"""The tutorial's convention: one image at a time, channels last, ``forward(image)`` and ``backprop(d_L_d_out, learn_rate)``, which updates inside.

No gradient is stored, so it is read off a copy of the layer: ``backprop`` with a learning rate of 2^k moves each parameter by 2^k times its gradient,
and a power of two multiplies and divides without rounding. What remains are two subtractions, whose rounding is added to the bound.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.recording import Method, all_wrapped, wrapped
from crosscheck.arithmetic import Array, Bound
from crosscheck.layout import LayerLayout
from crosscheck.operation import Call
from crosscheck.subject import Labels, Outcome, SubjectLayer, source
from crosscheck.trace import Trace

READING_RATE = 2.0**40
"""The learning rate of the copy: so large that the parameter itself, subtracted and added, hardly touches the gradient's last digits, and far from
float32's largest number."""


class NetworkLike(Protocol):
    """A network of this convention, trained image by image."""

    frozen: bool

    def forward(self, image: Array) -> Array:
        """Return the probabilities."""

    def train(self, image: Array, label: int, learn_rate: float) -> float:
        """Do one training step and return the loss."""


class Layer:
    """A layer as a function of one image; the calls go to copies of it."""

    def __init__(self, layer: Any, layout: LayerLayout) -> None:
        self._layer, self.layout = copy.deepcopy(layer), layout
        self.absent: dict[str, str] = {}
        backward = source(type(layer).backprop)
        grads = {f"{parameter.name}.grad": backward for parameter in layout.params.values()}
        self.sources = {"output": source(type(layer).forward), "grad_input": backward, **grads}

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients; ``grad_input`` is missing where ``backprop`` returns None."""
        layout = self.layout
        layer = copy.copy(self._layer)
        for name, parameter in layout.params.items():
            setattr(layer, name, np.array(parameter.layout.to_subject(call.params[parameter.name]), order="C"))
        result = {"output": layout.output.to_reference(layer.forward(layout.input.to_subject(call.x)))}
        if call.grad_output is not None:
            result |= self.backprop(layer, layout.output.to_subject(call.grad_output))
        return result

    def backprop(self, layer: Any, grad_output: Array) -> dict[str, Array]:
        """Return the gradients that a copy of the layer computes, the parameters' read off their change."""
        before = {name: np.array(getattr(layer, name)) for name in self.layout.params}
        probe = copy.deepcopy(layer)
        grad_input = probe.backprop(grad_output, READING_RATE) if takes_learn_rate(probe) else probe.backprop(grad_output)
        if grad_input is None:
            self.absent["grad_input"] = "backprop returns no input gradient"
            result = {}
        else:
            result = {"grad_input": self.layout.input.to_reference(grad_input)}
        for name, parameter in self.layout.params.items():
            grad = (before[name] - getattr(probe, name)) / before[name].dtype.type(READING_RATE)
            result[f"{parameter.name}.grad"] = parameter.layout.to_reference(grad)
        return result

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return the rounding of the two subtractions that a parameter's gradient was read through."""
        name, _, suffix = quantity.rpartition(".")
        if suffix != "grad":
            return None
        return Bound(np.abs(value).astype(np.float64) + np.abs(call.params[name]).astype(np.float64) / READING_RATE, 2.0)


class Loss:
    """-ln of the label's probability: not a layer of its own here but two lines of the training step, repeated for the isolated check."""

    absent: Mapping[str, str] = {"output": "computed inside train, not a function of its own", "grad_input": "computed inside train"}

    def __init__(self, model: NetworkLike) -> None:
        self.sources = {"output": source(type(model).train), "grad_input": source(type(model).train)}

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return nothing: there is no function to call."""
        return {}

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None."""
        return None


def takes_learn_rate(layer: Any) -> bool:
    """Return whether a layer's ``backprop`` takes a learning rate beside the gradient."""
    return len(inspect.signature(type(layer).backprop).parameters) > 2


class ArticleSubject:
    """A network of this convention with its own training step.

    Parameters
    ----------
    model : NetworkLike
        Trained in place.
    layers : mapping of str to layer
        The model's layers in the order of the forward pass.
    layouts : mapping of str to LayerLayout
        For each of them.
    lr : float
        The learning rate of each training step.
    """

    def __init__(self, model: NetworkLike, layers: Mapping[str, Any], layouts: Mapping[str, LayerLayout], lr: float) -> None:
        self.model, self._live, self.layouts, self.lr = model, dict(layers), layouts, lr
        self._functions = {name: Layer(layer, layouts[name]) for name, layer in layers.items()}
        self.layers: dict[str, SubjectLayer] = {**self._functions, "loss": Loss(model)}

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters in the reference's layout."""
        return {f"{layer}.{name}": value for layer, name, value in self._parameters()}

    def _parameters(self) -> list[tuple[str, str, Array]]:
        return [
            (name, parameter.name, parameter.layout.to_reference(getattr(self._live[name], ours)))
            for name, layout in self.layouts.items()
            for ours, parameter in layout.params.items()
        ]

    def _one(self, x: Array) -> Array:
        if len(x) != 1:
            raise ValueError(f"this subject trains on one image at a time, found a batch of {len(x)}")
        return next(iter(self.layouts.values())).input.to_subject(x)

    def predict(self, x: Array) -> Array:
        """Return the probabilities, image by image."""
        return np.stack([self.model.forward(self._one(image[None])) for image in x])

    def step(self, x: Array, labels: Labels) -> Outcome:
        """Do one training step with the model's own method."""
        outputs: list[Array] = []

        def around(method: Method) -> Method:
            def forward(image: Array) -> Array:
                outputs.append(method(image))
                return outputs[-1]

            return forward

        with wrapped(list(self._live.values())[-1], "forward", around):
            loss = self.model.train(self._one(x), int(labels[0]), self.lr)
        return Outcome(loss, outputs[-1][None])

    def traced_step(self, step: int, x: Array, labels: Labels) -> Trace:
        """Do one training step while every layer called by it is listened to."""
        trace = Trace(step)
        for layer, name, value in self._parameters():
            trace.record(layer, f"{name}.before", value)
        names = list(self._live)
        wrappings = [(self._live[name], method, around(trace, name)) for name in names for method, around in self._around.items()]
        with all_wrapped(*wrappings):
            loss = self.model.train(self._one(x), int(labels[0]), self.lr)
        last = trace[names[-1], "output"]
        trace.record("loss", "input", last)
        trace.record("loss", "output", np.asarray(loss, last.dtype))
        if (names[-1], "grad_output") in trace:
            trace.record("loss", "grad_input", trace[names[-1], "grad_output"])
        for layer, name, value in self._parameters():
            trace.record(layer, name, value)
        return trace

    @property
    def _around(self) -> dict[str, Callable[[Trace, str], Callable[[Method], Method]]]:
        return {"forward": self._forward, "backprop": self._backprop}

    def _forward(self, trace: Trace, name: str) -> Callable[[Method], Method]:
        layout = self.layouts[name]

        def around(method: Method) -> Method:
            def forward(image: Array) -> Array:
                trace.record(name, "input", layout.input.to_reference(image))
                output: Array = method(image)
                trace.record(name, "output", layout.output.to_reference(output))
                return output

            return forward

        return around

    def _backprop(self, trace: Trace, name: str) -> Callable[[Method], Method]:
        layout, function, live = self.layouts[name], self._functions[name], self._live[name]

        def around(method: Method) -> Method:
            def backprop(gradient: Array, *learn_rate: float) -> npt.NDArray[Any] | None:
                trace.record(name, "grad_output", layout.output.to_reference(gradient))
                plain = copy.copy(live)
                for wrapper in ("forward", "backprop"):
                    vars(plain).pop(wrapper, None)
                read = function.backprop(plain, gradient)
                for quantity, value in read.items():
                    if quantity != "grad_input":
                        trace.record(name, quantity, value)
                grad_input: npt.NDArray[Any] | None = method(gradient, *learn_rate)
                if grad_input is None:
                    trace.leave_out(name, "grad_input", function.absent["grad_input"])
                else:
                    trace.record(name, "grad_input", layout.input.to_reference(grad_input))
                return grad_input

            return backprop

        return around
