"""A graph: equal steps are one, a step keeps its name, and it can be evaluated for other arguments."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.oracles.graph.graph import At, Graph, Origin, members, reachable, union


def small() -> Graph:
    graph = Graph()
    x, w = graph.input("x", np.array([1.0, 2.0])), graph.input("w", np.array([3.0, 4.0]))
    product = graph.add("multiply", x, w, role="product")
    graph.outputs["output"] = graph.add("add", product, 1.0)
    return graph


def test_equal_steps_are_one() -> None:
    graph = small()
    x, w = graph.inputs["x"], graph.inputs["w"]
    count = len(graph.steps)
    assert graph.add("multiply", x, w) == graph.add("multiply", x, w) == 2
    assert len(graph.steps) == count
    assert graph.add("multiply", w, x) == count


def test_numbers_of_different_types_make_different_steps() -> None:
    graph = small()
    x = graph.inputs["x"]
    assert graph.add("multiply", x, 1) != graph.add("multiply", x, True) != graph.add("multiply", x, 1.0)


def test_equal_constants_are_one() -> None:
    graph = Graph()
    assert graph.constant(np.zeros(2)) == graph.constant([0.0, 0.0])
    assert graph.constant(np.zeros(2)) != graph.constant(np.zeros(2, np.int64)) != graph.constant(np.zeros((1, 2)))


def test_evaluation_for_other_arguments_equals_a_new_graph() -> None:
    graph = small()
    values = graph.evaluated({"x": np.array([5.0, 6.0]), "w": np.array([7.0, 8.0])})
    assert np.array_equal(values[graph.outputs["output"]], [36.0, 49.0])
    assert np.array_equal(graph.values[graph.outputs["output"]], [4.0, 9.0])


def test_step_keeps_its_first_name_and_a_constant_gets_none() -> None:
    graph = small()
    product = At(2)
    graph.named(product, "p")
    graph.named(product, "q")
    constant = graph.named(graph.constant(np.ones(3)), "c")
    assert (graph.steps[product].name, graph.steps[constant].name) == ("p", "")


def test_steps_after_the_forward_pass_belong_to_it() -> None:
    graph = small()
    graph.end_forward()
    graph.belongs(At(2))
    grad = graph.add("negative", graph.inputs["x"])
    again = graph.add("exp", grad)
    graph.number(grad, 1)
    origins = [graph.steps[at].origin for at in (grad, again)]
    assert graph.forward == grad
    assert origins == [Origin(At(2), argument=1, number=number) for number in range(2)]


@pytest.mark.parametrize(("through", "expected"), [(True, [0, 2, 3]), (False, [0])])
def test_what_a_step_reaches(through: bool, expected: list[int]) -> None:
    graph = small()
    found = reachable(graph.users(), lambda at: through)
    assert list(members(found[0])) == expected
    assert list(members(union([found[0], found[1]]))) == sorted({*expected, 1})


def test_all_of_a_known_unit_adds_no_new_one() -> None:
    graph = small()
    output = graph.outputs["output"]
    assert graph.unit("softmax", [graph.inputs["x"]], output, len(graph.steps)) == output
    assert not graph.units
