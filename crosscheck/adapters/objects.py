"""Adapters for layer objects with a forward and a backward method; gradients are in a dict, in attributes, or not stored by the layer."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention, ConventionError, Instance, copied, expect_instance, method, positional, scaled, takes
from crosscheck.adapters.kept import elsewhere
from crosscheck.adapters.modes import Modes
from crosscheck.adapters.object_graph import written
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.operation import Arrays, Shape
from crosscheck.core.precision import Array, Bound

READING_RATE = 2.0**40
"""The learning rate at which gradients are read from an update.

Multiplying and dividing by a power of two does not round. 2^40 is so large that subtracting the parameter hardly changes the gradient's last digits,
and still far below float32's largest number.
"""


class ObjectConvention(Convention):
    """A layer object, the names of its two methods, and the places where it stores parameters and gradients."""

    layer: Any
    forward: str
    backward: str
    accumulates: bool = False
    mask: str = ""
    reset: str = ""
    output: str = ""
    grad_input: str = ""

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        for name in filter(None, (self.forward, self.backward, self.reset)):
            method(self.layer, name)
        arrays = {name: value for name, value in self.params_in(self.layer).items() if isinstance(value, np.ndarray)}
        for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
            if np.shares_memory(a, b):
                raise ConventionError(
                    f"{self.title}'s parameters {one!r} and {other!r} share one array, so that they cannot have different values; "
                    f"declare only {one!r}, and compare with a reference that has this parameter once"
                )

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters of ``layer``, which is the declared layer or a copy of it, without copying them."""
        raise NotImplementedError

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Set one parameter of ``layer``."""
        raise NotImplementedError

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients that ``layer`` stores, by the parameters' names; None for a missing gradient."""
        raise NotImplementedError

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Set the stored gradient of one parameter of ``layer``."""
        raise NotImplementedError

    def buffers_in(self, layer: Any) -> Any:
        """Return the dict of buffers of ``layer``; empty if the layer has none, because buffers can also be attributes."""
        return {}

    def split(self, result: Any) -> tuple[Any, dict[str, Any]]:
        """Return the input's gradient, and gradients of parameters by name, of what the backward method returned."""
        return result, {}

    def looked_for(self, layer: Any, name: str) -> str:
        """Return a sentence for errors that says where the gradient of a parameter was expected, and what was found."""
        return ""

    def declared(self, **further: Any) -> str:
        """Return the expression that declares this adapter with further options."""
        assert dataclasses.is_dataclass(self)
        options = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "layer" and one.repr}
        defaults = {one.name: one.default for one in dataclasses.fields(self)}
        given = {name: value for name, value in (options | further).items() if value != defaults[name]}
        return f"{type(self).__name__}({', '.join(['layer', *(f'{name}={value!r}' for name, value in given.items())])})"

    @property
    def keeps(self) -> frozenset[str]:
        """The kinds of values that the layer stores between calls: cache, gradients and, if gradients accumulate, their sum."""
        return frozenset({"cache", "grads", *(["sum"] if self.accumulates else [])})

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the methods are defined."""
        return {"forward": source(getattr(self.layer, self.forward)), "backward": source(getattr(self.layer, self.backward))}

    @property
    def title(self) -> str:
        """The class's name."""
        return type(self.layer).__name__

    @property
    def arguments(self) -> list[inspect.Parameter]:
        """The positional arguments of the forward method."""
        return positional(getattr(self.layer, self.forward))

    def upstream(self, outputs: int) -> int:
        """Return how many upstream gradients the backward method takes."""
        return max(1, takes(positional(getattr(self.layer, self.backward)), outputs))

    def live(self) -> ObjectInstance:
        """Return the layer itself as an instance, to observe it while it trains."""
        return ObjectInstance(self.layer, self)

    def instance(self) -> ObjectInstance:
        """Return a copy of the layer as an instance."""
        instance = self.live()
        instance.layer = copied(self.layer)
        return instance


class ObjectInstance(Instance):
    """A layer object that is called as its convention says."""

    modes = Modes()

    def __init__(self, layer: Any, convention: ObjectConvention) -> None:
        self.layer, self.convention = layer, convention

    def params(self) -> dict[str, Any]:
        """Return the parameters without copying them."""
        return self.convention.params_in(self.layer)

    def stored(self) -> dict[str, Array]:
        """Return the gradients that the layer stores, without copying them."""
        return {f"{name}.grad": np.asarray(value) for name, value in self.convention.grads_in(self.layer).items() if value is not None}

    def looked_for(self, quantity: str) -> str:
        """Return a sentence that says where a gradient was expected, and what was found."""
        return self.convention.looked_for(self.layer, quantity.removesuffix(".grad"))

    def load(self, params: Arrays) -> None:
        """Set the parameters, and convert stored gradients to the precision of the new parameters.

        Values are written into the existing arrays. If an array has a different shape or precision, a new array replaces the old one wherever the
        layer refers to it, because parts of the layer may hold the same array under other names.
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
            raise SubjectError(f"setting the parameters {', '.join(lost)} had no effect: reading them back gives other values")

    def buffers(self) -> Mapping[str, Any]:
        """Return everything that may be a buffer, without copying: the layer's attributes and the entries of its dict of buffers."""
        return {**getattr(self.layer, "__dict__", {}), **self.convention.buffers_in(self.layer)}

    def load_buffers(self, buffers: Arrays) -> None:
        """Set buffers; existing arrays with the same shape and precision are overwritten, others replaced."""
        store = self.convention.buffers_in(self.layer)
        for name, value in buffers.items():
            if written(store[name] if name in store else getattr(self.layer, name, None), value):
                continue
            if name in store:
                store[name] = value
            else:
                setattr(self.layer, name, value)

    def switch(self, training: bool) -> bool:
        """Turn training mode on or off, and return whether the layer has modes."""
        self.modes = Modes.of(self.layer, getattr(self.layer, self.convention.forward), training)
        return self.modes.exist

    def forward(self, *arguments: Any) -> Any:
        """Run the forward pass, after a reset if one is declared; a loss also gets the labels, a dropout layer its mask."""
        if self.convention.reset:
            getattr(self.layer, self.convention.reset)()
        return self._left(getattr(self.layer, self.convention.forward)(*arguments, **self.modes.arguments), self.convention.output)

    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Run the backward pass and return the gradients; gradients that accumulate are cleared first."""
        if self.convention.accumulates:
            for name, value in self.convention.grads_in(self.layer).items():
                if value is not None:
                    self.convention.put_grad(self.layer, name, np.zeros_like(value))
        return self.accumulate(*grad_outputs)

    def accumulate(self, *grad_outputs: Array) -> dict[str, Any]:
        """Run the backward pass without clearing gradients, and return the gradients.

        If the backward method takes no ``grad_output``, as the backward method of a loss may, its result is multiplied by ``grad_output``.
        """
        backward = getattr(self.layer, self.convention.backward)
        result = backward(*grad_outputs) if positional(backward) else scaled(backward(), grad_outputs[0])
        grad_input, returned = self.convention.split(self._left(result, self.convention.grad_input))
        return {"grad_input": grad_input} | {f"{name}.grad": value for name, value in (self.convention.grads_in(self.layer) | returned).items()}

    def _left(self, result: Any, attribute: str) -> Any:
        """Return the result of a method, or what it left in an attribute if it returned nothing."""
        return getattr(self.layer, attribute, None) if result is None and attribute else result


@dataclass(frozen=True)
class Dicts(ObjectConvention):
    """``forward(x)``, ``backward(grad_output)``, and parameters and gradients in two dicts with the same keys.

    It is also for layers without parameters and for losses: ``forward(logits, labels)`` and ``backward()`` or ``backward(grad_output)``.

    Parameters
    ----------
    layer : object
        The layer. It is copied for each call, and never changed.
    params, grads : str
        Names of the attributes that hold the dicts.
    forward, backward : str
        Names of the methods.
    accumulates : bool
        Whether ``backward`` is meant to add to existing gradients; if so, the harness clears them before each call.
    one_sample : bool
        Whether the methods take one sample at a time.
    buffers : str
        Name of the attribute that holds the dict of buffers, such as running statistics.
    mask : str
        Name of the attribute where a dropout layer stores its mask (true or 1 = kept). Its ``forward`` must also accept a mask as second argument.
        Leave empty if the layer is not a dropout layer.
    reset : str
        Name of a method without arguments that is called before each forward pass, for a layer that keeps a state from call to call, such as the
        hidden state of a recurrent layer.
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
    reset: str = ""

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the arrays in the dict of parameters; empty if the layer has no such dict."""
        found = getattr(self.layer, self.params, None)
        return {name: np.shape(value) for name, value in found.items()} if isinstance(found, Mapping) else {}

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters in the dict, without keys that were added after the layer was declared."""
        store = getattr(layer, self.params, {})
        return {name: store[name] for name in self.shapes}

    def put(self, layer: Any, name: str, value: Array) -> None:
        """Put a parameter into the dict."""
        getattr(layer, self.params)[name] = value

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients in the dict."""
        if not self.shapes:
            return {}
        grads = getattr(layer, self.grads, {})
        if not isinstance(grads, Mapping):
            raise SubjectError(f"{self.title}.{self.grads} is a {type(grads).__name__}, expected a dict with the keys of {self.title}.{self.params}")
        return {name: grads.get(name) for name in self.shapes}

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Put a gradient into the dict."""
        getattr(layer, self.grads)[name] = value

    def buffers_in(self, layer: Any) -> Any:
        """Return the dict of buffers; empty if the layer has none."""
        found = getattr(layer, self.buffers, {})
        return found if isinstance(found, Mapping) else {}

    def looked_for(self, layer: Any, name: str) -> str:
        """Return a sentence that says which entry of the dict was expected, and which entries the dict has."""
        grads = ", ".join(map(repr, getattr(layer, self.grads, {}))) or "no entries"
        return f"expected in {self.title}.{self.grads}[{name!r}]; {self.title}.{self.grads} has {grads}"


class _InAttributes(ObjectConvention):
    """A layer that stores each parameter in an attribute."""

    params: Sequence[str]

    def __post_init__(self) -> None:
        expect_instance(self.layer)
        object.__setattr__(self, "params", (self.params,) if isinstance(self.params, str) else tuple(self.params))
        self._expect_attributes(hasattr)
        super().__post_init__()

    def _expect_attributes(self, has: Callable[[Any, str], bool]) -> None:
        if missing := next((name for name in self.params if not has(self.layer, name)), None):
            arrays = array_attributes(self.layer)
            own, shown = [name for name in self.params if name in arrays], ", ".join(arrays) or "none"
            line = self.declared(params=tuple(own or arrays))
            raise ConventionError(
                f"{self.title} has no array {missing!r}, which params lists; its arrays are {shown}; list the parameters:\n    subject={line}"
            )

    @property
    def shapes(self) -> dict[str, Shape | None]:
        """The shapes of the parameters."""
        return {name: np.shape(value) for name, value in self.params_in(self.layer).items()}

    def params_in(self, layer: Any) -> dict[str, Any]:
        """Return the parameters, which are attributes."""
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
        Names of the attributes that are parameters.
    grad : str
        Name of the attribute that holds a gradient, with ``{}`` in place of the parameter's name.
    forward, backward, accumulates, one_sample, reset
        As for :class:`Dicts`.
    """

    layer: Any
    params: Sequence[str] = ()
    grad: str = "d{}"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False
    reset: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{}" not in self.grad:
            raise ConventionError(f"grad is {self.grad!r}, expected the name of a gradient's attribute with {{}} for the parameter, such as 'd{{}}'")

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return the gradients, which are attributes; None for a missing attribute."""
        return {name: getattr(layer, self.grad.format(name), None) for name in self.params}

    def put_grad(self, layer: Any, name: str, value: Array) -> None:
        """Set the attribute that holds a gradient."""
        setattr(layer, self.grad.format(name), value)

    def looked_for(self, layer: Any, name: str) -> str:
        """Return a sentence that says which attribute was expected, and lines that declare another, the likeliest first."""
        grads = {other: self.grad.format(other) for other in self.params}
        return f"expected in {self.title}.{grads[name]}; {elsewhere(layer, grads, name, self.shapes[name])}"


@dataclass(frozen=True)
class Updating(_InAttributes):
    """``forward(x)`` and ``backprop(grad_output, learn_rate)``, which updates the parameters at once and stores no gradient.

    The gradient is measured: it is the change of the parameters at a learning rate of 2^40, divided by this rate. The tolerance allows for the
    rounding of the two subtractions that this measurement needs.

    Parameters
    ----------
    params : sequence of str
        Names of the attributes that are parameters.
    forward, backward : str
        Names of the methods.
    one_sample : bool
        Whether the methods take one sample at a time, as code of this convention usually does.
    """

    layer: Any
    params: Sequence[str] = ()
    forward: str = "forward"
    backward: str = "backprop"
    one_sample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect_attributes(lambda layer, name: isinstance(getattr(layer, name), np.ndarray))
        if self.params and len(positional(getattr(self.layer, self.backward))) < 2:
            raise ConventionError(
                f"{self.title}.{self.backward} takes no learning rate, expected {self.backward}(grad_output, learn_rate): "
                f"the gradients of {', '.join(self.params)} are read from an update at a known rate"
            )

    @property
    def keeps(self) -> frozenset[str]:
        """The kinds of values that the layer stores between calls: only the cache, not gradients."""
        return frozenset({"cache"})

    @property
    def may_lack(self) -> frozenset[str]:
        """The quantities that may be None: the input gradient, because the first layer of a network need not compute it."""
        return frozenset({"grad_input"})

    def live(self) -> _UpdatingInstance:
        """Return the layer itself as an instance, to observe it while it trains."""
        return _UpdatingInstance(self.layer, self)

    def grads_in(self, layer: Any) -> dict[str, Any]:
        """Return an empty dict, because this convention stores no gradients."""
        return {}

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return a bound of the rounding error of two subtractions: one in the update, and one in computing the gradient from the update."""
        return Bound(size + np.abs(param).astype(np.float64) / READING_RATE, 2.0)


class _UpdatingInstance(ObjectInstance):
    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Run the backward pass, read the gradients from the update, and restore the parameters."""
        before = {name: np.array(value) for name, value in self.params().items()}
        backward = getattr(self.layer, self.convention.backward)
        rate = (READING_RATE,) if len(positional(backward)) > 1 else ()
        result = {"grad_input": backward(*grad_outputs, *rate)}
        for name, value in before.items():
            moved = np.asarray(value - getattr(self.layer, name))
            result[f"{name}.grad"] = moved / value.dtype.type(READING_RATE)
            setattr(self.layer, name, value)
        return result


def array_attributes(layer: Any) -> list[str]:
    """Return the names of an object's attributes that are arrays of floating-point numbers."""
    return [name for name, value in getattr(layer, "__dict__", {}).items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
