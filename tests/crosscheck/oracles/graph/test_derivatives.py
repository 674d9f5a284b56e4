"""The rule of each operation gives the slopes of its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.graph import backward
from crosscheck.oracles.graph.derivatives import RULES
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.operations import FORMATS
from crosscheck.oracles.graph.passes import differentiate, results_of
from tests.support.graph_slopes import Build, built, call_of, compared, wrong

IDS = np.array([2, 0, 2, 1])
"""Indices with one that comes twice."""


def between(low: float, high: float) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    return lambda rng, shape: rng.uniform(low, high, shape)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


@dataclass(frozen=True)
class Case:
    """An operation as a function of inputs of these shapes; ``constants`` are further arguments."""

    shapes: tuple[tuple[int, ...], ...]
    settings: Mapping[str, Any]
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array] = normal
    constants: tuple[Any, ...] = ()
    build: Build | None = None


def of(*shapes: tuple[int, ...], draw: Any = normal, constants: tuple[Any, ...] = (), build: Build | None = None, **settings: Any) -> Case:
    return Case(shapes, settings, draw, constants, build)


SHAPE = (2, 3)
ONE = of(SHAPE)
INSIDE = of(SHAPE, draw=between(0.2, 0.8))

CASES: Mapping[str, Case] = {
    **dict.fromkeys(
        ("negative", "exp", "expm1", "tanh", "sigmoid", "erf", "sin", "cos", "tan", "sinh", "cosh", "arctan", "arcsinh", "abs", "square"), ONE
    ),
    **dict.fromkeys(("softplus", "relu", "same"), ONE),
    **dict.fromkeys(("log", "log1p", "sqrt", "arcsin", "arccos", "arctanh", "reciprocal"), INSIDE),
    "arccosh": of(SHAPE, draw=between(1.2, 3)),
    **dict.fromkeys(("add", "subtract", "multiply", "maximum", "minimum"), of((2, 1, 3), (4, 1))),
    "divide": of((2, 3), (3,), draw=between(0.5, 2)),
    "power": of((2, 3), (2, 1), draw=between(0.5, 2)),
    "where": of((3,), (2, 3), build=lambda graph, x, y: graph.add("where", graph.constant([True, False, True]), x, y)),
    "matmul": of((2, 3, 4), (4, 2)),
    "einsum": of((2, 3), (3, 4), (2,), equation="ij,jk,i->k"),
    **dict.fromkeys(("sum", "mean"), of((2, 3, 4), axes=(0, 2), keepdims=False)),
    **dict.fromkeys(("amax", "amin"), of((2, 3, 4), axes=(0, 2), keepdims=True)),
    "prod": of((2, 3), axes=(1,), keepdims=False, draw=between(0.5, 2)),
    "cumsum": of((2, 3), axis=1),
    "reshape": of((2, 3), shape=(3, 2)),
    "transpose": of((2, 3, 4), axes=(2, 0, 1)),
    "expand": of((3, 1), shape=(2, 3, 4)),
    "as_number": ONE,
    "index": of((3, 4), key=(slice(0, 3, 2), 1)),
    "place": of((2,), shape=(3, 4), key=(slice(0, 3, 2), 1)),
    "replace_at": of((3, 4), (2,), key=(slice(0, 3, 2), 1)),
    "concatenate": of((2, 3), (2, 1), axis=1),
    "stack": of((2, 3), (2, 3), axis=1),
    "pad": of((3, 4), widths=((1, 0), (-1, 2))),
    "flip": of((2, 3), axes=(1,)),
    "roll": of((2, 5), shift=2, axis=1),
    **dict.fromkeys(("tril", "triu"), of((4, 3), k=-1)),
    "take": of((3, 2), constants=(IDS,)),
    "add_rows": of((4, 2), constants=(IDS,), rows=5),
    "take_along": of((2, 3), constants=(np.array([[0, 2, 2, 1], [1, 1, 0, 2]]),), axis=1),
    "add_along": of((2, 4), constants=(np.array([[0, 2, 2, 1], [1, 1, 0, 2]]),), axis=1, length=3),
    "windows": of((2, 5, 6), kernel=(2, 3), stride=(2, 1), dilation=(1, 2)),
    "add_windows": of((2, 2, 2, 2, 3), shape=(2, 5, 6), kernel=(2, 3), stride=(2, 1), dilation=(1, 2)),
}
"""Each operation with a derivative."""

FLAT = ("sign", "floor", "ceil", "trunc", "rint", "floor_divide", "first_largest", "one_hot")
"""Operations whose derivative is 0 wherever there is one."""


def build_of(operation: str) -> Build:
    case = CASES[operation]
    if case.build is not None:
        return case.build
    return lambda graph, *given: graph.add(operation, *given, *(graph.constant(value) for value in case.constants), **case.settings)


def drawn(operation: str) -> Call:
    case = CASES[operation]
    rng = np.random.default_rng(list(map(ord, operation)))
    return call_of(build_of(operation), {f"x{number}": case.draw(rng, shape) for number, shape in enumerate(case.shapes)})


def test_every_rule_has_a_case() -> None:
    assert {*CASES, *FLAT, *FORMATS} == {*RULES}


@pytest.mark.parametrize("operation", FORMATS)
def test_rounding_to_a_format_hands_its_gradient_on(operation: str) -> None:
    call = call_of(lambda graph, x: graph.add(operation, x), {"x": np.linspace(-2.0, 2.0, 5)})
    graph = differentiate(built(lambda graph, x: graph.add(operation, x), call), call, by_units=False)
    assert np.array_equal(results_of(graph, call, graph.values)["grad_input"], call.cotangents["output"])


@pytest.mark.parametrize("operation", CASES)
def test_rule_gives_the_slopes(operation: str) -> None:
    found = compared(build_of(operation), drawn(operation))
    assert not wrong(found)
    assert sum(not one.undecided for one in found) > len(found) / 2


@pytest.mark.parametrize("operation", ["multiply", "matmul", "divide", "windows", "cumsum"])
def test_wrong_rule_is_seen(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    right = RULES[operation]

    def changed(graph: Any, *others: Any) -> Any:
        for number, part in right(graph, *others):
            yield number, graph.add("multiply", part, 1 + 1e-6)

    monkeypatch.setattr(backward, "RULES", {**RULES, operation: changed})
    assert wrong(compared(build_of(operation), drawn(operation)))


@pytest.mark.parametrize("operation", ["maximum", "minimum"])
def test_equal_arrays_share_the_gradient_and_a_constant_gets_none(operation: str) -> None:
    both = {"x": np.array([1.0, 2.0]), "y": np.array([1.0, 2.0])}

    def of_arrays(graph: Graph, x: At, y: At) -> At:
        return graph.add(operation, x, y)

    call = call_of(of_arrays, both)
    graph = differentiate(built(of_arrays, call), call, by_units=False)
    found = results_of(graph, call, graph.values)
    assert np.array_equal(found["grad_input.x"], call.cotangents["output"] / 2)
    assert np.array_equal(found["grad_input.y"], call.cotangents["output"] / 2)
    alone = Call({"x": np.ones(2)}, cotangents=np.ones(2))
    graph = differentiate(built(lambda graph, x: graph.add(operation, x, 1.0), alone), alone, by_units=False)
    assert np.array_equal(results_of(graph, alone, graph.values)["grad_input"], np.ones(2))
