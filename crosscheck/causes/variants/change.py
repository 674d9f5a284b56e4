"""What one step may compute instead: an expression of elementary operations, which is evaluated, built into a graph, or printed as a formula."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from crosscheck.oracles.graph.graph import Argument, At, Graph
from crosscheck.oracles.graph.operations import OPERATIONS, Value


@dataclass(frozen=True, slots=True)
class Made:
    """An operation on steps of a graph, numbers, arrays, and results of other operations."""

    operation: str
    args: tuple[Any, ...]
    settings: Mapping[str, Any]


Rewrite: TypeAlias = "At | float | Value | Made"
"""What a step gives instead: another step, a number, an array, or something made of them."""


def made(operation: str, *args: Rewrite, **settings: Any) -> Made:
    """Return an operation on steps, numbers, arrays and results of other operations."""
    return Made(operation, args, settings)


def evaluate(rewrite: Rewrite, values: Mapping[int, Value]) -> Value:
    """Return the value of an expression."""
    if isinstance(rewrite, Made):
        found = OPERATIONS[rewrite.operation](*(evaluate(arg, values) for arg in rewrite.args), **rewrite.settings)
        return found if isinstance(found, np.ndarray) else np.asarray(found)
    if isinstance(rewrite, At):
        return values[rewrite]
    return rewrite  # type: ignore[return-value]  # NumPy computes with numbers as with arrays


def build(rewrite: Rewrite, graph: Graph, places: Mapping[int, At]) -> Any:
    """Add an expression to a graph; ``places`` says where the steps that it reads are there. Return its place, or a number as it is."""
    if isinstance(rewrite, Made):
        return graph.add(rewrite.operation, *(build(arg, graph, places) for arg in rewrite.args), **rewrite.settings)
    if isinstance(rewrite, At):
        return places[rewrite]
    return graph.constant(rewrite) if isinstance(rewrite, np.ndarray) else rewrite


@dataclass(frozen=True)
class Change:
    """Something that one step may compute instead.

    Attributes
    ----------
    key : tuple
        What identifies the change among those of the same step, also in a graph of other shapes and in other turns of a loop.
    stage : int
        How common the mistake is: changes with a smaller number are tried, and reported, before others.
    words : str
        What the code does, as the beginning of a sentence; ``{0}`` and ``{1}`` stand for arguments.
    rewrite : Rewrite
    about : tuple
        What ``{0}`` and ``{1}`` stand for; the arguments of the step if empty.
    """

    key: tuple[Hashable, ...]
    stage: int
    words: str
    rewrite: Rewrite
    about: tuple[Argument, ...] = field(default=())


@dataclass(frozen=True)
class Edit:
    """A change of one step, or of several that belong together.

    Attributes
    ----------
    key : tuple
        What identifies it in another program of the same operation, of other shapes.
    kind : str
        The kind of mistake, such as ``"left out"``.
    stage : int
        Edits with a smaller number are tried, and reported, before others.
    words : str
        What the code does, as in :attr:`Change.words`.
    about : tuple
        What the placeholders in the words stand for.
    rewrites : mapping of At to Rewrite
        What each step gives instead.
    only_backward : bool
        Whether a forward step is edited only as the backward pass reads it.
    """

    key: tuple[Hashable, ...]
    kind: str
    stage: int
    words: str
    about: tuple[Argument, ...]
    rewrites: Mapping[At, Rewrite]
    only_backward: bool = False

    @property
    def at(self) -> At:
        """The step that the words are about: the middle one of those that do the same in the turns of a loop."""
        places = sorted(self.rewrites)
        return places[len(places) // 2]
