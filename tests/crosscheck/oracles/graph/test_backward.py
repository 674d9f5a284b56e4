"""Gradients are added up along all paths, and each step of the backward pass knows the forward step that it belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.oracles.graph.derivatives import NoDerivativeError
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.passes import differentiate, results_of
from tests.support.graph_slopes import built, call_of, compared, wrong


def shared(graph: Graph, x: At, y: At) -> At:
    """One input on three paths."""
    product = graph.add("multiply", x, y)
    return graph.add("add", graph.add("multiply", product, product), graph.add("exp", x))


def test_gradients_of_all_paths_are_added() -> None:
    call = call_of(shared, {"x": np.random.default_rng(1).standard_normal((2, 3)), "y": np.random.default_rng(2).standard_normal(3)})
    found = compared(shared, call)
    assert len(found) == 6 + 3 + 2
    assert not wrong(found)


def test_copy_without_a_gradient_stops_it() -> None:
    def build(graph: Graph, x: At) -> At:
        return graph.add("multiply", x, graph.add("stop", x))

    call = call_of(build, {"x": np.array([1.0, 2.0, 3.0])})
    graph = differentiate(built(build, call), call, by_units=False)
    assert np.array_equal(results_of(graph, call, graph.values)["grad_input"], call.cotangents["output"] * call.x)


def test_input_without_a_path_has_a_gradient_of_zero() -> None:
    def build(graph: Graph, x: At, y: At) -> At:
        return graph.add("add", x, graph.add("as_number", graph.add("greater", y, 0.0)))

    call = call_of(build, {"x": np.ones(2), "y": np.ones(2)})
    graph = differentiate(built(build, call), call, by_units=False)
    assert "grad_input.y" not in graph.outputs
    assert np.array_equal(results_of(graph, call, graph.values)["grad_input.y"], np.zeros(2))


def test_backward_steps_know_their_forward_step() -> None:
    call = call_of(shared, {"x": np.ones(2), "y": np.ones(2)})
    graph = differentiate(built(shared, call), call, by_units=False)
    added = [step for step in graph.steps[graph.forward :] if step.operation != "input"]
    assert added
    for step in added:
        assert step.origin is not None
        assert step.origin.step < graph.forward


def test_operation_without_a_rule_is_refused() -> None:
    def build(graph: Graph, x: At) -> At:
        return graph.add("fmod", x, 0.7)

    call = call_of(build, {"x": np.ones(2)})
    with pytest.raises(NoDerivativeError, match="fmod"):
        differentiate(built(build, call), call, by_units=False)
