"""A graph of elementary steps: an operation as a program without branches, forward and backward, in which single steps can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from crosscheck.oracles.graph.operations import OPERATIONS, Value


class At(int):
    """The place of a step in its graph, as an argument of a later step."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"%{int(self)}"


Argument: TypeAlias = "At | float | int | bool"

INPUT, CONSTANT = "input", "constant"
"""The operations of steps that compute nothing: an argument of the whole operation, and an array that is part of its code."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The forward step that a backward step belongs to.

    Attributes
    ----------
    step : At
        The forward step, or the last one of a unit.
    argument : int
        The number of the argument whose gradient the backward step computes; -1 for a step that adds up the parts of a gradient.
    number : int
        The number of the backward step among those with the same forward step and argument.
    """

    step: At
    argument: int = -1
    number: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One elementary step.

    Attributes
    ----------
    operation : str
        A key of :data:`~crosscheck.oracles.graph.operations.OPERATIONS`, ``"input"`` or ``"constant"``.
    args : tuple
        Earlier steps, and numbers that are part of the code.
    settings : mapping
        Axes, shapes and other settings that are no numbers to compute with.
    name : str
        The name of the argument, or of the variable that the reference's code gives the result to; empty if unknown.
    role : str
        What the result is, such as ``"variance"``; empty if it has no usual name.
    origin : Origin, optional
        For a backward step, the forward step that it belongs to.
    path : tuple of (At, int), optional
        For the backward step ``same`` that carries one part of a gradient: the forward step whose gradient it is part of, and the number of this
        part among the arguments of the origin.
    unit : int
        The number of the unit that the step is part of, in :attr:`Graph.units`, the largest one if units contain others; -1 if it is part of none.
    """

    operation: str
    args: tuple[Argument, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    role: str = ""
    origin: Origin | None = None
    path: tuple[At, int] | None = None
    unit: int = -1

    @property
    def sources(self) -> list[At]:
        """The steps that this one reads."""
        return [arg for arg in self.args if isinstance(arg, At)]

    @property
    def is_leaf(self) -> bool:
        """Whether the step computes nothing."""
        return self.operation in (INPUT, CONSTANT)

    def source(self, number: int = 0) -> At:
        """Return the step that one argument comes from; an error if this argument is a number."""
        source = self.args[number]
        assert isinstance(source, At)
        return source

    def run(self, values: Sequence[Any] | Mapping[int, Any]) -> Value:
        """Compute the step from the values of earlier ones."""
        given = [values[arg] if isinstance(arg, At) else arg for arg in self.args]
        return OPERATIONS[self.operation](*given, **self.settings)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Unit:
    """Steps that belong together and that people differentiate by one formula, such as a softmax.

    Attributes
    ----------
    kind : str
        A key of :data:`~crosscheck.oracles.graph.units.DERIVATIVES`.
    inputs : tuple of At
        The arrays that it gets.
    output : At
        Its result.
    first : At
        Its first step; all steps from there to the result are its own.
    parts : mapping of str to At
        Intermediate results that the formula of its derivative reads.
    settings : mapping
        Axes and similar.
    """

    kind: str
    inputs: tuple[At, ...]
    output: At
    first: At
    parts: Mapping[str, At]
    settings: Mapping[str, Any]


class Graph:
    """Steps in the order of their execution, with the value of each.

    Attributes
    ----------
    steps : list of Step
    values : list of array
    inputs : dict of str to At
        The arguments of the operation: inputs, parameters, constants, buffers and cotangents.
    outputs : dict of str to At
        The results by quantity. A gradient that no path leads to is missing.
    units : list of Unit
    forward : int
        The number of forward steps, which come before all backward steps; the number of all steps while there is no backward pass.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.inputs: dict[str, At] = {}
        self.outputs: dict[str, At] = {}
        self.units: list[Unit] = []
        self.gradient_of: dict[int, At] = {}  # for each forward step, the sum of all parts of its gradient
        self._known: dict[Any, At] = {}
        self._forward: int | None = None
        self._origin: Origin | None = None

    @property
    def forward(self) -> int:
        """The number of forward steps."""
        return len(self.steps) if self._forward is None else self._forward

    def end_forward(self) -> None:
        """Say that all further steps are those of the backward pass."""
        self._forward = len(self.steps)

    def input(self, name: str, value: Value) -> At:
        """Add an argument of the operation."""
        self.inputs[name] = self._append(Step(INPUT, name=name), np.asarray(value))
        return self.inputs[name]

    def constant(self, value: Any, name: str = "") -> At:
        """Add an array that is part of the operation's code."""
        array = np.asarray(value)
        key = (CONSTANT, array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._append(Step(CONSTANT, name=name), array)
        return self._known[key]

    def add(self, operation: str, *args: Argument, role: str = "", name: str = "", path: tuple[At, int] | None = None, **settings: Any) -> At:
        """Add a step, unless the same step is there already, and return its place."""
        key = (operation, tuple((type(arg), arg) for arg in args), repr(settings), path, self._origin and self._origin.step)
        if key in self._known:
            return self._known[key]
        step = Step(operation, args, settings, name, role, self._origin, path)
        with np.errstate(all="ignore"):
            self._known[key] = self._append(step, step.run(self.values))
        return self._known[key]

    def _append(self, step: Step, value: Value) -> At:
        self.steps.append(step)
        self.values.append(np.asarray(value))
        return At(len(self.steps) - 1)

    def named(self, at: At, name: str) -> At:
        """Give a step the name of a variable, unless it has one."""
        if not self.steps[at].name and self.steps[at].operation != CONSTANT:
            self.steps[at] = replace(self.steps[at], name=name)
        return at

    def belongs(self, to: At | None) -> None:
        """Say which forward step the next backward steps belong to."""
        self._origin = None if to is None else Origin(to)

    def number(self, first: int, argument: int) -> None:
        """Set the numbers of the backward steps from ``first`` on, which compute the gradient of one argument."""
        for number, at in enumerate(range(first, len(self.steps))):
            if (origin := self.steps[at].origin) is not None:
                self.steps[at] = replace(self.steps[at], origin=replace(origin, argument=argument, number=number))

    def unit(self, kind: str, inputs: Sequence[At], output: At, first: int, parts: Mapping[str, At] | None = None, **settings: Any) -> At:
        """Say that the steps from ``first`` on are a unit, and return its output; a unit among them becomes part of this one."""
        number = len(self.units)
        if output < first:
            return output  # all of it was computed before
        self.units.append(Unit(kind, tuple(inputs), output, At(first), parts or {}, settings))
        self.steps[first:] = [replace(step, unit=number) if not step.is_leaf else step for step in self.steps[first:]]
        return output

    def shape(self, at: At) -> tuple[int, ...]:
        """Return the shape of a step's result."""
        return self.values[at].shape

    def evaluated(self, arguments: Mapping[str, Value]) -> list[Value]:
        """Return the values of all steps for other arguments of the same shapes."""
        values = list(self.values)
        for name, at in self.inputs.items():
            values[at] = np.asarray(arguments[name])
        with np.errstate(all="ignore"):
            for number, step in enumerate(self.steps):
                if not step.is_leaf:
                    values[number] = step.run(values)
        return values

    def users(self) -> list[list[int]]:
        """Return, for each step, the steps that read it."""
        found: list[list[int]] = [[] for _ in self.steps]
        for at, step in enumerate(self.steps):
            for source in dict.fromkeys(step.sources):
                found[source].append(at)
        return found


def reachable(users: Sequence[Sequence[int]], passes: Callable[[int], bool] = lambda at: True) -> list[int]:
    """Return, for each step, the set of steps that its value reaches (itself included) as the bits of a number.

    Only steps for which ``passes`` holds hand a changed value on.
    """
    found = [0] * len(users)
    for at in range(len(users) - 1, -1, -1):
        bits = 1 << at
        for user in users[at]:
            if passes(user):
                bits |= found[user]
        found[at] = bits
    return found


def members(bits: int) -> list[int]:
    """Return the members of a set of steps in their order."""
    if not bits:
        return []
    raw = np.frombuffer(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), np.uint8)
    return np.unpackbits(raw, bitorder="little").nonzero()[0].tolist()


def union(sets: Iterable[int]) -> int:
    """Return the union of sets of steps."""
    result = 0
    for one in sets:
        result |= one
    return result
