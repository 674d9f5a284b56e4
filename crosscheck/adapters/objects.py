"""Objects with a forward and a backward method: gradients in a dict, in attributes, or nowhere because backward updates at once."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention, ConventionError, Instance, copied, expect_instance, method, scaled
from crosscheck.adapters.modes import Modes
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.operation import Arrays, Constants, Shape
from crosscheck.core.precision import Array, Bound

READING_RATE = 2.0**40
"""The learning rate that gradients are read off an update with.

A power of two multiplies and divides without rounding; this one is so large that the parameter itself, subtracted and added, hardly touches the
gradient's last digits, and far from float32's largest number.
"""


class ObjectConvention(Convention):
    """An object, the names of its two methods, and where it holds its parameters and gradients."""

    layer: Any
    forward: str
    backward: str
    accumulates: bool = False
    mask: str = ""

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        method(self.layer, self.forward)
        method(self.layer, self.backward)
        arrays = {name: value for name, value in self.params_in(self.layer).items() if isinstance(value, np.ndarray)}
        for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
            if np.shares_memory(a, b):
                raise ConventionError(
                    f"{self.title}'s parameters {one!r} and {other!r} are one and the same array, which cannot have two values; "
                    "leave one of them out, and compare with a reference that has it once"
                )

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters of a copy of the layer as they are, not copied."""
        raise NotImplementedError

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Set one parameter."""
        raise NotImplementedError

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients that are in a copy of the layer, by the parameters' names; None for one that is not there."""
        raise NotImplementedError

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Set the gradient of one parameter, by a convention that stores them."""
        raise NotImplementedError

    def kept_in(self, layer: Any) -> Any:
        """Return the dict of what the layer keeps from step to step, beside its attributes."""
        return {}

    def looked_for(self, layer: Any, name: str) -> str:
        """Return where the gradient of a parameter was looked for, and what is there instead."""
        return ""

    @property
    def keeps(self) -> frozenset[str]:
        """The cache and the gradients."""
        return frozenset({"cache", "grads", *(["sum"] if self.accumulates else [])})

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the methods are defined."""
        return {"forward": source(getattr(self.layer, self.forward)), "backward": source(getattr(self.layer, self.backward))}

    @property
    def title(self) -> str:
        """The class's name."""
        return type(self.layer).__name__

    def live(self) -> ObjectInstance:
        """Return the layer itself, to observe it while it trains."""
        return ObjectInstance(self.layer, self)

    def instance(self) -> ObjectInstance:
        """Return a copy of the layer."""
        instance = self.live()
        instance.layer = copied(self.layer)
        return instance


class ObjectInstance(Instance):
    """A layer object with a convention that says where everything is."""

    modes = Modes()

    def __init__(self, layer: Any, convention: ObjectConvention) -> None:
        self.layer, self.convention = layer, convention

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are, not copied."""
        return self.convention.params_in(self.layer)

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        return {f"{name}.grad": np.asarray(value) for name, value in self.convention.grads_in(self.layer).items() if value is not None}

    def looked_for(self, quantity: str) -> str:
        """Return where a gradient was looked for, and what is there instead."""
        return self.convention.looked_for(self.layer, quantity.removesuffix(".grad"))

    def load(self, params: Arrays) -> None:
        """Set the parameters, and bring the gradients that are there into their precision, as in a layer that was made in it.

        Values are written into the arrays that are there. Where they do not fit, as in another precision, a new array takes the old one's place
        wherever the layer refers to it: its parts may hold it under names of their own.
        """
        before, grads, instead = self.params(), self.stored(), dict[int, Array]()
        for name, value in params.items():
            if not written(before.get(name), value):
                instead[id(before.get(name))] = value
            grad = grads.get(f"{name}.grad")
            if grad is not None and grad.dtype.kind == "f" and grad.dtype != value.dtype:
                instead[id(grad)] = grad.astype(value.dtype)
        if instead:
            self.layer = copied(self.layer, instead)
        after = self.params()
        for name, value in params.items():
            if id(before.get(name)) in instead and after.get(name) is not value:
                self.convention.put(self.layer, name, value)
        kept = self.params()
        if lost := [name for name, value in params.items() if not np.array_equal(kept[name], value, equal_nan=True)]:
            raise SubjectError(f"parameters that are set do not stay: {', '.join(lost)}")

    def buffers(self) -> Mapping[str, Any]:
        """Return everything that the layer may keep from step to step, not copied: its attributes, and what is in the dict for it."""
        return {**getattr(self.layer, "__dict__", {}), **self.convention.kept_in(self.layer)}

    def load_buffers(self, buffers: Arrays) -> None:
        """Set what the layer keeps from step to step, in the arrays that are there where it fits."""
        store = self.convention.kept_in(self.layer)
        for name, value in buffers.items():
            if written(store[name] if name in store else getattr(self.layer, name, None), value):
                continue
            if name in store:
                store[name] = value
            else:
                setattr(self.layer, name, value)

    def switch(self, training: bool) -> bool:
        """Turn training mode on or off and return whether there is such a thing."""
        self.modes = Modes.of(self.layer, getattr(self.layer, self.convention.forward), training)
        return self.modes.exist

    def forward(self, x: Array, constants: Constants) -> Any:
        """Run the forward pass, a loss's with the labels, a dropout's with its mask."""
        return getattr(self.layer, self.convention.forward)(x, *constants.values(), **self.modes.arguments)

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and pick up the gradients; those that add up are cleared before."""
        if self.convention.accumulates:
            for name, value in self.convention.grads_in(self.layer).items():
                if value is not None:
                    self.convention.put_grad(self.layer, name, np.zeros_like(value))
        return self.accumulate(grad_output)

    def accumulate(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass on top of the gradients that are there, and pick them up.

        The backward method of a loss takes no cotangent; what it returns is multiplied by it.
        """
        backward = getattr(self.layer, self.convention.backward)
        grad_input = backward(grad_output) if _arguments(backward) else scaled(backward(), grad_output)
        return {"grad_input": grad_input} | {f"{name}.grad": value for name, value in self.convention.grads_in(self.layer).items()}


@dataclass(frozen=True)
class Dicts(ObjectConvention):
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
    buffers : str
        Name of the attribute that holds the dict of what the layer keeps from step to step, such as running statistics.
    mask : str
        Name of the attribute in which a dropout leaves the mask that it drew, true or 1 where an element was kept; ``forward`` takes a mask as its
        second argument. Empty where the layer is no dropout.
    """

    layer: Any
    params: str = "params"
    grads: str = "grads"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False
    buffers: str = "buffers"
    mask: str = ""

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the arrays in the dict of parameters; none where the layer has no such dict."""
        found = getattr(self.layer, self.params, None)
        return {name: np.shape(value) for name, value in found.items()} if isinstance(found, Mapping) else {}

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters in the dict, those that it had when it was declared."""
        store = getattr(layer, self.params, {})
        return {name: store[name] for name in self.shapes}

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Put a parameter into the dict."""
        getattr(layer, self.params)[name] = value

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients in the dict."""
        grads = getattr(layer, self.grads, {})
        if not isinstance(grads, Mapping):
            raise SubjectError(f"{self.grads} is a {type(grads).__name__}, expected a dict with the keys of {self.params}")
        return {name: grads.get(name) for name in self.shapes}

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Put a gradient into the dict."""
        getattr(layer, self.grads)[name] = value

    def kept_in(self, layer: Any) -> Any:
        """Return the dict of what the layer keeps from step to step."""
        found = getattr(layer, self.buffers, {})
        return found if isinstance(found, Mapping) else {}

    def looked_for(self, layer: Any, name: str) -> str:
        """Return which entry was looked for, and which there are."""
        grads = ", ".join(map(repr, getattr(layer, self.grads, {}))) or "nothing"
        return f"looked for {self.grads}[{name!r}]; {self.grads} holds {grads}"


class _InAttributes(ObjectConvention):
    """A layer whose parameters are attributes."""

    params: Sequence[str]

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        object.__setattr__(self, "params", (self.params,) if isinstance(self.params, str) else tuple(self.params))
        self._expect_attributes(hasattr)
        super().__post_init__()

    def _expect_attributes(self, has: Callable[[Any, str], bool]) -> None:
        if missing := next((name for name in self.params if not has(self.layer, name)), None):
            arrays = ", ".join(array_attributes(self.layer)) or "none"
            raise ConventionError(f"{self.title} has no attribute {missing!r} for a parameter; its arrays: {arrays}")

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the attributes."""
        return {name: np.shape(value) for name, value in self.params_in(self.layer).items()}

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the attributes."""
        return {name: getattr(layer, name) for name in self.params}

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Set an attribute."""
        setattr(layer, name, value)


@dataclass(frozen=True)
class Attributes(_InAttributes):
    """``forward(x)``, ``backward(grad_output)``, and an attribute for each parameter and each gradient, such as ``W`` and ``dW``.

    Parameters
    ----------
    params : sequence of str
        The attributes that are parameters.
    grad : str
        How the attribute of a gradient is called, with ``{}`` for the parameter.
    forward, backward, accumulates, one_sample
        As for :class:`Dicts`.
    """

    layer: Any
    params: Sequence[str] = ()
    grad: str = "d{}"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{}" not in self.grad:
            raise ConventionError(f"grad is {self.grad!r}, expected the name of a gradient with {{}} for its parameter's, such as 'd{{}}'")

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the attributes that hold gradients."""
        return {name: getattr(layer, self.grad.format(name), None) for name in self.params}

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Set the attribute that holds a gradient."""
        setattr(layer, self.grad.format(name), value)

    def looked_for(self, layer: Any, name: str) -> str:
        """Return which attribute was looked for, and which arrays there are."""
        grad, arrays = self.grad.format(name), ", ".join(array_attributes(layer)) or "none"
        return (
            f"looked for the attribute {grad!r}; the layer's arrays are {arrays}; another name is declared, such as Attributes(..., grad='{{}}_grad')"
        )


@dataclass(frozen=True)
class Updating(_InAttributes):
    """``forward(x)`` and ``backprop(grad_output, learn_rate)``, which updates the parameters at once and stores no gradient.

    The gradient is read off the change of the parameters at a learning rate of 2^40; the two subtractions that this takes are added to the
    tolerance.

    Parameters
    ----------
    params : sequence of str
        The attributes that are parameters.
    forward, backward : str
        Names of the methods.
    one_sample : bool
        Code of this convention usually takes one sample at a time.
    """

    layer: Any
    params: Sequence[str] = ()
    forward: str = "forward"
    backward: str = "backprop"
    one_sample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect_attributes(lambda layer, name: isinstance(getattr(layer, name), np.ndarray))
        if self.params and _arguments(getattr(self.layer, self.backward)) < 2:
            raise ConventionError(
                f"{type(self.layer).__name__}.{self.backward} takes no learning rate, through which the gradients of {', '.join(self.params)} "
                f"are read; expected {self.backward}(grad_output, learn_rate)"
            )

    @property
    def keeps(self) -> frozenset[str]:
        """The cache only."""
        return frozenset({"cache"})

    @property
    def may_lack(self) -> frozenset[str]:
        """The input's gradient: a network's first layer needs none."""
        return frozenset({"grad_input"})

    def live(self) -> _UpdatingInstance:
        """Return the layer itself, to observe it while it trains."""
        return _UpdatingInstance(self.layer, self)

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return nothing: this convention stores no gradients."""
        return {}

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return the rounding of the two subtractions that a gradient is read through."""
        return Bound(size + np.abs(param).astype(np.float64) / READING_RATE, 2.0)


class _UpdatingInstance(ObjectInstance):
    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass, read the gradients off the update, and put the parameters back."""
        before = {name: np.array(value) for name, value in self.params().items()}
        backward = getattr(self.layer, self.convention.backward)
        rate = (READING_RATE,) if _arguments(backward) > 1 else ()
        result = {"grad_input": backward(grad_output, *rate)}
        for name, value in before.items():
            moved = np.asarray(value - getattr(self.layer, name))
            result[f"{name}.grad"] = moved / value.dtype.type(READING_RATE)
            setattr(self.layer, name, value)
        return result


LayerObject = Dicts | Attributes | Updating


def written(existing: Any, value: Array) -> bool:
    """Write a value into what is there and return True, or return False where it does not fit into it."""
    fits = isinstance(existing, np.ndarray) and existing.shape == value.shape and existing.dtype == value.dtype and bool(existing.flags.writeable)
    if fits:
        existing[...] = value
    return fits


def array_attributes(layer: Any) -> list[str]:
    """Return the names of an object's attributes that are arrays of floating-point numbers."""
    return [name for name, value in getattr(layer, "__dict__", {}).items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]


def _arguments(function: Any) -> int:
    """Return how many positional arguments a bound method takes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values())
