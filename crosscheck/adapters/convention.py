"""What is common to all conventions: how a layer of somebody else's is made, given its parameters and called.

An adapter describes a convention and makes instances of the subject. An instance is called the way its own program calls it: forward, then backward,
with arrays in its own layout. :class:`~crosscheck.adapters.adapted.AdaptedLayer` turns any of them into one pure function.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from crosscheck.arithmetic import Array, Bound
from crosscheck.operation import Arrays, Constants

Shape = tuple[int, ...]


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


def copied(layer: Any) -> Any:
    """Return a copy of the subject that shares nothing with it."""
    try:
        return copy.deepcopy(layer)
    except Exception as error:
        raise ConventionError(f"{type(layer).__name__} cannot be copied ({error}); each check needs a layer of its own") from error


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


def placed(existing: Any, value: Array) -> Array:
    """Return a parameter's new value: written into the array that is there, which others may refer to, or a new one where it does not fit."""
    if isinstance(existing, np.ndarray) and existing.shape == value.shape and existing.dtype == value.dtype and existing.flags.writeable:
        existing[...] = value
        return existing
    return np.array(value, order="C")
