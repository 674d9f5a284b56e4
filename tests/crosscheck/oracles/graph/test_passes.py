"""Both passes of a call in one graph: which arguments it takes, and its results by quantity."""

from __future__ import annotations

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.passes import arguments_of, differentiate, results_of, upstream_name, wanted_of

X, Y = np.array([1.0, 2.0]), np.array([[3.0], [4.0]])


def of_two(call: Call) -> Graph:
    """Return two outputs: x * w + y, and exp(x)."""
    graph = Graph()
    for name, value in {**call.inputs, **call.params, **call.constants, **call.buffers}.items():
        graph.input(name, value)
    at = graph.inputs
    graph.outputs["output"] = graph.add("add", graph.add("multiply", at["x"], at["w"]), at["y"])
    graph.outputs["output.power"] = graph.add("exp", at["x"])
    graph.outputs["seen"] = graph.add("add", at["seen"], 1.0)
    return graph


CALL = Call(
    {"x": X, "y": Y},
    {"w": np.array([5.0, 6.0])},
    {"output": np.array([[1.0, 10.0], [100.0, 1000.0]]), "output.power": np.array([1.0, -1.0])},
    {"ids": np.array([0, 1])},
    {"seen": np.array(3.0)},
    outputs=("output", "output.power"),
)


def test_arguments_are_the_calls_arrays_and_the_upstream_gradients() -> None:
    assert list(arguments_of(CALL)) == ["x", "y", "w", "ids", "seen", "grad_output", "grad_output.power"]
    assert upstream_name("output.power") == "grad_output.power"
    graph = differentiate(of_two(CALL), CALL, by_units=False)
    assert {*graph.inputs} == {*arguments_of(CALL)}


def test_results_have_the_names_of_quantities() -> None:
    graph = differentiate(of_two(CALL), CALL, by_units=False)
    assert {*wanted_of(graph, CALL)} == {"grad_input.x", "grad_input.y", "w.grad"}
    found = results_of(graph, CALL, graph.values)
    assert {*found} == {"output", "output.power", "seen", "grad_input.x", "grad_input.y", "w.grad"}
    assert np.array_equal(found["w.grad"], [101 * 1, 1010 * 2])
    assert np.array_equal(found["grad_input.y"], [[11], [1100]])
    assert np.array_equal(found["grad_input.x"], [101 * 5 + np.exp(1.0), 1010 * 6 - np.exp(2.0)])
    assert found["seen"] == 4


def test_call_without_upstream_gradients_has_a_forward_pass_alone() -> None:
    graph = differentiate(of_two(CALL), CALL.forward, by_units=False)
    assert graph.forward == len(graph.steps)
    assert {*results_of(graph, CALL.forward, graph.values)} == {"output", "output.power", "seen"}
