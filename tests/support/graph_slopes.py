"""Graphs that tests build by hand, and their gradients beside the slopes of their own outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from crosscheck.core.guard import contained
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.operations import Value
from crosscheck.oracles.graph.passes import arguments_of, differentiate, results_of
from crosscheck.references.slopes.oracle import Compared, Quotients, lines
from crosscheck.references.slopes.probe import point_of

Build = Callable[..., At]
"""Gets a graph and its inputs; adds steps and returns the output."""


@dataclass(frozen=True)
class Program:
    """A graph with both passes as a subject's layer."""

    graph: Graph
    absent: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the results of the graph for a call of the same shapes."""
        first = {name: self.graph.values[at] for name, at in self.graph.inputs.items()}
        with contained("a step"):
            return results_of(self.graph, call, self.graph.evaluated({**first, **arguments_of(call)}))

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: every quantity is returned."""
        return None


def call_of(build: Build, arrays: Mapping[str, Array], constants: Mapping[str, Value] | None = None, seed: int = 0) -> Call:
    """Return the call of a graph, with an upstream gradient."""
    graph = built(build, Call(arrays, constants=constants))
    shape = graph.values[graph.outputs["output"]].shape
    return Call(arrays, None, np.random.default_rng(seed).standard_normal(shape), constants)


def built(build: Build, call: Call) -> Graph:
    """Return the forward pass that a function builds for a call."""
    graph = Graph()
    graph.outputs["output"] = build(graph, *(graph.input(name, value) for name, value in {**call.inputs, **call.constants}.items()))
    return graph


def compared(build: Build, call: Call, by_units: bool = False) -> list[Compared]:
    """Return the comparisons of all gradients of a graph with slopes of its output."""
    graph = differentiate(built(build, call), call, by_units)
    quotients = Quotients(point_of(Program(graph), call, Precision(np.dtype(np.float64), 1_000_000)))
    found: list[Compared] = []
    for quantity in call.variables():
        quotients.measure(quantity, lines(call, quantity, np.asarray(quotients.point.found[quantity]), 0))
        found += quotients.compared(quantity)
    return found


def wrong(comparisons: list[Compared]) -> list[Compared]:
    """Return the comparisons that neither truncation nor rounding explains."""
    return [one for one in comparisons if not one.undecided and one.excess > 1]
