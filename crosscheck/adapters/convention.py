"""What all conventions share: how a layer under test is made, given its parameters and called.

An adapter describes a convention and makes instances of the subject. An instance is called the way its own program calls it: forward, then backward,
with arrays in its own layout. :class:`~crosscheck.adapters.adapted_layer.AdaptedLayer` turns any of them into one pure function.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Protocol

import numpy as np

from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.operation import Arrays, Constants, Shape
from crosscheck.core.precision import Array, Bound


class ConventionError(ValueError):
    """The subject does not follow the convention that was declared for it."""


class Instance(Protocol):
    """One layer that was never used before."""

    def load(self, params: Arrays) -> None:
        """Set the parameters."""

    def forward(self, x: Array, constants: Constants) -> Any:
        """Run the forward pass and return whatever it gives for the output."""

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and return ``grad_input`` and ``NAME.grad``, as they are, not copied."""

    def looked_for(self, quantity: str) -> str:
        """Return where a gradient was looked for, and what is there replacements; empty where it is not stored."""
        return ""

    def buffers(self) -> Mapping[str, Any]:
        """Return what the layer keeps from step to step, such as running statistics, as it is, not copied."""
        return {}

    def load_buffers(self, buffers: Arrays) -> None:
        """Set what the layer keeps from step to step."""
        assert not buffers

    def switch(self, training: bool) -> bool:
        """Turn training mode on or off and return whether there are modes."""
        return False


class Convention(Protocol):
    """A subject and how it is called."""

    @property
    def one_sample(self) -> bool:
        """Whether it takes one sample at a time; the harness then batches it."""

    @property
    def keeps(self) -> frozenset[str]:
        """What stays in an instance between calls.

        ``"cache"`` where backward uses what the forward pass before it has left, ``"grads"`` where gradients stay in the layer until they are
        replaced, ``"sum"`` where they are added up until they are cleared.
        """
        return frozenset()

    @property
    def may_lack(self) -> frozenset[str]:
        """Quantities that code of this convention may leave out by returning None; they are passed over with the reason."""
        return frozenset()

    @property
    def shapes(self) -> Mapping[str, Shape | None]:
        """The shapes of the parameters by the subject's names; None for arguments, which have no shape of their own."""
        return {}

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the code of ``"forward"`` and ``"backward"`` stands."""

    @property
    def title(self) -> str:
        """What the report calls the subject."""

    def instance(self) -> Instance:
        """Return a fresh instance.

        Raises
        ------
        ConventionError
            If the subject cannot be copied.
        """

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return the error made in reading a gradient off the subject, or None where it is read as it is.

        Parameters
        ----------
        size : array
            The absolute gradient, added up over the samples.
        param : array
            The parameter.
        """
        return None


def copied(layer: Any, replacements: Mapping[int, Any] | None = None) -> Any:
    """Return a copy of the subject that shares nothing with it; objects with an ``id`` in ``replacements`` are replaced wherever it refers to them.

    Raises
    ------
    ConventionError
        If it cannot be copied, or a copy would go on using the original's arrays.
    """
    name = type(layer).__name__
    for attribute, value in getattr(layer, "__dict__", {}).items():
        if isinstance(value, FunctionType) and (variable := _captured(value, layer)):
            raise ConventionError(
                f"{name}.{attribute} is a function that captured {variable!r}; a copy of the layer would go on using the original's. "
                f"Each check needs a layer of its own: make {attribute!r} a method, or let it read {variable!r} off the layer"
            )
    try:
        with contained("copying"):
            # deepcopy writes to the dict that it is given.
            return copy.deepcopy(layer, dict(replacements or {}))
    except SubjectError as error:
        raise ConventionError(f"{name} cannot be copied ({error.reason}); each check needs a layer of its own") from error


def _captured(function: FunctionType, layer: Any) -> str:
    """Return the name under which a function captured one of the layer's arrays, or the layer; empty where there is none."""
    own = [layer]
    for held in vars(layer).values():
        own += held.values() if isinstance(held, Mapping) else [held]
    own = [value for value in own if value is layer or isinstance(value, np.ndarray)]
    captured = inspect.getclosurevars(function).nonlocals
    return next((name for name, value in captured.items() if any(value is array for array in own)), "")


def expect_instance(layer: Any) -> None:
    """Raise :class:`ConventionError` if a subject is a class."""
    if isinstance(layer, type):
        raise ConventionError(f"{layer.__name__} is a class, expected one of its instances: subject={layer.__name__}(...)")


def method(layer: Any, name: str) -> Any:
    """Return a method of the subject, or raise :class:`ConventionError` if there is none of that name."""
    found = getattr(layer, name, None)
    if not callable(found):
        raise ConventionError(f"{type(layer).__name__} has no method {name!r}; its methods: {methods_in_words(layer)}")
    return found


def methods_in_words(layer: Any) -> str:
    """Return the names of an object's public methods."""
    return ", ".join(name for name in dir(layer) if not name.startswith("_") and callable(getattr(layer, name, None))) or "none"


def title_of(function: Callable[..., Any]) -> str:
    """Return what reports call a function."""
    return getattr(function, "__name__", type(function).__name__)


def two_results(result: Any, title: str, expected: str) -> Sequence[Any]:
    """Return what a function returned, or raise :class:`SubjectError` if it is not two things."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        shown = f"{len(result)} values" if isinstance(result, tuple | list) else f"a {type(result).__name__}"
        raise SubjectError(f"{title} returned {shown}, expected {expected}")
    return result


def scaled(grad: Any, grad_output: Array) -> Any:
    """Return the gradient of a loss times its cotangent; what is no array is returned as it is, for the error to name it."""
    if not isinstance(grad, np.ndarray | np.generic) or (grad_output.ndim == 0 and grad_output == 1):
        return grad
    return np.asarray(grad) * grad_output
