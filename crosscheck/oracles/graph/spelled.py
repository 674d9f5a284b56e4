"""Functions spelled out as people write them: a sigmoid as exponentials and a quotient, a softplus as a logarithm of a sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from crosscheck.oracles.graph.graph import CONSTANT, INPUT, Argument, At, Graph
from crosscheck.oracles.graph.units import DERIVATIVES, plain_sigmoid, stable_sigmoid

Spelling: TypeAlias = Callable[[Graph, Argument], At]


def _stable_softplus(graph: Graph, x: Argument) -> At:
    rest = graph.add("log1p", graph.add("exp", graph.add("negative", graph.add("abs", x))))
    return graph.add("add", graph.add("maximum", x, 0.0), rest)


def _plain_softplus(graph: Graph, x: Argument) -> At:
    return graph.add("log", graph.add("add", 1.0, graph.add("exp", x)))


def _relu(graph: Graph, x: Argument) -> At:
    return graph.add("maximum", x, 0.0)


def _masked_relu(graph: Graph, x: Argument) -> At:
    return graph.add("multiply", x, graph.add("as_number", graph.add("greater", x, 0.0)))


SPELLINGS: Mapping[str, Mapping[str, Spelling]] = {
    "stable": {"sigmoid": stable_sigmoid, "softplus": _stable_softplus, "relu": _relu},
    "plain": {"sigmoid": plain_sigmoid, "softplus": _plain_softplus, "relu": _masked_relu},
}
"""Ways to spell functions out, each with its functions."""


def spelled(graph: Graph, way: str) -> Graph | None:
    """Return the forward pass of a graph with functions spelled out in one of the ways; None if it has none of them. Other units are not kept."""
    if not any(step.operation in SPELLINGS[way] for step in graph.steps):
        return None
    result, places = Graph(), dict[int, At]()
    for number, step in enumerate(graph.steps):
        if step.operation == INPUT:
            places[number] = result.input(step.name, graph.values[number])
        elif step.operation == CONSTANT:
            places[number] = result.constant(graph.values[number], step.name)
        else:
            args = [places[arg] if isinstance(arg, At) else arg for arg in step.args]
            if (spelling := SPELLINGS[way].get(step.operation)) is not None:
                first = len(result.steps)
                places[number] = spelling(result, args[0])
                if step.operation in DERIVATIVES and isinstance(args[0], At):
                    result.unit(step.operation, (args[0],), places[number], first, way=way)
            else:
                places[number] = result.add(step.operation, *args, role=step.role, **step.settings)
            if step.name:
                result.named(places[number], step.name)
    result.outputs = {name: places[at] for name, at in graph.outputs.items()}
    return result
