"""What the conventions of objects share: two methods called by name, parameters that are put into a copy, a mode that is switched."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, copied, expect_distinct, expect_instance, method, scaled
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.operation import Arrays, Constants
from crosscheck.core.precision import Array, Bound


@dataclass(frozen=True)
class ObjectConvention:
    """An object and the names of its two methods."""

    layer: Any
    may_lack: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        for name in self._methods():
            method(self.layer, name)
        expect_distinct(self.title, self.live().params())

    def live(self) -> MethodsInstance:
        """Return the layer itself, for who listens to its training."""
        raise NotImplementedError

    def _methods(self) -> tuple[str, str]:
        raise NotImplementedError

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the methods are defined."""
        forward, backward = (source(method(self.layer, name)) for name in self._methods())
        return {"forward": forward, "backward": backward}

    @property
    def title(self) -> str:
        """The class's name."""
        return type(self.layer).__name__

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return None: gradients are stored."""
        return None


class MethodsInstance:
    """An instance whose two methods are called by name."""

    def __init__(self, layer: Any, forward: str, backward: str) -> None:
        self.layer = layer
        self._forward, self._backward = forward, backward
        self.modes = Modes()

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are, not copied."""
        raise NotImplementedError

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        raise NotImplementedError

    def looked_for(self, quantity: str) -> str:
        """Return where a gradient was looked for, and what is there instead; empty where it is not stored."""
        return ""

    def put(self, name: str, value: Array) -> None:
        """Set one parameter."""
        raise NotImplementedError

    def load(self, params: Arrays) -> None:
        """Set the parameters, and bring the gradients that are there into their precision, as in a layer that was made in it.

        Values are written into the arrays that are there. Where they do not fit, as in another precision, a new array takes the old one's place
        wherever the layer refers to it: its parts may hold it under names of their own.
        """
        before, grads, instead = self.params(), self.stored(), dict[int, Array]()
        for name, value in params.items():
            if fits(before.get(name), value):
                before[name][...] = value
            else:
                instead[id(before.get(name))] = value
            grad = grads.get(f"{name}.grad")
            if grad is not None and grad.dtype.kind == "f" and grad.dtype != value.dtype:
                instead[id(grad)] = grad.astype(value.dtype)
        if instead:
            self.layer = copied(self.layer, instead)
        after = self.params()
        for name, value in params.items():
            if id(before.get(name)) in instead and after.get(name) is not value:
                self.put(name, value)
        kept = self.params()
        if lost := [name for name, value in params.items() if not np.array_equal(kept[name], value, equal_nan=True)]:
            raise SubjectError(f"parameters that are set do not stay: {', '.join(lost)}")

    def buffers(self) -> Mapping[str, Any]:
        """Return everything that the layer may keep from step to step, not copied: its attributes."""
        return getattr(self.layer, "__dict__", {})

    def load_buffers(self, buffers: Arrays) -> None:
        """Set what the layer keeps from step to step, in the arrays that are there where it fits."""
        for name, value in buffers.items():
            self.put_buffer(name, value)

    def put_buffer(self, name: str, value: Array) -> None:
        """Set one attribute that the layer keeps from step to step, or its numbers in the array that is there."""
        existing: Any = getattr(self.layer, name, None)
        if fits(existing, value):
            existing[...] = value
        else:
            setattr(self.layer, name, value)

    def switch(self, training: bool) -> bool:
        """Turn training mode on or off and return whether there is such a thing."""
        self.modes = Modes.of(self.layer, method(self.layer, self._forward), training)
        return self.modes.exist

    def forward(self, x: Array, constants: Constants) -> Any:
        """Run the forward pass, a loss's with the labels, a dropout's with its mask."""
        return method(self.layer, self._forward)(x, *constants.values(), **self.modes.arguments)

    def grad_input(self, grad_output: Array) -> Any:
        """Run the backward pass; a loss's takes no cotangent, and what it returns is multiplied by it."""
        backward = method(self.layer, self._backward)
        return backward(grad_output) if arguments(backward) else scaled(backward(), grad_output)


def fits(existing: Any, value: Array) -> bool:
    """Return whether a value can be written into what is there."""
    return isinstance(existing, np.ndarray) and existing.shape == value.shape and existing.dtype == value.dtype and bool(existing.flags.writeable)


def arguments(function: Any) -> int:
    """Return how many positional arguments a bound method takes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values())


def names_of(params: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of parameters, of which a single one may be given as it is."""
    return (params,) if isinstance(params, str) else tuple(params)


def array_attributes(layer: Any) -> list[str]:
    """Return the names of an object's attributes that are arrays of floating-point numbers."""
    return [name for name, value in getattr(layer, "__dict__", {}).items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]


def no_such_array(layer: Any, name: str) -> ConventionError:
    """Return an error that lists the arrays that there are."""
    arrays = ", ".join(array_attributes(layer)) or "none"
    return ConventionError(f"{type(layer).__name__} has no attribute {name!r} for a parameter; its arrays: {arrays}")


_ARGUMENTS = ("training", "train", "is_training", "train_flg")


@dataclass(frozen=True)
class Modes:
    """The mode that a layer is in.

    Attributes
    ----------
    exist : bool
        Whether it has modes at all.
    kept : bool
        Whether a caller can change the mode between two passes.
    arguments : mapping
        What the forward pass is given for it by name.
    """

    exist: bool = False
    kept: bool = False
    arguments: Mapping[str, bool] = field(default_factory=dict)

    @staticmethod
    def of(layer: Any, forward: Callable[..., Any], training: bool) -> Modes:
        """Put a layer into a mode in every way that it knows."""
        if methods := _callable_alone(getattr(layer, "train", None)) and _callable_alone(getattr(layer, "eval", None)):
            (layer.train if training else layer.eval)()
        if attribute := isinstance(getattr(layer, "training", None), bool):
            layer.training = training
        defaults = {name: parameter.default for name, parameter in inspect.signature(forward).parameters.items()}
        given = any(isinstance(defaults.get(name), bool | str) for name in (*_ARGUMENTS, "mode"))
        named = {name: training for name in _ARGUMENTS if isinstance(defaults.get(name), bool)}
        return Modes(methods or attribute or bool(named), methods or (attribute and not given), named)


def _callable_alone(method: Any) -> bool:
    """Return whether a method can be called without arguments; the ``train`` of a whole network, for one, takes its data."""
    if not callable(method):
        return False
    return all(
        parameter.default is not inspect.Parameter.empty or parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for parameter in inspect.signature(method).parameters.values()
    )
