"""What is common to all conventions: how a layer of somebody else's is made, given its parameters and called.

An adapter describes a convention and makes instances of the subject. An instance is called the way its own program calls it: forward, then backward,
with arrays in its own layout. :class:`~crosscheck.adapters.adapted_layer.AdaptedLayer` turns any of them into one pure function.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Protocol

import numpy as np

from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.operation import Arrays, Constants, Shape
from crosscheck.core.precision import Array, Bound


class ConventionError(ValueError):
    """The subject is not of the convention that it was declared to be."""


class Instance(Protocol):
    """One layer that was never used before."""

    def load(self, params: Arrays) -> None:
        """Set the parameters."""

    def forward(self, x: Array, constants: Constants) -> Any:
        """Run the forward pass and return whatever it gives for the output."""

    def backward(self, grad_output: Array) -> dict[str, Any]:
        """Run the backward pass and return ``grad_input`` and ``NAME.grad``, as they are, not copied."""


class KeepingInstance(Instance, Protocol):
    """A layer that keeps something from step to step, such as running statistics."""

    def load_buffers(self, buffers: Arrays) -> None:
        """Set what the layer keeps from step to step."""

    def buffers(self) -> Mapping[str, Any]:
        """Return what the layer keeps from step to step, as it is, not copied."""


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

    @property
    def may_lack(self) -> frozenset[str]:
        """Quantities that code of this convention may leave out by returning None; they are passed over with the reason."""

    @property
    def shapes(self) -> Mapping[str, Shape | None]:
        """The shapes of the parameters by the subject's names; None for arguments, which have no shape of their own."""

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


def copied(layer: Any, instead: Mapping[int, Any] | None = None) -> Any:
    """Return a copy of the subject that shares nothing with it.

    Parameters
    ----------
    layer : object
    instead : mapping, optional
        By ``id``, what takes the place of an object wherever the subject refers to it.

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
            # The dict is deepcopy's to write to.
            return copy.deepcopy(layer, dict(instead or {}))
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
    """Make sure that a subject is no class.

    Raises
    ------
    ConventionError
        If it is one.
    """
    if isinstance(layer, type):
        raise ConventionError(f"{layer.__name__} is a class, expected one of its instances: subject={layer.__name__}(...)")


def expect_distinct(title: str, params: Mapping[str, Any]) -> None:
    """Make sure that no two parameters lie in the same memory.

    Raises
    ------
    ConventionError
        If two do: they cannot be given values of their own.
    """
    arrays = {name: value for name, value in params.items() if isinstance(value, np.ndarray)}
    for (one, a), (other, b) in itertools.combinations(arrays.items(), 2):
        if np.shares_memory(a, b):
            raise ConventionError(
                f"{title}'s parameters {one!r} and {other!r} are one and the same array, which cannot have two values; "
                "leave one of them out, and compare with a reference that has it once"
            )


def method(layer: Any, name: str) -> Any:
    """Return a method of the subject.

    Raises
    ------
    ConventionError
        If there is none of that name.
    """
    found = getattr(layer, name, None)
    if not callable(found):
        others = ", ".join(sorted(n for n in dir(layer) if not n.startswith("_") and callable(getattr(layer, n, None)))) or "none"
        raise ConventionError(f"{type(layer).__name__} has no method {name!r}; its methods: {others}")
    return found


def scaled(grad: Any, grad_output: Array) -> Any:
    """Return the gradient of a loss times its cotangent; what is no array is returned as it is, to be complained of under its own name."""
    if not isinstance(grad, np.ndarray | np.generic) or (grad_output.ndim == 0 and grad_output == 1):
        return grad
    return np.asarray(grad) * grad_output
