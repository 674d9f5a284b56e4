"""Layers as pure functions of arrays.

Layers of the subject, the reference and the oracle all have the method :meth:`Operation.vjp`, so that the comparison can call them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision

Arrays = Mapping[str, Array]
Constants = Mapping[str, npt.NDArray[Any]]


DECISIONS = "decisions"
"""The name of a constant that imposes decisions at kinks; no input can have it."""

INPUT, OUTPUT, GRAD_INPUT = "input", "output", "grad_input"
"""The names of the only input, of the only output, and of the input's gradient; more of them are ``output.h_n`` and ``grad_input.key``."""


@dataclass(frozen=True, init=False)
class Call:
    """The arguments of an operation: inputs, parameters and, for the backward pass, cotangents.

    Attributes
    ----------
    inputs : mapping of str to array
        The inputs that have a gradient, in the order of the arguments. A single array stands for ``{"input": array}``.
    params : mapping of str to array
        The parameters by name.
    cotangents : mapping of str to array
        The upstream gradient of each output that has a gradient; empty if only the forward pass is computed. A single array stands for
        ``{"output": array}``, None for an empty mapping.
    constants : mapping of str to array
        Inputs without a gradient: ids, masks, the labels or real targets of a loss (``"labels"``, ``"target"``), a dropout's mask (``"mask"``, true =
        kept), and ``"decisions"``, which imposes decisions at kinks that another run took (the input element that each output element was taken
        from, or the sign of each element).
    buffers : mapping of str to array
        State that the operation replaces by new values, such as the running statistics of a normalisation; it has no gradient.
    order : tuple of str
        The names of inputs and constants in the order in which a function takes them; if empty, inputs come before constants.
    outputs : tuple of str
        The names of the outputs as quantities: ``"output"``, and ``"output.h_n"`` if there are several.
    """

    inputs: Arrays
    params: Arrays
    cotangents: Arrays
    constants: Constants
    buffers: Arrays
    order: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(
        self,
        inputs: Array | Arrays,
        params: Arrays | None = None,
        cotangents: Array | Arrays | None = None,
        constants: Constants | None = None,
        buffers: Arrays | None = None,
        order: tuple[str, ...] = (),
        outputs: tuple[str, ...] = (OUTPUT,),
    ) -> None:
        given: dict[str, Any] = {"inputs": inputs if isinstance(inputs, Mapping) else {INPUT: inputs}, "params": params or {}}
        given |= {"cotangents": cotangents if isinstance(cotangents, Mapping) else {} if cotangents is None else {OUTPUT: cotangents}}
        given |= {"constants": constants or {}, "buffers": buffers or {}, "order": order, "outputs": outputs}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def x(self) -> Array:
        """The first input with a gradient; if none has one, as for ids, the first constant."""
        return next(iter(self.inputs.values())) if self.inputs else cast("Array", next(iter(self.constants.values())))

    @property
    def grad_output(self) -> Array | None:
        """The upstream gradient of the first output that has one; None if only the forward pass is computed."""
        return next(iter(self.cotangents.values()), None)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the call: that of its first array of real numbers; float64 if all arrays hold whole numbers."""
        arrays = [*self.inputs.values(), *self.params.values(), *self.cotangents.values(), *self.constants.values()]
        return next((array.dtype for array in arrays if array.dtype.kind in "fc"), np.dtype(np.float64))

    @property
    def forward(self) -> Call:
        """The same call without cotangents, so that only the forward pass is computed."""
        return replace(self, cotangents={})

    @property
    def simple(self) -> bool:
        """Whether the call has one input with a gradient and one output, and at most the labels of a loss or the mask of a dropout beside them."""
        return len(self.inputs) == len(self.outputs) == 1 and set(self.constants) <= {"labels", "target", "mask", DECISIONS}

    @property
    def target(self) -> npt.NDArray[Any]:
        """The labels or real targets of a loss: the first constant."""
        return next(iter(self.constants.values()))

    def with_x(self, x: Array) -> Call:
        """Return the same call with another first input."""
        if not self.inputs:
            raise LookupError("the call has no input with a gradient")
        return replace(self, inputs={**self.inputs, next(iter(self.inputs)): x})

    def with_grad_output(self, grad_output: Array | None) -> Call:
        """Return the same call with another upstream gradient of the first output; with None, only the forward pass is computed."""
        first = next(iter(self.cotangents), self.outputs[0])
        return self.forward if grad_output is None else replace(self, cotangents={**self.cotangents, first: grad_output})

    def arguments(self) -> dict[str, npt.NDArray[Any]]:
        """Return inputs and constants in the order in which a function takes them."""
        given = {**self.inputs, **self.constants}
        return {name: given[name] for name in self.order} if self.order else given

    def grad_input(self, name: str) -> str:
        """Return the name of an input's gradient as a quantity: ``"grad_input"`` for the only input or one named ``"input"``."""
        return grad_input_of(name, len(self.inputs))

    def variables(self) -> dict[str, Array]:
        """Return the inputs and parameters that have a gradient, by the name of the gradient."""
        return {self.grad_input(name): value for name, value in self.inputs.items()} | {f"{name}.grad": value for name, value in self.params.items()}

    def with_variable(self, quantity: str, value: Array) -> Call:
        """Return the same call with another value of the input or parameter that has this gradient."""
        if name := next((name for name in self.inputs if self.grad_input(name) == quantity), ""):
            return replace(self, inputs={**self.inputs, name: value})
        return replace(self, params={**self.params, quantity.removesuffix(".grad"): value})

    def astype(self, dtype: npt.DTypeLike) -> Call:
        """Return the same call with every float array in the given precision; arrays that already have this precision are not copied."""

        def cast_to(array: Array) -> Array:
            return array.astype(dtype, copy=False)

        return self.each(cast_to)

    def copied(self) -> Call:
        """Return the same call with copies of all arrays, each in the memory order of its original."""
        constants = {name: value.copy(order="K") for name, value in self.constants.items()}
        return replace(replace(self, constants={}).each(lambda array: array.copy(order="K")), constants=constants)

    def magnitudes(self) -> Call:
        """Return the same call with every float array replaced by its absolute values."""
        return self.each(np.abs)

    def ones(self) -> Call:
        """Return a call with the same shapes in which every number is 1."""
        return self.each(np.ones_like)

    def each(self, change: Callable[[Array], Array]) -> Call:
        """Return the same call with ``change`` applied to every array of real numbers, so not to ids, masks and decisions."""
        inputs, params, cotangents, buffers = (
            {name: change(value) for name, value in arrays.items()} for arrays in (self.inputs, self.params, self.cotangents, self.buffers)
        )
        constants = {name: change(value) if value.dtype.kind == "f" and name != DECISIONS else value for name, value in self.constants.items()}
        return Call(inputs, params, cotangents, constants, buffers, self.order, self.outputs)

    def decided(self, decisions: npt.NDArray[Any] | None) -> Call:
        """Return the same call with imposed decisions at kinks; the call itself if there are none."""
        return self if decisions is None else replace(self, constants={**self.constants, DECISIONS: decisions})

    def finite(self) -> bool:
        """Return whether all numbers of the call are finite."""
        arrays = [*self.inputs.values(), *self.params.values(), *self.buffers.values(), *self.cotangents.values()]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def shapes(self) -> tuple[Any, ...]:
        """Return the shapes of all arrays except buffers as a hashable key."""
        groups = (self.inputs, self.params, self.cotangents, self.constants)
        return tuple(tuple((name, value.shape) for name, value in arrays.items()) for arrays in groups)


def grad_input_of(name: str, inputs: int) -> str:
    """Return the name of an input's gradient as a quantity, given the number of inputs that have one."""
    return GRAD_INPUT if name == INPUT or inputs == 1 else f"{GRAD_INPUT}.{name}"


def is_grad_input(quantity: str) -> bool:
    """Return whether a quantity is the gradient of an input."""
    return quantity.partition(".")[0] == GRAD_INPUT


def is_output(quantity: str) -> bool:
    """Return whether a quantity is an output."""
    return quantity.partition(".")[0] == OUTPUT


class RefusedError(ValueError):
    """An operation cannot be applied to its arguments; the message says why."""


class Operation(Protocol):
    """One layer, of the subject or of a reference, as a pure function."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the outputs, each buffer's new value and, if the call has cotangents, the gradients of inputs and parameters, by quantity.

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
