"""What the rules of PyTorch's operations write their steps with: a graph, and how PyTorch names numbers, shapes and axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from crosscheck.oracles.graph.graph import CONSTANT, Argument, At, Graph, Step
from crosscheck.oracles.graph.operations import moved_axis, swapped_axes
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.tensors import Read, Write

Rule: TypeAlias = "Callable[..., Any]"
"""Gets :class:`Steps` and an operation's arguments, tensors as steps; returns a step, or several if the operation returns several tensors."""

ViewRule: TypeAlias = "Callable[..., tuple[Read, Write] | list[tuple[Read, Write]]]"
"""Gets :class:`Steps` and an operation's arguments, of which the first is the step that is viewed; returns how to read and how to write."""


class Steps:
    """A graph to which an operation's rule adds steps.

    Attributes
    ----------
    graph : Graph
    out : Any
        What the operation returns, without numbers: tensors with shape and type.
    raw : tuple
        The operation's arguments, tensors as such, so that they can be written to.
    function : callable
        The operation itself.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.out: Any = None
        self.raw: tuple[Any, ...] = ()
        self.function: Any = None

    def add(self, operation: str, *args: Argument, role: str = "", **settings: Any) -> At:
        """Add a step and return its place; a step of constants alone is a constant."""
        sources = [arg for arg in args if isinstance(arg, At)]
        if sources and all(self.graph.steps[source].operation == CONSTANT for source in sources):
            return self.graph.constant(Step(operation, args, settings).run(self.graph.values))
        return self.graph.add(operation, *args, role=role, **settings)

    def shape(self, at: At) -> tuple[int, ...]:
        """Return the shape of a step's result."""
        return self.graph.shape(at)

    def constant(self, value: Any) -> At:
        """Return an array or tensor as a constant."""
        return self.graph.constant(np.array(value.detach().cpu().numpy(force=True)) if isinstance(value, torch.Tensor) else value)

    def tensor(self, at: At) -> torch.Tensor:
        """Return the value of a step as a tensor of its own."""
        return torch.from_numpy(np.array(self.graph.values[at], order="C"))

    def number(self, value: Any, whole: bool = False) -> Argument:
        """Return an argument of a step: a constant without axes is a number, and among real numbers every number is a real one."""
        if isinstance(value, At):
            step = self.graph.steps[value]
            if step.operation != CONSTANT or self.graph.shape(value):
                return value
            value = self.graph.values[value].item()
        if isinstance(value, complex):
            raise NoGraphError("a number is complex")
        return float(value) if isinstance(value, int) and not isinstance(value, bool) and not whole and self.is_real else value

    @property
    def is_real(self) -> bool:
        """Whether the present operation returns real numbers."""
        return isinstance(self.out, torch.Tensor) and self.out.is_floating_point()

    def is_real_step(self, at: At) -> bool:
        """Whether the result of a step consists of real numbers."""
        return self.graph.values[at].dtype.kind == "f"

    def reshape(self, at: At, shape: Sequence[int]) -> At:
        """Return a step's result in a shape."""
        return at if self.shape(at) == tuple(shape) else self.add("reshape", at, shape=tuple(shape))

    def expand(self, at: At, shape: Sequence[int]) -> At:
        """Return a step's result, repeated to a shape."""
        return at if self.shape(at) == tuple(shape) else self.add("expand", at, shape=tuple(shape))

    def transpose(self, at: At, axes: Sequence[int]) -> At:
        """Return a step's result with its axes in another order."""
        return at if tuple(axes) == tuple(range(len(axes))) else self.add("transpose", at, axes=tuple(axes))

    def swapped(self, at: At) -> At:
        """Return a stack of matrices with each matrix transposed."""
        return self.transpose(at, swapped_axes(len(self.shape(at))))

    def moved(self, at: At, axis: int, to: int) -> At:
        """Return a step's result with one axis at another place."""
        return self.transpose(at, moved_axis(len(self.shape(at)), axis, to))

    def axes(self, at: At, dim: Any) -> tuple[int, ...]:
        """Return axes as PyTorch names them, counted from the first; all of them for None."""
        n = len(self.shape(at))
        if dim is None or (isinstance(dim, list | tuple) and not dim):
            return tuple(range(n))
        return tuple(one % n for one in ([dim] if isinstance(dim, int) else dim)) if n else ()

    def role(self, at: At, role: str) -> At:
        """Say what a step's result is, in place of what was said before."""
        self.graph.steps[at] = replace(self.graph.steps[at], role=role)
        return at
