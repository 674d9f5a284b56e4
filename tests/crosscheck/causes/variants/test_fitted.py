"""A constant is fitted to the numbers found, to its last digit; where no constant explains them there is none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from crosscheck.causes.variants import fitted
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.fitted import with_constant
from crosscheck.causes.variants.program import Program
from crosscheck.causes.variants.trial import Trial
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.graph.graph import At, Graph
from tests.support.edited_programs import Loop, formula


def leaky(graph: Graph, x: At) -> At:
    """Return the mean of a leaky function of x with a leak of 0.1."""
    return graph.add("mean", graph.add("where", graph.add("greater", x, 0.0), x, graph.add("multiply", x, 0.1)), axes=(-1,))


def saturated(graph: Graph, x: At) -> At:
    """Return a constant within several functions."""
    return graph.add("exp", graph.add("tanh", graph.add("multiply", graph.add("add", graph.add("square", x), 0.5), 0.25)))


BUILDS = {"leak": (leaky, 0.1), "inner": (saturated, 0.25), "offset": (saturated, 0.5)}


@cache
def loop(name: str) -> Loop:
    return formula(BUILDS[name][0], "float64", (6, 5), (4, 7))


def place(program: Program, constant: float) -> tuple[tuple[object, ...], int]:
    """Return the group and the number of the argument that is a constant."""
    return next(
        (group, number)
        for group, places in program.groups.items()
        for number, arg in enumerate(program.graph.steps[places[0]].args)
        if places[0] < program.graph.forward and not isinstance(arg, At) and arg == constant
    )


def with_another(one: Loop, call: Call, name: str, value: float) -> Example:
    """Return a call on which the subject has another constant, in both passes."""
    program = one.program("units", call)
    assert program is not None
    group, number = place(program, BUILDS[name][1])
    explanation = Explanation(program, with_constant(program, group, number, value), Mode.DERIVED)
    results = explanation.results(one.programs.values(program, one.right(call)))
    found = one.example(call, lambda given: dict(results))
    assert found is not None
    return found


def first(one: Loop, example: Example) -> list[float]:
    """Return the constants that are tried, in their order, for the formula with the constant that differs."""
    program = one.program("units")
    assert program is not None
    trial = Trial(program, example, one.programs.values(program, example))
    with np.errstate(all="ignore"):
        edits = [*fitted.edits_of(program, True, lambda edit: trial.residual(edit, True))]
    return [edit.key[-1] for edit in edits if trial.mode(edit, True) is not None]  # type: ignore[misc]


@pytest.mark.parametrize("value", [0.17, 0.125, 0.0371, 2.0, -0.3])
@pytest.mark.parametrize("name", BUILDS)
def test_constant_is_found_to_its_digits(name: str, value: float) -> None:
    one = loop(name)
    found = one.search(with_another(one, one.call, name, value), [with_another(one, call, name, value) for call in one.again]).run()
    assert found
    assert value in [explanation.edit.key[-1] for explanation in found] or found[0].edit.stage < 9


@pytest.mark.parametrize("value", [0.17, 0.0371])
@pytest.mark.parametrize("name", BUILDS)
def test_fewest_digits_come_first(name: str, value: float) -> None:
    one = loop(name)
    assert first(one, with_another(one, one.call, name, value))[0] == value


def damaged(one: Loop, call: Call) -> Example:
    rng, right = np.random.default_rng(0), one.right(call).expected
    found = one.example(call, lambda given: {name: noisy(rng, value) for name, value in right.items()})
    assert found is not None
    return found


def noisy(rng: np.random.Generator, value: Array) -> Array:
    return value * (1 + rng.standard_normal(value.shape) / 100)


@pytest.mark.parametrize("name", BUILDS)
def test_no_constant_explains_noise(name: str) -> None:
    one = loop(name)
    assert first(one, damaged(one, one.call)) == []
    assert one.search(damaged(one, one.call)).run() == []


def test_constant_that_another_call_refutes_is_dropped() -> None:
    """Each call has a constant of its own, as if it were fitted to it."""
    one = loop("leak")
    failing, again = with_another(one, one.call, "leak", 0.17), with_another(one, one.again[0], "leak", 0.19)
    assert first(one, failing)
    assert one.search(failing, [again]).run() == []


def test_residual_without_a_slope_ends_the_fit() -> None:
    """A number that nothing depends on is not fitted; nor is one without numbers to fit it to."""

    def flat(graph: Graph, x: At) -> At:
        return graph.add("multiply", graph.add("floor", graph.add("multiply", x, 1e-9)), 2.0)

    one = formula(flat, "float64", (3,))
    program = one.program("units")
    assert program is not None
    assert [*fitted.edits_of(program, True, lambda edit: np.zeros(3))] == []
    assert [*fitted.edits_of(program, True, lambda edit: None)] == []


def test_edit_gives_all_turns_the_constant() -> None:
    def turns(graph: Graph, x: At) -> At:
        for _ in range(4):
            x = graph.add("tanh", graph.add("add", graph.add("multiply", x, 0.3), graph.add("sin", x)))
        return x

    program = formula(turns, "float64", (5,)).program("units")
    assert program is not None
    edit = with_constant(program, *place(program, 0.3), 0.9)
    assert len(edit.rewrites) == 4
