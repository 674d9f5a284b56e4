"""What the layers of a network take and return in a training step, in order: nothing is declared, layers are found by their methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.kept import dotted
from crosscheck.adapters.object_graph import nodes_in
from crosscheck.core.guard import source

FORWARD = ("forward", "forward_pass", "fprop", "fwd", "__call__")
BACKWARD = ("backward", "backward_pass", "bprop", "backprop", "bwd", "back")
"""Names in common use for the two methods of a layer."""

KEPT = {"output": ("output", "out", "y"), "grad_input": ("dinputs", "d_inputs", "dinput", "grad_input", "dx")}
"""Names in common use for the attributes in which a layer keeps what its methods do not return."""


@dataclass(frozen=True)
class Event:
    """An array that a layer returned, or the upstream gradient that its backward pass got.

    Attributes
    ----------
    layer : str
        The layer's place in the network and its class: ``"layers.0 (Linear)"``.
    quantity : {"output", "grad_output", "grad_input"}
        What the array is.
    value : array
        A copy.
    of : array or None
        For a gradient, the array of the forward pass that it belongs to.
    source : str
        File and line of the method.
    """

    layer: str
    quantity: str
    value: npt.NDArray[Any]
    of: npt.NDArray[Any] | None = None
    source: str = ""


@contextmanager
def observed(roots: Sequence[Any], events: list[Event] | None) -> Iterator[None]:
    """Inside the block, add to ``events`` what the layers in some object graphs take and return. Without ``events``, nothing is observed."""
    with ExitStack() as stack:
        if events is not None:
            for layer, title, forward, backward in _layers(roots):
                recorder = _Recorder(title, events)
                stack.enter_context(_replaced(layer, forward, recorder.forward(getattr(layer, forward))))
                stack.enter_context(_replaced(layer, backward, recorder.backward(getattr(layer, backward))))
        yield


def _layers(roots: Sequence[Any]) -> Iterator[tuple[Any, str, str, str]]:
    """Yield each layer of some object graphs, its name and those of its two methods."""
    networks = [getattr(root, "__self__", root) for root in roots]
    seen = {id(network) for network in networks}
    for network in networks:
        for path, node in nodes_in(network):
            forward, backward = (next((name for name in known if callable(getattr(node, name, None))), "") for known in (FORWARD, BACKWARD))
            if forward and backward and id(node) not in seen and hasattr(node, "__dict__") and not isinstance(node, type):
                seen.add(id(node))
                yield node, f"{dotted(path)} ({type(node).__name__})", forward, backward


class _Recorder:
    """Records the calls of one layer."""

    def __init__(self, title: str, events: list[Event]) -> None:
        self._title, self._events = title, events
        self._passes: list[tuple[Any, Any]] = []  # what the forward passes took and returned that no backward pass belongs to yet

    def forward(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method such that its calls are recorded."""

        def recorded(*given: Any, **named: Any) -> Any:
            taken = self._copy(_first(given, named))
            result = method(*given, **named)
            output = self._copy(self._result(method, result, "output"))
            self._passes.append((taken, output))
            self._add("output", output, None, method)
            return result

        return recorded

    def backward(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method such that its calls are recorded."""

        def recorded(*given: Any, **named: Any) -> Any:
            taken, output = self._passes.pop() if self._passes else (None, None)
            self._add("grad_output", self._copy(_first(given, named)), output, method)
            result = method(*given, **named)
            self._add("grad_input", self._copy(self._result(method, result, "grad_input")), taken, method)
            return result

        return recorded

    def _add(self, quantity: str, value: Any, of: Any, method: Callable[..., Any]) -> None:
        if value is not None:
            self._events.append(Event(self._title, quantity, value, of, source(method)))

    @staticmethod
    def _copy(value: Any) -> Any:
        return value.copy() if isinstance(value, np.ndarray) and value.dtype.kind == "f" else None

    @staticmethod
    def _result(method: Callable[..., Any], result: Any, quantity: str) -> Any:
        """Return what a method returned; some layers return nothing and keep their results in attributes."""
        layer = getattr(method, "__self__", None) if result is None else None
        return next((found for name in KEPT[quantity] if (found := getattr(layer, name, None)) is not None), result)


def _first(given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    return next(iter([*given, *named.values()]), None)


@contextmanager
def _replaced(layer: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, replace a method of an object; one such as ``__call__``, which Python looks up in the class, in a class of its own."""
    own, kind = vars(layer).get(name), type(layer)
    if name.startswith("__"):
        layer.__class__ = type(kind.__name__, (kind,), {name: lambda _, *given, **named: method(*given, **named), "__module__": kind.__module__})
    else:
        setattr(layer, name, method)
    try:
        yield
    finally:
        if name.startswith("__"):
            layer.__class__ = kind
        elif own is None:
            vars(layer).pop(name, None)
        else:
            setattr(layer, name, own)
