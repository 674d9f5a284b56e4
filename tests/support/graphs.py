"""A reference's graph beside the reference itself: every result is judged as a subject's would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES, Family
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.passes import arguments_of, differentiate, results_of
from tests.support.cases import CASES

DOUBLE = Precision(np.dtype(np.float64), 100_000)


def call_of(oracle: Any, inputs: Array | Mapping[str, Array], family: str = "normal", **given: Any) -> Call:
    """Return a call with upstream gradients for every real output."""
    forward, rng = Call(inputs, **given), np.random.default_rng(1)
    results = oracle.vjp(forward)
    upstream = {name: FAMILIES[family].grad_output(rng, results[name].shape, np.float64) for name in forward.outputs}
    return Call(inputs, cotangents=upstream, **given)


def drawn(shapes: Mapping[str, tuple[int, ...]], family: Family, positive: bool = False) -> dict[str, Array]:
    """Return arrays of a family by name."""
    rng = np.random.default_rng(2)
    arrays = {name: family.input(rng, shape, np.float64) for name, shape in shapes.items()}
    return {name: np.abs(value) + 0.5 for name, value in arrays.items()} if positive else arrays


def of_table(twin: Callable[[Any], Any], name: str, family: str) -> tuple[Any, Call]:
    """Return a framework's twin of a layer of the table, and a call of it on inputs of a family."""
    case, rng = CASES[name], np.random.default_rng(0)
    own = twin(case.make(rng))
    x = FAMILIES[family].input(rng, (3, *case.sample), np.float64)
    given = {"params": drawn(own.shapes or {}, FAMILIES["normal"]), "constants": case.constants(rng, FAMILIES[family], x)}
    return own, call_of(own, x, family, **given, buffers=drawn(own.buffers, FAMILIES["normal"], positive=True))


def judgements(oracle: Any, call: Call) -> dict[bool, list[Judgement]]:
    """Return what the harness says of the graph's outputs, buffers and gradients, as if they were a subject's: by the chain rule, and by units.

    The graph is run again from its arguments: its values while it was made are not enough, because an edited graph is run.
    """
    context = context_of(oracle, call, DOUBLE)
    assert context.expected, context.undecided
    found = {}
    for by_units in (False, True):
        graph = differentiate(oracle.graph(call), call, by_units)
        results = results_of(graph, call, graph.evaluated(arguments_of(call)))
        found[by_units] = [
            judge(Place(0, "graph", name), Kind.ISOLATED, np.asarray(results[name], np.float64), value, context.bounds[name], DOUBLE)
            for name, value in context.expected.items()
        ]
    return found


def wrong(oracle: Any, call: Call) -> list[tuple[bool, str, Verdict, float]]:
    """Return the quantities that the graph computes differently."""
    return [
        (by_units, one.place.quantity, one.verdict, one.fraction)
        for by_units, found in judgements(oracle, call).items()
        for one in found
        if one.verdict is not Verdict.MATCH
    ]


def kinds(graph: Graph) -> list[str]:
    """Return the kinds of a graph's units."""
    return [unit.kind for unit in graph.units]


def named(graph: Graph) -> dict[str, str]:
    """Return the operations of the named steps that are no inputs, by name."""
    return {step.name: step.operation for step in graph.steps if step.name and step.operation != "input"}
