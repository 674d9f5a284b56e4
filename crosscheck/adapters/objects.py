"""Objects with a forward and a backward method: gradients in a dict, in attributes, or nowhere because backward updates at once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, Instance, Shape, copied, method, placed
from crosscheck.arithmetic import Array, Bound
from crosscheck.operation import Arrays, Constants
from crosscheck.subject import source

READING_RATE = 2.0**40
"""The learning rate that gradients are read off an update with.

A power of two multiplies and divides without rounding; this one is so large that the parameter itself, subtracted and added, hardly touches the
gradient's last digits, and far from float32's largest number.
"""


@dataclass(frozen=True)
class _Object:
    """What the three conventions share: an object, the names of its methods."""

    layer: Any
    may_lack: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        for name in self._methods():
            method(self.layer, name)

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


class _Methods:
    """An instance whose two methods are called by name."""

    def __init__(self, layer: Any, forward: str, backward: str) -> None:
        self.layer = layer
        self._forward, self._backward = method(layer, forward), method(layer, backward)

    def forward(self, x: Array, constants: Constants) -> Any:
        """Run the forward pass, a loss's with the labels."""
        return self._forward(x, *constants.values())

    def grad_input(self, grad_output: Array) -> Any:
        """Run the backward pass; a loss's takes no cotangent, and what it returns is multiplied by it."""
        if _arguments(self._backward):
            return self._backward(grad_output)
        grad = self._backward()
        return grad if grad_output.ndim == 0 and grad_output == 1 else np.asarray(grad) * grad_output


def _arguments(function: Any) -> int:
    """Return how many positional arguments a bound method takes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values())


@dataclass(frozen=True)
class Dicts(_Object):
    """``forward(x)``, ``backward(grad_output)``, and parameters and gradients in two dicts with the same keys.

    Also fits layers without parameters, and losses: ``forward(logits, labels)`` and ``backward()`` or ``backward(grad_output)``.

    Parameters
    ----------
    layer : object
        Copied for each call; it is never changed itself.
    params, grads : str
        Names of the attributes that hold the dicts.
    forward, backward : str
        Names of the methods.
    accumulates : bool
        Whether ``backward`` adds to the gradients that are there, on purpose; the harness then clears them.
    one_sample : bool
        Whether the methods take one sample at a time.
    """

    params: str = "params"
    grads: str = "grads"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False

    def _methods(self) -> tuple[str, str]:
        return self.forward, self.backward

    @property
    def keeps(self) -> frozenset[str]:
        """The cache and the gradients."""
        return frozenset({"cache", "grads", *(["sum"] if self.accumulates else [])})

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the arrays in the dict of parameters; none where the layer has no such dict."""
        found = getattr(self.layer, self.params, None)
        return {name: np.shape(value) for name, value in found.items()} if isinstance(found, Mapping) else {}

    def instance(self) -> Instance:
        """Return a copy of the layer."""
        return _DictsInstance(copied(self.layer), self)

    def live(self) -> _DictsInstance:
        """Return the layer itself, for who listens to its training."""
        return _DictsInstance(self.layer, self)


class _DictsInstance(_Methods):
    def __init__(self, layer: Any, convention: Dicts) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._convention = convention

    def load(self, params: Arrays) -> None:
        """Put the parameters into the dict."""
        for name, value in params.items():
            store = getattr(self.layer, self._convention.params)
            store[name] = placed(store.get(name), value)

    def params(self) -> dict[str, Array]:
        """Return the parameters as they are, not copied."""
        store = getattr(self.layer, self._convention.params, {})
        return {name: store[name] for name in self._convention.shapes}

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        grads = getattr(self.layer, self._convention.grads, {})
        return {f"{name}.grad": np.asarray(grads[name]) for name in self._convention.shapes if grads.get(name) is not None}

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and pick up the gradients."""
        grads = getattr(self.layer, self._convention.grads, {})
        if self._convention.accumulates:
            for name, value in grads.items():
                grads[name] = np.zeros_like(value)
        grad_input = self.grad_input(grad_output)
        names = self._convention.shapes
        grads = getattr(self.layer, self._convention.grads, {})
        return {"grad_input": grad_input} | {f"{name}.grad": grads.get(name) for name in names}


@dataclass(frozen=True)
class Attributes(_Object):
    """``forward(x)``, ``backward(grad_output)``, and an attribute for each parameter and each gradient, such as ``W`` and ``dW``.

    Parameters
    ----------
    layer : object
    params : sequence of str
        The attributes that are parameters.
    grad : str
        How the attribute of a gradient is called, with ``{}`` for the parameter.
    forward, backward : str
    accumulates, one_sample : bool
        As for :class:`Dicts`.
    """

    params: Sequence[str] = ()
    grad: str = "d{}"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "params", (self.params,) if isinstance(self.params, str) else tuple(self.params))
        missing = [name for name in self.params if not hasattr(self.layer, name)]
        if missing:
            arrays = ", ".join(array_attributes(self.layer)) or "none"
            raise ConventionError(f"{type(self.layer).__name__} has no attribute {missing[0]!r}; its arrays: {arrays}")

    def _methods(self) -> tuple[str, str]:
        return self.forward, self.backward

    @property
    def keeps(self) -> frozenset[str]:
        """The cache and the gradients."""
        return frozenset({"cache", "grads", *(["sum"] if self.accumulates else [])})

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the attributes."""
        return {name: np.shape(getattr(self.layer, name)) for name in self.params}

    def instance(self) -> Instance:
        """Return a copy of the layer."""
        return _AttributesInstance(copied(self.layer), self)

    def live(self) -> _AttributesInstance:
        """Return the layer itself, for who listens to its training."""
        return _AttributesInstance(self.layer, self)


class _AttributesInstance(_Methods):
    def __init__(self, layer: Any, convention: Attributes) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._convention = convention

    def load(self, params: Arrays) -> None:
        """Set the attributes."""
        for name, value in params.items():
            setattr(self.layer, name, placed(getattr(self.layer, name), value))

    def params(self) -> dict[str, Array]:
        """Return the parameters as they are, not copied."""
        return {name: getattr(self.layer, name) for name in self._convention.params}

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        names = {f"{name}.grad": self._convention.grad.format(name) for name in self._convention.params}
        return {key: np.asarray(getattr(self.layer, grad)) for key, grad in names.items() if getattr(self.layer, grad, None) is not None}

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and pick up the gradients."""
        names = {name: self._convention.grad.format(name) for name in self._convention.params}
        if self._convention.accumulates:
            for grad in names.values():
                if hasattr(self.layer, grad):
                    setattr(self.layer, grad, np.zeros_like(getattr(self.layer, grad)))
        grad_input = self.grad_input(grad_output)
        return {"grad_input": grad_input} | {f"{name}.grad": getattr(self.layer, grad, None) for name, grad in names.items()}


@dataclass(frozen=True)
class Updating(_Object):
    """``forward(x)`` and ``backprop(grad_output, learn_rate)``, which updates the parameters at once and stores no gradient.

    The gradient is read off the change of the parameters at a learning rate of 2^40; the two subtractions that this takes are added to the
    tolerance.

    Parameters
    ----------
    layer : object
    params : sequence of str
        The attributes that are parameters.
    forward, backward : str
    one_sample : bool
        The convention's usual code takes one sample at a time.
    """

    params: Sequence[str] = ()
    forward: str = "forward"
    backward: str = "backprop"
    one_sample: bool = True
    may_lack: frozenset[str] = field(default=frozenset({"grad_input"}), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "params", (self.params,) if isinstance(self.params, str) else tuple(self.params))
        for name in self.params:
            if not isinstance(getattr(self.layer, name, None), np.ndarray):
                arrays = ", ".join(array_attributes(self.layer)) or "none"
                raise ConventionError(f"{type(self.layer).__name__} has no array {name!r}; its arrays: {arrays}")

    def _methods(self) -> tuple[str, str]:
        return self.forward, self.backward

    @property
    def keeps(self) -> frozenset[str]:
        """The cache alone."""
        return frozenset({"cache"})

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the attributes."""
        return {name: np.shape(getattr(self.layer, name)) for name in self.params}

    def instance(self) -> Instance:
        """Return a copy of the layer."""
        return _UpdatingInstance(copied(self.layer), self)

    def live(self) -> _UpdatingInstance:
        """Return the layer itself, for who listens to its training."""
        return _UpdatingInstance(self.layer, self)

    def ahead(self, layer: Any, grad_output: Array) -> dict[str, Any]:
        """Return the parameters' gradients that a layer is about to update with, computed on a copy of it."""
        read = _UpdatingInstance(copied(layer), self).backward(grad_output)
        return {quantity: value for quantity, value in read.items() if quantity != "grad_input"}

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return the rounding of the two subtractions that a gradient is read through."""
        return Bound(size + np.abs(param).astype(np.float64) / READING_RATE, 2.0)


class _UpdatingInstance(_Methods):
    def __init__(self, layer: Any, convention: Updating) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._convention = convention

    def params(self) -> dict[str, Array]:
        """Return the parameters as they are, not copied."""
        return {name: getattr(self.layer, name) for name in self._convention.params}

    def stored(self) -> dict[str, Array]:
        """Return nothing: this convention stores no gradients."""
        return {}

    def load(self, params: Arrays) -> None:
        """Set the attributes."""
        for name, value in params.items():
            setattr(self.layer, name, placed(getattr(self.layer, name), value))

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass, read the gradients off the update, and put the parameters back."""
        names = self._convention.params
        before = {name: np.array(getattr(self.layer, name)) for name in names}
        rate = (READING_RATE,) if _arguments(self._backward) > 1 else ()
        result = {"grad_input": self._backward(grad_output, *rate)}
        for name in names:
            moved = np.asarray(before[name] - getattr(self.layer, name))
            result[f"{name}.grad"] = moved / before[name].dtype.type(READING_RATE)
            setattr(self.layer, name, before[name])
        return result


def array_attributes(layer: Any) -> list[str]:
    """Return the names of an object's attributes that are arrays of floating-point numbers."""
    return [name for name, value in getattr(layer, "__dict__", {}).items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
