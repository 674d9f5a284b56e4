"""An explainer keeps within its time, says why it found nothing, and tests what it has found on the next call before it searches again."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explain import Explainer, Known
from crosscheck.causes.variants.explanation import Mode
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.graph.graph import At, Graph
from tests.support.edited_programs import FOREVER, Edited, Formula, Loop, formula, loop
from tests.support.graph_slopes import built


@cache
def layer(name: str) -> Loop:
    return loop(name)


def example(one: Loop, edited: Edited, call: Call) -> Example:
    found = one.edited(call, edited)
    assert found is not None
    assert found.wrong
    return found


def less(one: Loop) -> Edited:
    return one.having("units", Mode.CARRIED, "less", 0)


def more(one: Loop) -> Edited:
    return one.having("units", Mode.CARRIED, "less", 2)


def none() -> list[Example]:
    return []


@pytest.mark.parametrize("seconds", [0.0, 3.0, 45.0])
def test_explainer_without_time_left_says_how_to_go_on(seconds: float) -> None:
    one = layer("layer norm")
    explainer = Explainer(one.oracle, seconds, spent=seconds)
    assert explainer.cause(example(one, less(one), one.call), none, none) is None
    assert f"{seconds:g} s" in explainer.why_not
    words = explainer.why_not.split()
    assert float(words[words.index("--explain") + 1]) > seconds
    assert not explainer.tried
    assert not explainer.known


def test_search_that_runs_out_of_time_says_so() -> None:
    one = layer("layer norm")
    explainer = Explainer(one.oracle, 1e-9)
    assert explainer.cause(example(one, less(one), one.call), none, none) is None
    assert "--explain" in explainer.why_not
    assert explainer.spent > 1e-9


def test_time_is_shared_by_all_calls() -> None:
    one = layer("layer norm")
    explainer = Explainer(one.oracle, FOREVER)
    assert explainer.cause(example(one, less(one), one.call), none, none) is not None
    first = explainer.spent
    assert first > 0
    assert explainer.cause(example(one, more(one), one.call), none, none) is not None
    assert explainer.spent > first


def test_what_was_found_explains_the_next_call_without_a_search() -> None:
    """Also a call of another shape, and also when no time is left."""
    one = layer("layer norm")
    explainer = Explainer(one.oracle, FOREVER)
    first = explainer.cause(example(one, less(one), one.call), none, none)
    assert first is not None
    assert explainer.known == [Known("units", Mode.CARRIED, less(one).key)]
    tried, explainer.seconds = explainer.tried, 0.0
    assert tried
    for call in (one.unseen, *one.elsewhere):
        found = explainer.cause(example(one, less(one), call), none, none)
        assert found is not None
        assert found.name == first.name
        assert not explainer.why_not
    assert explainer.tried == tried


def test_what_was_found_is_not_used_where_it_does_not_hold() -> None:
    one = layer("layer norm")
    explainer = Explainer(one.oracle, FOREVER)
    explainer.cause(example(one, less(one), one.call), none, none)
    tried = explainer.tried
    found = explainer.cause(example(one, more(one), one.unseen), none, none)
    assert found is not None
    assert explainer.tried > tried
    assert [known.key for known in explainer.known] == [less(one).key, more(one).key]


def test_fitted_number_is_remembered() -> None:
    one = layer("layer norm")

    def with_epsilon(call: Call) -> Example:
        x, weight, bias = call.x, *call.params.values()
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + 0.0371)
        output = (x - x.mean(axis=-1, keepdims=True)) / spread * weight + bias
        found = one.example(call.forward, lambda given: {"output": output})
        assert found is not None
        return found

    explainer = Explainer(one.oracle, FOREVER)
    found = explainer.cause(with_epsilon(one.call), lambda: [with_epsilon(one.again[0])], none)
    assert found is not None
    assert [known.key[0] for known in explainer.known] == ["fitted"]
    assert explainer.known[0].key[-1] == 0.0371
    tried = explainer.tried
    assert explainer.cause(with_epsilon(one.unseen), none, none) is not None
    assert explainer.tried == tried


class WithoutSteps:
    """A reference that cannot be taken apart."""

    def __init__(self, one: Loop) -> None:
        self.vjp, self.rounding, self.decisions, self.settings = one.oracle.vjp, one.oracle.rounding, one.oracle.decisions, one.oracle.settings


def test_reference_without_steps_is_no_search() -> None:
    one = layer("layer norm")
    explainer = Explainer(WithoutSteps(one), FOREVER)
    assert explainer.cause(example(one, less(one), one.call), none, none) is None
    assert "cannot be taken apart" in explainer.why_not
    assert not explainer.tried


def half(graph: Graph, x: At) -> At:
    return graph.add("divide", x, 2.0)


def third(graph: Graph, x: At) -> At:
    return graph.add("divide", x, 3.0)


class OfAnotherFormula(Formula):
    """A reference whose steps do not compute its results."""

    def graph(self, call: Call) -> Graph:
        """Return the steps of a third."""
        return built(third, call)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return a half."""
        return Formula(half).vjp(call)


def test_steps_that_do_not_give_the_results_are_not_searched() -> None:
    one = formula(half, "float64", (3, 4))
    found = one.example(one.call, lambda call: {"output": call.x, "grad_input": call.cotangents["output"]})
    assert found is not None
    right, wrong = Explainer(Formula(half), FOREVER), Explainer(OfAnotherFormula(half), FOREVER)
    assert right.cause(found, none, none) is not None
    assert wrong.cause(found, none, none) is None
    assert "do not give its results" in wrong.why_not


def test_cause_says_how_far_the_edit_brings_the_results() -> None:
    one = layer("layer norm")
    cause = Explainer(one.oracle, FOREVER).cause(example(one, less(one), one.call), none, none)
    assert cause is not None
    assert cause.name == "edit: less"
    assert cause.confirmed
    assert cause.units_after < 1 < cause.units_before
    assert "{" not in cause.words
    assert "..." not in cause.words
