"""Questions about the steps of a graph, by which units are recognised, and how a recognised unit gets into another graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from crosscheck.oracles.graph.graph import Argument, At, Graph, Step


@dataclass(frozen=True)
class Copy:
    """A graph while it is copied.

    Attributes
    ----------
    graph : Graph
        The new one.
    places : dict of int to At
        Where in it the steps of the old one are.
    live : set of int
        The steps of the old one that others read.
    """

    graph: Graph
    places: dict[int, At]
    live: Set[int]


Build = Callable[[Copy], At]
"""Adds the unit to the new graph and returns its result."""


class Found(NamedTuple):
    """A recognised unit: the steps that it reads, and how to add it to another graph."""

    inputs: Sequence[At]
    build: Build


@dataclass(frozen=True)
class Pattern:
    """A graph, with questions about its steps; each answer is None if the step is another one."""

    graph: Graph

    def step(self, at: Argument) -> Step:
        """Return a step; for a number, a step without an operation."""
        return self.graph.steps[at] if isinstance(at, At) else Step("")

    def source(self, at: Argument, operation: str) -> At | None:
        """Return the first argument of a step with this operation."""
        step = self.step(at)
        return step.args[0] if step.operation == operation and isinstance(step.args[0], At) else None

    def pair(self, at: Argument, operation: str) -> tuple[Argument, Argument] | None:
        """Return both arguments of a step with this operation."""
        step = self.step(at)
        return (step.args[0], step.args[1]) if step.operation == operation else None

    def orders(self, at: Argument, operation: str) -> list[tuple[Argument, Argument]]:
        """Return both arguments of a step with this operation, in both orders."""
        pair = self.pair(at, operation)
        return [] if pair is None else [pair, pair[::-1]]

    def factors(self, at: Argument) -> list[Argument]:
        """Return the factors of a product of several."""
        pair = self.pair(at, "multiply")
        return [at] if pair is None else [factor for one in pair for factor in self.factors(one)]

    def rest(self, at: Argument) -> Argument:
        """Return a step without the new shape, and without the hint that it has no gradient."""
        while self.step(at).operation in {"reshape", "stop"}:
            at = self.step(at).args[0]
        return at

    def alike(self, at: At) -> list[At]:
        """Return the steps with the same numbers as this one, maybe in another shape: those with or without axes of length 1."""
        own = self.step(self.rest(at))
        settings = {**own.settings, "keepdims": True}
        return [
            one
            for one in (At(number) for number in range(len(self.graph.steps)))
            if (step := self.step(self.rest(one))).operation == own.operation
            and step.args == own.args
            and {**step.settings, "keepdims": True} == settings
        ]

    def square(self, at: Argument) -> At | None:
        """Return what is squared."""
        pair = self.pair(at, "multiply")
        if pair is not None and pair[0] == pair[1] and isinstance(pair[0], At):
            return pair[0]
        return self.source(at, "square")

    def shifted(self, at: Argument) -> tuple[At, tuple[int, ...], At] | None:
        """Return x and the axes of x - max(x), and the step of the largest number."""
        pair = self.pair(at, "subtract")
        if pair is None or not isinstance(pair[0], At) or not isinstance(pair[1], At):
            return None
        largest = self.source(pair[1], "stop") or pair[1]
        step = self.step(largest)
        if step.operation != "amax" or step.args[0] != pair[0] or not step.settings["keepdims"]:
            return None
        return pair[0], step.settings["axes"], largest

    def log_softmax(self, at: Argument) -> tuple[At, int] | None:
        """Return x and the axis of a log-softmax."""
        pair = self.pair(at, "subtract")
        if pair is None or (shifted := self.shifted(pair[0])) is None:
            return None
        x, axes, _ = shifted
        total = self.source(pair[1], "log")
        if total is None or len(axes) != 1 or not self.is_sum_of_exponentials(total, pair[0], axes, keepdims=True):
            return None
        return x, axes[0]

    def is_sum_of_exponentials(self, at: At, of: Argument, axes: tuple[int, ...], keepdims: bool) -> bool:
        """Return whether a step adds up the exponentials of another one."""
        powers = self.source(at, "sum")
        settings = self.step(at).settings
        return powers is not None and self.source(powers, "exp") == of and settings["axes"] == axes and settings["keepdims"] == keepdims
