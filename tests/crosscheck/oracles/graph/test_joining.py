"""Graphs joined to one compute what they compute one after the other, with the same units and roles."""

from __future__ import annotations

import numpy as np

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.joining import joined

X = np.random.default_rng(0).standard_normal((3, 4))


def scaled(weight: float) -> Graph:
    graph = Graph()
    x, w = graph.input("x", X), graph.input("weight", np.array(weight))
    graph.outputs["output"] = graph.named(graph.add("multiply", x, w, role="scaled x"), "y")
    return graph


def softmax(value: np.ndarray) -> Graph:
    graph = Graph()
    shifted = graph.add("subtract", graph.input("z", value), graph.constant(np.ones(4)))
    graph.outputs["output"] = units.softmax(graph, shifted, 1)
    return graph


def test_second_graph_follows_the_first() -> None:
    whole = Graph()
    given = {"x": whole.input("x", X), "weight": whole.input("first", np.array(2.0))}
    first, second = scaled(2.0), softmax(2 * X)
    middle = joined(whole, first, given)["output"]
    end = joined(whole, second, {"z": middle})["output"]
    assert np.array_equal(whole.values[end], second.values[second.outputs["output"]])
    assert (whole.steps[middle].name, whole.steps[middle].role) == ("y", "scaled x")
    (unit,) = whole.units
    assert (unit.kind, unit.output, dict(unit.settings)) == ("softmax", end, {"axis": 1})
    assert whole.steps[unit.inputs[0]].operation == "subtract"
    other = whole.evaluated({"x": X + 1, "first": np.array(3.0)})[end]
    assert np.array_equal(other, softmax(3 * (X + 1)).values[-1])
