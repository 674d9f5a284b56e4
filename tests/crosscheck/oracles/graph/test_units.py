"""A unit's formula gives the same gradients as the chain rule through its steps, and the slopes of its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from crosscheck.core.operation import Call
from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.passes import differentiate
from crosscheck.oracles.graph.spelled import SPELLINGS
from crosscheck.oracles.graph.units import DERIVATIVES
from tests.support.graph_slopes import Build, built, call_of, compared, wrong

TARGETS = np.eye(4)[[0, 2, 1]]
WEIGHTS = np.array([[1.0], [0.0], [2.5]])


def cross_entropy(weights: bool, total: str) -> Build:
    def build(graph: Graph, x: At) -> At:
        first = len(graph.steps)
        logarithms = units.log_softmax(graph, x, 1)
        rows = graph.constant(WEIGHTS) if weights else None
        divisor = {"": None, "count": 3.0, "sum": graph.constant(WEIGHTS.sum())}[total]
        return units.cross_entropy(graph, logarithms, graph.constant(TARGETS), rows, divisor, x, first)

    return build


def spelled_out(function: str, way: str) -> Build:
    def build(graph: Graph, x: At) -> At:
        first = len(graph.steps)
        return graph.unit(function, (x,), SPELLINGS[way][function](graph, x), first, way=way)

    return build


BUILDS: Mapping[str, Build] = {
    "softmax": lambda graph, x: units.softmax(graph, x, 1),
    "log_softmax": lambda graph, x: units.log_softmax(graph, x, 0),
    "log_sum_exp": lambda graph, x: units.log_sum_exp(graph, x, (1,), keepdims=True),
    "log_sum_exp without its axes": lambda graph, x: units.log_sum_exp(graph, x, (0, 1), keepdims=False),
    "normalised": lambda graph, x: units.normalised(graph, x, (1,), 1e-5)[0],
    "normalised over all axes": lambda graph, x: units.normalised(graph, x, (0, 1), 0.1)[0],
    "rms_normalised": lambda graph, x: units.rms_normalised(graph, x, (1,), 1e-5),
    "cross_entropy": cross_entropy(weights=False, total="count"),
    "cross_entropy of weighted samples": cross_entropy(weights=True, total="sum"),
    "cross_entropy, sum": cross_entropy(weights=False, total=""),
    "gelu": units.gelu,
    "silu": units.silu,
    "huber": lambda graph, x: units.huber(graph, x, 0.5),
    **{f"{function} {way}": spelled_out(function, way) for function in ("sigmoid", "softplus") for way in ("stable", "plain")},
    "binary_cross_entropy": lambda graph, x: units.binary_cross_entropy(graph, x, graph.constant(TARGETS)),
}


def drawn(name: str) -> Call:
    return call_of(BUILDS[name], {"x": np.random.default_rng(list(map(ord, name))).standard_normal((3, 4))})


def test_every_unit_has_a_case() -> None:
    assert {name.partition(" ")[0].rstrip(",") for name in BUILDS} == {*DERIVATIVES}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("by_units", [False, True], ids=["by steps", "by units"])
def test_gradients_are_the_slopes(name: str, by_units: bool) -> None:
    found = compared(BUILDS[name], drawn(name), by_units)
    assert not wrong(found)
    assert any(not one.undecided for one in found)


@pytest.mark.parametrize("name", BUILDS)
def test_formula_is_used_and_is_no_longer_than_the_chain_rule(name: str) -> None:
    call = drawn(name)
    by_steps, by_units = (differentiate(built(BUILDS[name], call), call, choice) for choice in (False, True))
    # The derivative of a softplus is a sigmoid, which is spelled out as well.
    assert len(by_units.steps) <= len(by_steps.steps) or name.startswith("softplus")
    assert {step.origin.step for step in by_units.steps if step.origin} <= {by_units.outputs["output"], by_units.units[-1].output}


def read_inside(graph: Graph, x: At) -> At:
    """Read the mean of a normalisation, which thereby gets a gradient of its own."""
    y, mean, _ = units.normalised(graph, x, (1,), 1e-5)
    return graph.add("add", y, mean)


def read_without_gradient(graph: Graph, x: At) -> At:
    """Read the mean of a normalisation where no gradient comes back from."""
    y, mean, _ = units.normalised(graph, x, (1,), 1e-5)
    graph.outputs["mean"] = graph.add("multiply", mean, 0.1)
    return y


def of_variable_target(graph: Graph, x: At, target: At) -> At:
    """Take a target that has a gradient, of which the formula knows nothing."""
    return units.binary_cross_entropy(graph, x, target)


@pytest.mark.parametrize(("build", "inputs"), [(read_inside, "x"), (read_without_gradient, "x"), (of_variable_target, "xy")])
def test_formula_is_used_only_where_it_holds(build: Callable[..., Any], inputs: str) -> None:
    rng = np.random.default_rng(4)
    call = call_of(build, {name: rng.standard_normal((3, 4)) for name in inputs})
    found = compared(build, call, by_units=True)
    assert len(found) == len(inputs) * (3 * 4 + 1)
    assert not wrong(found)
    steps, formula = (len(differentiate(built(build, call), call, choice).steps) for choice in (False, True))
    assert (formula < steps) == (build is read_without_gradient)


def test_steps_of_a_unit_know_it() -> None:
    graph = built(BUILDS["cross_entropy"], drawn("cross_entropy"))
    kinds = {graph.units[step.unit].kind for step in graph.steps if step.unit >= 0}
    assert kinds == {"cross_entropy"}
    assert [unit.kind for unit in graph.units] == ["log_softmax", "cross_entropy"]
