"""Layers as pure functions of arrays.

Layers of the subject, the reference and the oracle all have the method :meth:`Operation.vjp`, so that the comparison can call them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision

Arrays = Mapping[str, Array]
Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Call:
    """The arguments of an operation: input, parameters and, for the backward pass, ``grad_output``.

    Attributes
    ----------
    x : array
        The input.
    params : mapping of str to array
        The parameters by name.
    grad_output : array, optional
        The cotangent; without it, only the forward pass is computed.
    constants : mapping of str to array
        Inputs without a gradient: the labels of a loss (``"labels"``), a dropout's mask (``"mask"``, true = kept), and ``"decisions"``, which imposes
        decisions at kinks that another run took (the input element that each output element was taken from, or the sign of each element).
    buffers : mapping of str to array
        State that the operation replaces by new values, such as the running statistics of a normalisation; it has no gradient.
    """

    x: Array
    params: Arrays = field(default_factory=dict)
    grad_output: Array | None = None
    constants: Constants = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)

    def astype(self, dtype: npt.DTypeLike) -> Call:
        """Return the same call with every float array in the given precision; arrays that already have this precision are not copied."""
        return self._each(lambda array: array.astype(dtype, copy=False))

    def copied(self) -> Call:
        """Return the same call with copies of all arrays, each in the memory order of its original."""
        constants = {name: value.copy(order="K") for name, value in self.constants.items()}
        return replace(self._each(lambda array: array.copy(order="K")), constants=constants)

    def magnitudes(self) -> Call:
        """Return the same call with every float array replaced by its absolute values."""
        return self._each(np.abs)

    def ones(self) -> Call:
        """Return a call with the same shapes in which every number is 1."""
        return self._each(np.ones_like)

    def _each(self, change: Callable[[Array], Array]) -> Call:
        """Return the same call with ``change`` applied to every float array."""
        params, buffers = ({name: change(value) for name, value in arrays.items()} for arrays in (self.params, self.buffers))
        return Call(change(self.x), params, None if self.grad_output is None else change(self.grad_output), self.constants, buffers)

    def decided(self, decisions: npt.NDArray[Any] | None) -> Call:
        """Return the same call with imposed decisions at kinks; the call itself if there are none."""
        return self if decisions is None else replace(self, constants={**self.constants, "decisions": decisions})

    def finite(self) -> bool:
        """Return whether all numbers of the call are finite."""
        arrays = [self.x, *self.params.values(), *self.buffers.values(), *([] if self.grad_output is None else [self.grad_output])]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def shapes(self) -> tuple[Any, ...]:
        """Return the shapes of input, parameters and upstream gradient as a hashable key."""
        return (self.x.shape, tuple((k, v.shape) for k, v in self.params.items()), None if self.grad_output is None else self.grad_output.shape)


class RefusedError(ValueError):
    """An operation cannot be applied to its arguments; the message says why."""


class Operation(Protocol):
    """One layer, of the subject or of a reference, as a pure function."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return ``output``, each buffer's new value and, if the call has a cotangent, ``grad_input`` and ``NAME.grad`` for each parameter.

        Raises
        ------
        RefusedError
            If a reference cannot be applied to these shapes.
        """


class Oracle(Operation, Protocol):
    """An operation that computes the expected values, and also knows the bounds of its rounding errors and its decisions at kinks."""

    @property
    def rounding(self) -> Rounding:
        """The error theory: it bounds the rounding errors of this operation and says how errors of its arguments propagate."""

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """Integer settings for fault models, such as ``kernel``, ``stride`` and ``padding``."""

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the operation's decisions at its kinks for an input, such as the sign of each element; None if it has no kinks."""


@dataclass(frozen=True)
class InTraining:
    """A reference that computes differently in training and in evaluation."""

    oracle: Oracle  # the oracle in training mode
    evaluation: Oracle
    buffers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # shapes of the running statistics, which training updates
    dropped: float | None = None  # the probability with which a dropout layer drops an element; the oracle uses the subject's mask


class Rounding(Protocol):
    """The error theory of one kind of operation."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return, for each quantity of ``result``, a bound of the error that a right implementation may make from exactly the inputs of ``call``."""

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return, to first order, the largest error of each quantity if the input and the cotangent have errors of up to these sizes.

        Errors are in multiples of the unit roundoff, so that they are not lost in the rounding of this computation itself.
        """


DTYPES = ("float64", "float32")


class PairError(ValueError):
    """A pair cannot be checked as declared; the message names the pair, what was found, what was expected and what to do."""


Labels = npt.NDArray[np.integer[Any]]


Shape = tuple[int, ...]
