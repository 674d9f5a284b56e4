"""Functions spelled out compute the same on ordinary numbers, and keep the derivative that people write for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.graph import spelled as module
from crosscheck.oracles.graph.graph import Argument, At, Graph
from crosscheck.oracles.graph.operations import FUNCTIONS
from crosscheck.oracles.graph.passes import differentiate
from crosscheck.oracles.graph.spelled import SPELLINGS, spelled
from crosscheck.oracles.graph.units import DERIVATIVES
from tests.support.graph_slopes import Build, built, call_of

ORDINARY = np.array([-6.0, -2.5, -1.0, -0.25, 0.5, 1.0, 3.0, 6.5])
"""Numbers without a kink, of which no exponential overflows."""

ROUNDINGS = 16 * 8
"""A spelling has fewer than 16 steps, of at most 8 roundings each (:data:`~crosscheck.core.precision.ELEMENTARY`)."""

CASES = [(way, name) for way, functions in SPELLINGS.items() for name in functions]


def alone(name: str) -> Build:
    def build(graph: Graph, x: At) -> At:
        return graph.add(name, x)

    return build


def within(name: str) -> Build:
    """Return a formula in which a function has steps before and after it, named and with a constant."""

    def build(graph: Graph, x: At) -> At:
        before = graph.named(graph.add("multiply", x, graph.constant(np.full(8, 0.75))), "scaled")
        after = graph.named(graph.add(name, before, role="gate"), "g")
        return graph.add("multiply", after, before)

    return build


def size_of(graph: Graph) -> float:
    """Return the largest number on the way, whose rounding a result may have."""
    return max(float(np.abs(value).max()) for value in graph.values)


def off(way: str, build: Build, x: Array) -> list[str]:
    """Return the quantities that the spelled graph computes differently, forward and backward."""
    call = call_of(build, {"x": x})
    graph = spelled(built(build, call), way)
    assert graph is not None
    wrong = []
    for by_units in (False, True):
        usual, other = differentiate(built(build, call), call, by_units), differentiate(spelled(built(build, call), way) or Graph(), call, by_units)
        for name, at in usual.outputs.items():
            bound = ROUNDINGS * np.finfo(np.float64).eps / 2 * max(size_of(usual), size_of(other))
            if not (np.abs(usual.values[at] - other.values[other.outputs[name]]) <= bound).all():
                wrong.append(f"{name} {'by units' if by_units else 'by steps'}")
    return wrong


@pytest.mark.parametrize("formula", [alone, within], ids=["alone", "within"])
@pytest.mark.parametrize(("way", "name"), CASES)
def test_spelled_function_is_the_same(way: str, name: str, formula: Callable[[str], Build]) -> None:
    assert off(way, formula(name), ORDINARY) == []


def test_wrong_spelling_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph, x: Argument) -> At:
        return graph.add("divide", 1.0, graph.add("add", 1.0, graph.add("exp", x)))

    monkeypatch.setattr(module, "SPELLINGS", {"plain": {"sigmoid": wrong}})
    assert off("plain", alone("sigmoid"), ORDINARY)


@pytest.mark.parametrize(("way", "name"), CASES)
def test_function_is_spelled_by_other_functions(way: str, name: str) -> None:
    graph = spelled(built(alone(name), Call({"x": ORDINARY})), way)
    assert graph is not None
    operations = [step.operation for step in graph.steps]
    assert name not in operations
    assert not {*operations} & {*SPELLINGS[way]}


@pytest.mark.parametrize(("way", "name"), [(way, name) for way, name in CASES if name in DERIVATIVES])
def test_function_with_a_derivative_is_a_unit(way: str, name: str) -> None:
    call = call_of(alone(name), {"x": ORDINARY})
    graph = spelled(built(alone(name), call), way)
    assert graph is not None
    assert [(unit.kind, unit.output) for unit in graph.units] == [(name, graph.outputs["output"])]


@pytest.mark.parametrize("way", SPELLINGS)
def test_names_and_roles_are_kept(way: str) -> None:
    graph = spelled(built(within("sigmoid"), Call({"x": ORDINARY})), way)
    assert graph is not None
    assert {step.name for step in graph.steps} == {"", "x", "scaled", "g"}
    (gate,) = [at for at, step in enumerate(graph.steps) if step.name == "g"]
    assert graph.steps[gate].operation == "divide"


@pytest.mark.parametrize("way", SPELLINGS)
def test_graph_without_such_a_function_is_not_spelled(way: str) -> None:
    assert spelled(built(alone("tanh"), Call({"x": ORDINARY})), way) is None


def test_stable_spelling_overflows_nowhere() -> None:
    """The plain one does, which is the mistake that it is there for."""
    large = np.array([-800.0, 800.0])
    found = {way: spelled(built(alone("softplus"), Call({"x": large})), way) for way in SPELLINGS}
    finite = {way: bool(np.isfinite(graph.values[graph.outputs["output"]]).all()) for way, graph in found.items() if graph is not None}
    assert finite == {"stable": True, "plain": False}
    assert {name for _, name in CASES} <= {*FUNCTIONS, "relu"}
