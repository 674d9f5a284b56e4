"""A layer is a function: everything under test is turned into one pure function of arrays.

The subject's layers, the reference's and the oracle's all have the method :meth:`Operation.vjp`; the comparison never learns who computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision

Arrays = Mapping[str, Array]
Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Call:
    """What an operation was given.

    Attributes
    ----------
    x : array
        The input.
    params : mapping of str to array
        The parameters by name.
    grad_output : array, optional
        The cotangent; without it only the output is asked for.
    constants : mapping of str to array
        Inputs that nothing is differentiated by: the labels of a loss (``"labels"``), the elements that a dropout keeps (``"mask"``, true where they
        are kept), and, to impose the decisions of another run at kinks, ``"decisions"`` (which input element each output element was taken from, or
        the sign of each element).
    buffers : mapping of str to array
        State that the operation starts from and replaces, such as the running statistics of a normalisation; nothing is differentiated by it.
    """

    x: Array
    params: Arrays = field(default_factory=dict)
    grad_output: Array | None = None
    constants: Constants = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)

    def astype(self, dtype: npt.DTypeLike) -> Call:
        """Return the same call with every float array in another precision; arrays that have it already are kept as they lie in memory."""
        return Call(
            self.x.astype(dtype, copy=False),
            {name: value.astype(dtype, copy=False) for name, value in self.params.items()},
            None if self.grad_output is None else self.grad_output.astype(dtype, copy=False),
            self.constants,
            {name: value.astype(dtype, copy=False) for name, value in self.buffers.items()},
        )

    def copied(self) -> Call:
        """Return the same call with copies of all arrays, each of which lies in memory as its original does."""
        arrays = [{name: value.copy(order="K") for name, value in own.items()} for own in (self.params, self.buffers)]
        constants = {name: value.copy(order="K") for name, value in self.constants.items()}
        return Call(self.x.copy(order="K"), arrays[0], None if self.grad_output is None else self.grad_output.copy(order="K"), constants, arrays[1])

    def magnitudes(self) -> Call:
        """Return the same call on absolute values."""
        grad_output = None if self.grad_output is None else np.abs(self.grad_output)
        params, buffers = ({name: np.abs(value) for name, value in arrays.items()} for arrays in (self.params, self.buffers))
        return Call(np.abs(self.x), params, grad_output, self.constants, buffers)

    def ones(self) -> Call:
        """Return a call of the same shapes in which every number is 1."""
        grad_output = None if self.grad_output is None else np.ones_like(self.grad_output)
        params, buffers = ({name: np.ones_like(value) for name, value in arrays.items()} for arrays in (self.params, self.buffers))
        return Call(np.ones_like(self.x), params, grad_output, self.constants, buffers)

    def decided(self, decisions: npt.NDArray[Any] | None) -> Call:
        """Return the same call with the decisions at kinks taken elsewhere."""
        return self if decisions is None else replace(self, constants={**self.constants, "decisions": decisions})

    def finite(self) -> bool:
        """Return whether every number given is finite."""
        arrays = [self.x, *self.params.values(), *self.buffers.values(), *([] if self.grad_output is None else [self.grad_output])]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def shapes(self) -> tuple[Any, ...]:
        """Return the shapes of everything given, as a key."""
        return (self.x.shape, tuple((k, v.shape) for k, v in self.params.items()), None if self.grad_output is None else self.grad_output.shape)


class RefusedError(ValueError):
    """An operation cannot be applied to the arrays that it was given; the message says why."""


class Operation(Protocol):
    """One layer, of whatever side, as a pure function."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return ``output``, each buffer's new value and, where a cotangent is given, ``grad_input`` and ``NAME.grad`` for each parameter.

        Raises
        ------
        RefusedError
            By a reference, if the shapes do not fit.
        """


class Oracle(Operation, Protocol):
    """An operation that also knows how its own rounding errors are bounded and where its kinks are."""

    @property
    def rounding(self) -> Rounding:
        """How rounding errors arise in this operation and pass through it."""

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """Whole-number settings that fault models may need, such as ``kernel``, ``stride`` and ``padding``."""

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return what the operation decides at its kinks for an input, or None where it has none."""


@dataclass(frozen=True)
class InTraining:
    """A reference in training that is another operation in evaluation.

    Attributes
    ----------
    evaluation : Oracle
        The same in evaluation.
    buffers : mapping of str to tuple of int
        The shapes of the running statistics that training replaces and evaluation reads, by name.
    dropped : float, optional
        The probability with which a dropout drops; it gets the subject's mask.
    """

    oracle: Oracle
    evaluation: Oracle
    buffers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dropped: float | None = None


class Rounding(Protocol):
    """The error theory of one kind of operation."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return a bound for each quantity of ``result`` that a right implementation keeps on exactly the inputs of ``call``."""

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return how far each quantity moves, to first order, when the input and the cotangent are off by up to these errors.

        Errors are in multiples of the unit roundoff, on both sides, so that none of them drowns in the rounding of the computation itself.
        """


DTYPES = ("float64", "float32")


class PairError(ValueError):
    """A pair that cannot be checked as it was declared; the message names the pair, what was found, what was expected and what to do."""


Labels = npt.NDArray[np.integer[Any]]


Shape = tuple[int, ...]
