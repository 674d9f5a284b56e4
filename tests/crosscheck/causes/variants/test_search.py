"""The search: what explains the failing call alone is dropped, and then others are looked for; without further calls it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.search import Search
from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import At, Graph
from tests.support.edited_programs import Edited, Loop, formula, loop


@cache
def layer(name: str) -> Loop:
    return loop(name)


def sum_by_length(graph: Graph, x: At) -> At:
    """Return the sums of the rows, each divided by its length."""
    return graph.add("mean", x, axes=(-1,), keepdims=True)


@cache
def mean() -> Loop:
    return formula(sum_by_length, "float64", (3, 6), (3, 4), (2, 9))


def examples(one: Loop, edited: Edited, calls: list[Call]) -> list[Example]:
    found = [one.edited(call, edited) for call in calls]
    assert None not in found
    return [example for example in found if example is not None]


def failing(one: Loop, edited: Edited) -> Example:
    return examples(one, edited, [one.call])[0]


def kinds(found: list[Explanation]) -> set[str]:
    return {explanation.edit.kind for explanation in found}


Confirmed = Callable[[Loop, Edited, Edited], Search]


def alone(one: Loop, right: Edited, wrong: Edited) -> Search:
    return one.search(failing(one, right))


def confirmed(one: Loop, right: Edited, wrong: Edited) -> Search:
    return one.search(failing(one, right), examples(one, right, one.again), examples(one, right, one.elsewhere))


def refuted_again(one: Loop, right: Edited, wrong: Edited) -> Search:
    return one.search(failing(one, right), examples(one, wrong, one.again), examples(one, right, one.elsewhere))


def refuted_elsewhere(one: Loop, right: Edited, wrong: Edited) -> Search:
    return one.search(failing(one, right), examples(one, right, one.again), examples(one, wrong, one.elsewhere))


CONFIRMED: Mapping[Confirmed, bool] = {alone: True, confirmed: True, refuted_again: False, refuted_elsewhere: False}


@pytest.mark.parametrize("search", CONFIRMED, ids=lambda search: search.__name__)
@pytest.mark.parametrize("mode", [Mode.CARRIED, Mode.DERIVED, Mode.RIGHT], ids=lambda mode: mode.name)
def test_edit_has_to_explain_calls_that_took_no_part_in_the_search(search: Confirmed, mode: Mode) -> None:
    one = layer("layer norm")
    less, another = (one.having("units", mode, "less", stage) for stage in (0, 2))
    found = search(one, less, another).run()
    assert bool(found) == CONFIRMED[search]
    assert not found or (found[0].edit.key, found[0].mode) == (less.key, mode)


@pytest.mark.parametrize("search", CONFIRMED, ids=lambda search: search.__name__)
def test_edit_of_the_backward_pass_has_to_explain_further_calls(search: Confirmed) -> None:
    one = layer("softmax")
    left_out, sign = (one.having("units", Mode.BACKWARD, kind, 0) for kind in ("left out", "sign"))
    assert bool(search(one, left_out, sign).run()) == CONFIRMED[search]


def test_further_calls_are_not_made_for_nothing() -> None:
    """A right edit is found by one search, and each further call is made once; nothing is called if no edit explains the failing call."""
    one = layer("cross-entropy")
    less = one.having("units", Mode.RIGHT, "less", 2)
    made: list[Call] = []

    def again() -> list[Example]:
        made.extend(one.again)
        return examples(one, less, one.again)

    search = one.search(failing(one, less))
    search.again = again
    assert search.run()
    assert made == one.again
    wrong = failing(one, less)
    unexplained = replace(wrong, found={name: value * 1.001 for name, value in wrong.found.items()}, wrong=frozenset(wrong.found))
    other = one.search(unexplained)
    other.again = again
    assert not other.run()
    assert made == one.again


def test_number_that_only_one_length_explains_is_dropped() -> None:
    """On rows of 6, a division by 5 may be one by n - 1; on rows of 4 it is not."""
    one = mean()

    def by_five(call: Call) -> Example:
        right = one.right(call).expected
        found = one.example(call, lambda given: {name: value * call.x.shape[-1] / 5 for name, value in right.items()})
        assert found is not None
        return found

    first, again, elsewhere = by_five(one.call), [by_five(call) for call in one.again], [by_five(call) for call in one.elsewhere]
    assert "less" in kinds(one.search(first, again).run())
    assert "less" not in kinds(one.search(first, again, elsewhere).run())


def test_edit_of_a_later_stage_is_found_where_further_calls_refute_the_earlier_ones() -> None:
    """With 7 rows of 6 numbers a division by n + 1 may be one by the number of rows, which is the commoner mistake; with 3 rows of 4 it is not."""
    one = formula(sum_by_length, "float64", (7, 6), (3, 4))
    more = one.having("units", Mode.CARRIED, "less", 2, "n + 1")
    assert kinds(one.search(failing(one, more)).run()) == {"count"}
    assert kinds(one.search(failing(one, more), examples(one, more, one.again), examples(one, more, one.elsewhere)).run()) == {"less"}


def longer_where_wide(graph: Graph, x: At) -> At:
    """Return sin(tanh(x)) in one more step for rows of 6 than for others, as a framework may take another way for some sizes."""
    return graph.add("sin", graph.add("tanh", graph.add("same", x) if graph.shape(x)[-1] == 6 else x))


def tanh_twice(one: Loop, call: Call) -> Example:
    y = np.tanh(np.tanh(call.x))
    slope = np.cos(y) * (1 - y**2) * (1 - np.tanh(call.x) ** 2)
    found = one.example(call, lambda given: {"output": np.sin(y), "grad_input": call.cotangents["output"] * slope})
    assert found is not None
    return found


def test_program_of_another_size_that_has_other_steps_refutes_nothing() -> None:
    """The third step is the tangent in one program, and the sine in the other one."""
    one = formula(longer_where_wide, "float64", (3, 6), (3, 4), (2, 5))
    found = one.search(
        tanh_twice(one, one.call), [tanh_twice(one, call) for call in one.again], [tanh_twice(one, call) for call in one.elsewhere]
    ).run()
    assert kinds(found) == {"twice"}


def test_search_without_time_says_so() -> None:
    one = layer("softmax")
    search = one.search(failing(one, one.having("units", Mode.BACKWARD, "left out", 0)))
    search.until = 0.0
    assert search.run() == []
    assert search.out_of_time
    assert not search.tried
