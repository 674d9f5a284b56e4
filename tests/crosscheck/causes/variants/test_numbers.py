"""Which numbers stand for a number by mistake: digits exchanged, lengths, epsilons, n - 1 for n."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crosscheck.causes.variants.change import evaluate
from crosscheck.causes.variants.numbers import EPSILONS, apart, changes, meanings, others, sizes
from crosscheck.oracles.graph.graph import At, Graph


def graph_of(*shapes: tuple[int, ...]) -> Graph:
    """Return a graph that multiplies its first input by the second; the result is a further array with lengths."""
    graph = Graph()
    x, y, *_ = (graph.input(name, np.ones(shape)) for name, shape in zip("xyz", shapes, strict=False))
    graph.outputs["output"] = graph.add("matmul", x, y)
    return graph


RECTANGLES = ((3, 5), (5, 7))


def values(c: float, operation: str = "add") -> set[float]:
    """Return the numbers that may stand for one in a sum."""
    graph = graph_of(*RECTANGLES)
    step = graph.steps[graph.add(operation, graph.inputs["x"], c)]
    return {meaning.value for _, meaning in others(graph, step, c)}


@pytest.mark.parametrize(
    ("c", "mistaken"),
    [
        (0.044715, {0.044175, 0.047415, 0.044751, 0.04475, 0.04471, 0.04415}),
        (1.702, {1.072, 1.72, 1.70, 1.02}),
        (-0.125, {-0.215, -0.152, -0.25, -0.15, -0.12}),
        (0.9, {0.1, 1.8, 0.45, 0.81, math.sqrt(0.9), 1 / 0.9, -0.9, 1.0, 0.0}),
        (2.0, {3.0, 1.0, 4.0, 0.5, -2.0, math.sqrt(2)}),
        (1e-5, {*EPSILONS} - {1e-5}),
        (-1e30, {-1e9, -1e4, 0.0}),
        (1.0, {3.0, 5.0, 7.0, 1 / 3, 1 / math.sqrt(5), math.sqrt(7), 15.0, 35.0}),
    ],
    ids=lambda value: f"{value:g}" if isinstance(value, float) else "",
)
def test_numbers_that_stand_for_a_number(c: float, mistaken: set[float]) -> None:
    assert {f"{one:.12g}" for one in mistaken} <= {f"{value:.12g}" for value in values(c)}


@pytest.mark.parametrize("c", [0.044715, 1e-5, 2.0])
def test_number_does_not_stand_for_itself(c: float) -> None:
    graph = graph_of(*RECTANGLES)
    x = graph.inputs["x"]
    at = graph.add("add", x, c)
    same = [
        change.words for change in changes(graph, at) if np.array_equal(evaluate(change.rewrite, dict(enumerate(graph.values))), graph.values[at])
    ]
    assert same == []


def test_exponents_stand_for_an_exponent() -> None:
    assert values(2.0, "power") == {3.0, 1.0, -2.0, 4.0}


def test_lengths_are_those_of_arguments_and_outputs() -> None:
    found = {meaning.key: meaning.value for meaning in sizes(graph_of(*RECTANGLES))}
    lengths = {("x", 0): 3, ("x", 1): 5, ("y", 0): 5, ("y", 1): 7, ("output", 0): 3, ("output", 1): 7}
    assert found == lengths | {("x", "size"): 15, ("y", "size"): 35}


def test_upstream_gradient_and_axes_of_length_one_have_no_length() -> None:
    graph = Graph()
    graph.input("x", np.ones((1, 4)))
    graph.input("grad_output", np.ones((6, 8)))
    assert {meaning.value for meaning in sizes(graph)} == {4}


@pytest.mark.parametrize("other", [((2, 5), (5, 9)), ((11, 3), (3, 4))])
def test_keys_are_those_of_other_shapes_too(other: tuple[tuple[int, ...], ...]) -> None:
    """A mistake that involves a length is the same mistake where the length is another."""
    found = [{meaning.key for meaning in meanings(graph_of(*shapes))} for shapes in (RECTANGLES, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize("other", [(2, 9), (6, 4)])
def test_changes_of_a_mean_have_keys_of_other_shapes_too(other: tuple[int, int]) -> None:
    keys = []
    for shape in ((3, 5), other):
        graph = Graph()
        at = graph.add("mean", graph.input("x", np.ones(shape)), axes=(1,), keepdims=True)
        keys.append({change.key for change in changes(graph, at) if change.key[0] == "less"})
    assert keys[0] == keys[1] == {("less", 1), ("less", -1)}


@pytest.mark.parametrize(("less", "divisor"), [(1, 4), (-1, 6)])
def test_mean_divided_by_another_number(less: int, divisor: int) -> None:
    graph = Graph()
    x = graph.input("x", np.arange(15.0).reshape(3, 5))
    at = graph.add("mean", x, axes=(1,))
    (change,) = [change for change in changes(graph, at) if change.key == ("less", less)]
    assert np.array_equal(evaluate(change.rewrite, dict(enumerate(graph.values))), graph.values[x].sum(axis=1) / divisor)
    assert f"= {divisor}" in change.words


def test_mean_of_one_number_has_no_other_divisor() -> None:
    graph = Graph()
    at = graph.add("mean", graph.input("x", np.ones((3, 1))), axes=(1,))
    assert not [change for change in changes(graph, at) if change.key[0] == "less"]


@pytest.mark.parametrize(("operation", "second"), [("divide", True), ("log", False), ("sqrt", False), ("reciprocal", False)])
def test_arguments_are_kept_away_from_zero(operation: str, second: bool) -> None:
    graph = Graph()
    x, y = graph.input("x", np.array([0.0, 2.0])), graph.input("y", np.array([1.0, 3.0]))
    at = graph.add(operation, y, x) if second else graph.add(operation, x)
    guards = [change for change in changes(graph, at) if change.key[0] == "guard"]
    assert {change.key[1:] for change in guards} == {(way, epsilon) for way in ("add", "maximum") for epsilon in EPSILONS}
    with np.errstate(all="ignore"):
        assert all(np.isfinite(evaluate(change.rewrite, dict(enumerate(graph.values)))).all() for change in guards)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [(4.0, 2.0, ("4", "2")), (0.7978846, math.sqrt(2 / math.pi), ("0.7978846", "0.79788456")), (1e-8, 1e-5, ("1e-08", "1e-05"))],
)
def test_two_numbers_are_told_apart(one: float, other: float, told: tuple[str, str]) -> None:
    assert apart(one, other) == told


@pytest.mark.parametrize(("number", "told"), [(math.sqrt(5), "sqrt(5) = 2.23607"), (1 / math.sqrt(7), "1/sqrt(7) = 0.377964"), (3.5, "not by 3.5")])
def test_number_is_told_as_the_root_of_a_length(number: float, told: str) -> None:
    graph = graph_of(*RECTANGLES)
    words = [change.words for change in changes(graph, graph.add("divide", graph.outputs["output"], number)) if change.key[0] == "number"]
    assert words
    assert any(told in one for one in words)


def test_condition_has_no_number() -> None:
    """True is no number of a formula, and neither is the place of another step."""
    graph = Graph()
    x = graph.input("x", np.array([1.0, 2.0]))
    assert not [change for change in changes(graph, graph.add("where", graph.add("greater", x, x), x, x)) if change.key[0] == "number"]
    assert isinstance(x, At)
