"""What rules make steps with: operands, and the operations that put an operand into another shape.

A primitive of JAX wants operands of one shape, so that traces are full of arrays that are repeated along an axis. A step of the graph repeats by
itself, as people write it. So a repeated array stays the narrow one, with the shape that it stands for, until an operation needs it in full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from crosscheck.oracles.graph.graph import Argument, At, Graph, Step
from crosscheck.oracles.graph.operations import moved_axis, swapped_axes

REDUCTIONS = frozenset(("sum", "mean", "amax", "amin", "prod"))

Known: TypeAlias = npt.NDArray[Any]
"""An array that depends on no argument of the call."""


class Wide(NamedTuple):
    """A step whose result stands for an array of another shape, to which NumPy would repeat it."""

    at: At
    shape: tuple[int, ...]


Operand: TypeAlias = "At | Wide | Known"


class Steps:
    """A graph, with the ways in which rules add steps to it.

    Attributes
    ----------
    graph : Graph
    out : Any
        Shape and type of the present primitive's first result.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.out: Any = None

    def add(self, operation: str, *args: Argument, role: str = "", **settings: Any) -> At:
        """Add a step and return its place."""
        return self.graph.add(operation, *args, role=role, **settings)

    def step(self, operand: Operand) -> Step:
        """Return the step of an operand; for a known array, a step without an operation."""
        if isinstance(operand, Wide):
            operand = operand.at
        return self.graph.steps[operand] if isinstance(operand, At) else Step("")

    def value(self, operand: Operand) -> npt.NDArray[Any]:
        """Return the value of an operand; of a repeated one, the narrow array."""
        if isinstance(operand, Wide):
            operand = operand.at
        return self.graph.values[operand] if isinstance(operand, At) else operand

    def shape(self, operand: Operand) -> tuple[int, ...]:
        """Return the shape of an operand."""
        return self.graph.shape(operand) if isinstance(operand, At) else tuple(operand.shape)

    def is_real(self, operand: Operand) -> bool:
        """Return whether an operand consists of real numbers."""
        return bool(self.value(operand).dtype.kind == "f")

    def at(self, operand: Operand) -> At:
        """Return an operand in full, as a step."""
        if isinstance(operand, At):
            return operand
        if not isinstance(operand, Wide):
            return self.graph.constant(operand)
        if math.prod(operand.shape) == math.prod(self.shape(operand.at)):
            return self.reshape(operand.at, operand.shape)
        return self.add("expand", operand.at, shape=operand.shape)

    def argument(self, operand: Operand) -> Argument:
        """Return an operand as an argument of a step that repeats by itself; a known array of equal numbers is a number."""
        if isinstance(operand, Wide):
            return operand.at
        if isinstance(operand, At):
            return operand
        number = uniform(operand)
        return self.graph.constant(_narrowed(operand)) if number is None else number

    def wide(self, at: At, shape: Sequence[int] | None = None) -> At | Wide:
        """Return a step that stands for an array of a shape, by default that of the present result."""
        wanted = tuple(self.out.shape if shape is None else shape)
        return at if self.shape(at) == wanted else Wide(at, wanted)

    def elementwise(self, operation: str, *operands: Operand, role: str = "") -> At | Wide:
        """Add a step that computes one number for each number of its operands."""
        return self.wide(self.add(operation, *(self.argument(one) for one in operands), role=role))

    def reshape(self, at: At, shape: Sequence[int]) -> At:
        """Return a step's result in a shape; a reduction keeps its axes if that is the shape."""
        shape = tuple(shape)
        if self.shape(at) == shape:
            return at
        step = self.graph.steps[at]
        if step.operation == "stop":
            return self.add("stop", self.reshape(step.sources[0], shape))
        if step.operation == "reshape":
            return self.reshape(step.sources[0], shape)
        if step.operation in REDUCTIONS and not step.settings["keepdims"]:
            axes = step.settings["axes"]
            if tuple(1 if axis in axes else size for axis, size in enumerate(self.shape(step.sources[0]))) == shape:
                return self.add(step.operation, *step.args, role=step.role, **{**step.settings, "keepdims": True})
        return self.add("reshape", at, shape=shape)

    def transpose(self, at: At, axes: Sequence[int]) -> At:
        """Return a step's result with its axes in another order."""
        step, axes = self.graph.steps[at], tuple(axes)
        if axes == tuple(range(len(axes))):
            return at
        if step.operation == "transpose":
            return self.transpose(step.sources[0], [step.settings["axes"][axis] for axis in axes])
        return self.add("transpose", at, axes=axes)

    def swapped(self, at: At) -> At:
        """Return a stack of matrices with each matrix transposed."""
        return self.transpose(at, swapped_axes(len(self.shape(at))))

    def moved(self, at: At, axis: int, to: int) -> At:
        """Return a step's result with one axis at another place."""
        return self.transpose(at, moved_axis(len(self.shape(at)), axis, to))

    def index(self, at: At, key: Sequence[int | slice]) -> At:
        """Return part of a step's result; slices that take everything at the end are left out."""
        taken = list(key)
        while taken and taken[-1] == slice(None):
            taken.pop()
        return self.add("index", at, key=tuple(taken)) if taken else at

    def padded(self, at: At, widths: Sequence[tuple[int, int]], fill: float = 0.0) -> At:
        """Return a step's result with a border; negative widths cut numbers off."""
        if not any(any(pair) for pair in widths):
            return at
        border: Mapping[str, Any] = {"fill": fill} if fill else {}
        return self.add("pad", at, widths=tuple((int(before), int(after)) for before, after in widths), **border)


def _narrowed(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array without the axes along which its numbers only repeat, as far as NumPy repeats them by itself."""
    for axis in range(value.ndim):
        first = value[(slice(None),) * axis + (slice(0, 1),)]
        if value.size and (value == first).all():
            value = first
    while value.ndim and value.shape[0] == 1:
        value = value[0]
    return value


def uniform(value: npt.NDArray[Any]) -> float | int | bool | None:
    """Return the number that all numbers of an array are; None if they differ or there are none."""
    if not value.size or value.dtype.kind not in "fiub":
        return None
    first = value.flat[0]
    alike = (value == first).all() if first == first else np.isnan(value).all()  # noqa: PLR0124 - a NaN
    found: float | int | bool | None = first.item() if alike else None
    return found
