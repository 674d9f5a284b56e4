"""Objects with a forward and a backward method: gradients in a dict, in attributes, or nowhere because backward updates at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, Instance, copied, expect_instance, method
from crosscheck.adapters.objects_base import MethodsInstance, ObjectConvention, arguments, array_attributes, fits, names_of, no_such_array
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Shape
from crosscheck.core.precision import Array, Bound

READING_RATE = 2.0**40
"""The learning rate that gradients are read off an update with.

A power of two multiplies and divides without rounding; this one is so large that the parameter itself, subtracted and added, hardly touches the
gradient's last digits, and far from float32's largest number.
"""


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

    params: str = "params"
    grads: str = "grads"
    forward: str = "forward"
    backward: str = "backward"
    accumulates: bool = False
    one_sample: bool = False
    buffers: str = "buffers"
    mask: str = ""

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


class _DictsInstance(MethodsInstance):
    def __init__(self, layer: Any, convention: Dicts) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._convention = convention

    def looked_for(self, quantity: str) -> str:
        """Return which entry was looked for, and which there are."""
        grads = ", ".join(map(repr, self._grads())) or "nothing"
        return f"looked for {self._convention.grads}[{quantity.removesuffix('.grad')!r}]; {self._convention.grads} holds {grads}"

    def put(self, name: str, value: Array) -> None:
        """Put a parameter into the dict."""
        getattr(self.layer, self._convention.params)[name] = value

    def buffers(self) -> Mapping[str, Any]:
        """Return the layer's attributes, and what is in its dict of what it keeps from step to step."""
        return {**super().buffers(), **self._kept()}

    def _kept(self) -> Mapping[str, Any]:
        found = getattr(self.layer, self._convention.buffers, {})
        return found if isinstance(found, Mapping) else {}

    def put_buffer(self, name: str, value: Array) -> None:
        """Put one of them into the dict, or its numbers into the array that is there; an attribute where the dict has none of this name."""
        store: Any = self._kept()
        if name not in store:
            super().put_buffer(name, value)
        elif fits(store[name], value):
            store[name][...] = value
        else:
            store[name] = value

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are, not copied."""
        store = getattr(self.layer, self._convention.params, {})
        return {name: store[name] for name in self._convention.shapes}

    def _grads(self) -> Any:
        grads = getattr(self.layer, self._convention.grads, {})
        if not isinstance(grads, Mapping):
            where = self._convention.grads
            raise SubjectError(f"{where} is a {type(grads).__name__}, expected a dict with the keys of {self._convention.params}")
        return grads

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        grads = self._grads()
        return {f"{name}.grad": np.asarray(grads[name]) for name in self._convention.shapes if grads.get(name) is not None}

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and pick up the gradients, those that add up cleared before."""
        if self._convention.accumulates:
            grads = self._grads()
            grads.update({name: np.zeros_like(value) for name, value in grads.items() if value is not None})
        return self.accumulate(grad_output)

    def accumulate(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass on top of the gradients that are there, and pick them up."""
        grad_input = self.grad_input(grad_output)
        grads = self._grads()
        return {"grad_input": grad_input} | {f"{name}.grad": grads.get(name) for name in self._convention.shapes}


@dataclass(frozen=True)
class Attributes(ObjectConvention):
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
        expect_instance(self.layer)
        object.__setattr__(self, "params", names_of(self.params))
        for name in self.params:
            if not hasattr(self.layer, name):
                raise no_such_array(self.layer, name)
        if "{}" not in self.grad:
            raise ConventionError(f"grad is {self.grad!r}, expected the name of a gradient with {{}} for its parameter's, such as 'd{{}}'")
        super().__post_init__()

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


class _AttributesInstance(MethodsInstance):
    def __init__(self, layer: Any, convention: Attributes) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._accumulates = convention.accumulates
        self._grads = {name: convention.grad.format(name) for name in convention.params}

    def looked_for(self, quantity: str) -> str:
        """Return which attribute was looked for, and which arrays there are."""
        grad = self._grads[quantity.removesuffix(".grad")]
        arrays = ", ".join(array_attributes(self.layer)) or "none"
        return (
            f"looked for the attribute {grad!r}; the layer's arrays are {arrays}; another name is declared, such as Attributes(..., grad='{{}}_grad')"
        )

    def put(self, name: str, value: Array) -> None:
        """Set an attribute."""
        setattr(self.layer, name, value)

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are, not copied."""
        return {name: getattr(self.layer, name) for name in self._grads}

    def _found(self) -> dict[str, Any]:
        return {f"{name}.grad": getattr(self.layer, grad, None) for name, grad in self._grads.items()}

    def stored(self) -> dict[str, Array]:
        """Return the gradients that are in the layer now, not copied."""
        return {quantity: np.asarray(value) for quantity, value in self._found().items() if value is not None}

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and pick up the gradients, those that add up cleared before."""
        if self._accumulates:
            stored = self.stored()
            for name, grad in self._grads.items():
                if f"{name}.grad" in stored:
                    setattr(self.layer, grad, np.zeros_like(stored[f"{name}.grad"]))
        return self.accumulate(grad_output)

    def accumulate(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass on top of the gradients that are there, and pick them up."""
        return {"grad_input": self.grad_input(grad_output)} | self._found()


@dataclass(frozen=True)
class Updating(ObjectConvention):
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
        expect_instance(self.layer)
        object.__setattr__(self, "params", names_of(self.params))
        for name in self.params:
            if not isinstance(getattr(self.layer, name, None), np.ndarray):
                raise no_such_array(self.layer, name)
        super().__post_init__()
        if self.params and arguments(method(self.layer, self.backward)) < 2:
            raise ConventionError(
                f"{type(self.layer).__name__}.{self.backward} takes no learning rate, through which the gradients of {', '.join(self.params)} "
                f"are read; expected {self.backward}(grad_output, learn_rate)"
            )

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


class _UpdatingInstance(MethodsInstance):
    def __init__(self, layer: Any, convention: Updating) -> None:
        super().__init__(layer, convention.forward, convention.backward)
        self._params = convention.params

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are, not copied."""
        return {name: getattr(self.layer, name) for name in self._params}

    def stored(self) -> dict[str, Array]:
        """Return nothing: this convention stores no gradients."""
        return {}

    def put(self, name: str, value: Array) -> None:
        """Set an attribute."""
        setattr(self.layer, name, value)

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass, read the gradients off the update, and put the parameters back."""
        before = {name: np.array(value) for name, value in self.params().items()}
        backward = method(self.layer, self._backward)
        rate = (READING_RATE,) if arguments(backward) > 1 else ()
        result = {"grad_input": backward(grad_output, *rate)}
        for name, value in before.items():
            moved = np.asarray(value - getattr(self.layer, name))
            result[f"{name}.grad"] = moved / value.dtype.type(READING_RATE)
            setattr(self.layer, name, value)
        return result
