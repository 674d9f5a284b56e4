"""Pairs checked: what is expected, what was asked for, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import crosscheck
from crosscheck import Settings, Verdict
from crosscheck.run.check import check_pair, why_not
from tests.support import plain
from tests.support.right_pairs import error_of, linear, linear_with, pool_with_rule
from tests.support.unshrunk import check


class TestExpected:
    """Differences that are expected, each with a reason."""

    def test_difference_that_is_there(self) -> None:
        """It does not count, and nothing else was compared: the pair is skipped, not a match."""
        result = check(linear_with({"output": 2.0}, expected={"values-*": "doubled on purpose"}))
        assert result.verdict is Verdict.SKIPPED
        assert {r.expected for r in result.results if r.check.startswith("values-")} == {"doubled on purpose"}

    def test_difference_in_one_check(self) -> None:
        pair = replace(pool_with_rule("all"), expected={f"values-*-{f}": "the tutorial's rule" for f in ("digits", "ties", "kinks")})
        assert check(pair).verdict is Verdict.MATCH

    def test_difference_that_is_gone(self) -> None:
        """A stale entry is a mismatch that says what to do."""
        result = check(linear(expected={"values-float64-ties": "was wrong once"}))
        assert result.verdict is Verdict.MISMATCH
        assert result.first is not None
        assert result.first.reason == "declared to differ (was wrong once), but it agrees: remove it from the expected differences"


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_not_the_difference_that_was_expected(factor: float) -> None:
    """NaN is not what a doubled output was expected for."""
    pair = linear_with({"output": factor}, expected={"values-*": "doubled on purpose"}, dtypes=("float64",))
    result = check(pair, Settings(shrink=False), only=lambda name: name == "values-float64-normal").results[0]
    assert (result.counted, result.expected) == (Verdict.MISMATCH, "")
    assert result.reason.startswith("declared to differ (doubled on purpose), but not in this way: output on 3x5: ")


@pytest.mark.parametrize(("quantity", "counted"), [("output", Verdict.SKIPPED), ("grad_input", Verdict.MISMATCH)])
def test_expected_quantity(quantity: str, counted: Verdict) -> None:
    """A pattern may name the quantity; any other one that differs is a mismatch."""
    pair = linear_with({"output": 2.0}, expected={f"values-*:{quantity}": "on purpose"})
    result = check(pair, Settings(shrink=False), only=lambda name: name == "values-float64-normal").results[0]
    assert result.counted is counted


def test_expected_quantity_that_is_none() -> None:
    error = error_of(linear(expected={"values-*:grad_inptu": "a slip"}))
    assert "there is no quantity 'grad_inptu'; the quantities are output, grad_input, weight.grad, bias.grad" in error


def verdicts(results: Sequence[Any]) -> set[Verdict]:
    return {result.verdict for result in results}


def test_contracts_alone_are_a_verdict() -> None:
    """Asked for contracts alone, they decide."""
    result = check(linear(), only=lambda name: name.startswith("contract-"))
    assert result.verdict is Verdict.MATCH
    assert verdicts(result.results) == {Verdict.MATCH, Verdict.SKIPPED}


def test_nothing_asked_is_no_match() -> None:
    assert check(linear(), only=lambda name: False).verdict is Verdict.SKIPPED


def test_other_seed_other_numbers() -> None:
    """The seed reaches the checks."""
    found = [check(linear_with({"output": 2.0}), Settings(seed=seed), only=lambda name: name == "values-float64-normal").first for seed in (0, 0, 1)]
    worst = [first.divergence.judgement.worst for first in found if first and first.divergence]
    assert worst[0] == worst[1]
    assert worst[0] != worst[2]


def test_each_check_is_announced_before_it_is_run() -> None:
    announced: list[str] = []
    result = check_pair(plain.pair(), Settings(shrink=False), only=lambda name: name.endswith("-normal"), progress=announced.append)
    assert announced == [one.check for one in result.results] == ["values-float64-normal", "values-float32-normal"]


def test_only_the_first_mismatch_of_a_quantity_is_made_small() -> None:
    result = check_pair(plain.pair(plain.Negated), only=lambda name: name.startswith("values-float64-"))
    assert [one.reproduction is not None for one in result.results] == [True, *[False] * (len(result.results) - 1)]
    assert result.first is result.results[0]


def test_pair_that_cannot_be_made_ready() -> None:
    assert "cannot be copied" in why_not(plain.pair(Unready), Settings())
    assert why_not(plain.pair(), Settings()) == ""


class Unready(plain.Scale):
    """Cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise OSError("no")


def test_several_pairs_give_a_list_of_results() -> None:
    one, two = linear(), linear_with({"output": 2.0})

    def only(name: str) -> bool:
        return name == "values-float64-normal"

    assert [result.verdict for result in crosscheck.check([one, two], only=only)] == [Verdict.MATCH, Verdict.MISMATCH]
    assert [result.pair for result in crosscheck.check((one,), only=only)] == [one]
    assert crosscheck.check(one, only=only).verdict is Verdict.MATCH
    assert crosscheck.check([]) == []


@pytest.mark.parametrize(("given", "found"), [([3], "a int"), (None, "a NoneType"), ("pairs.py", "a str"), ([linear(), [linear()]], "a list")])
def test_what_is_no_pair(given: Any, found: str) -> None:
    with pytest.raises(
        TypeError, match=f"crosscheck.check got {found}, expected a Pair, an OptimizerPair or a ModelPair, or a list of them"
    ) as raised:
        crosscheck.check(given)
    assert ("crosscheck check FILE.py" in str(raised.value)) == isinstance(given, str)
