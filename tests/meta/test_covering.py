"""Covering arrays: every combination occurs, no row is redundant, and a combination that is missing is noticed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import optimizer_runs
from tests.support.covering import Row, covering, meetings, uncovered
from tests.support.layer_runs import RUNS

PRODUCT: list[Row] = list(itertools.product("abcde", range(4), (True, False), ("x", "y", "z")))
TABLES: dict[str, list[Row]] = {
    "product": PRODUCT,
    "product with gaps": [row for number, row in enumerate(PRODUCT) if number % 7],
    "layers": [(run.case, run.batch, run.family, run.dtype, run.reference, run.kernels) for run in RUNS],
    "optimizers": [(run.case, run.gradients, run.dtype, run.reference) for run in optimizer_runs.RUNS],
}


@pytest.mark.parametrize("strength", [1, 2])
@pytest.mark.parametrize("table", TABLES)
def test_all_values_meet(table: str, strength: int) -> None:
    rows = TABLES[table]
    chosen = covering(rows, strength)
    assert uncovered(rows, chosen, strength) == set()
    assert chosen == [row for row in rows if row in set(chosen)]


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), unique=True))
def test_every_pair_of_any_rows_meets(rows: list[tuple[int, int, int]]) -> None:
    assert uncovered(rows, covering(rows)) == set()


@pytest.mark.parametrize("number", range(len(covering(PRODUCT))))
def test_row_left_out_is_seen(number: int) -> None:
    """No row is redundant: without it a pair that only this row has is missing."""
    chosen = covering(PRODUCT)
    left_out = chosen.pop(number)
    missing = uncovered(PRODUCT, chosen)
    assert missing
    assert missing <= set(meetings(left_out))


def test_as_few_rows_as_the_two_largest_factors_ask_for() -> None:
    """The product of the two largest factors is the smallest possible number; the greedy choice is close to it."""
    assert 5 * 4 <= len(covering(PRODUCT)) <= 2 * 5 * 4


def test_same_value_of_two_factors_is_not_the_same() -> None:
    assert covering([(0, 1), (1, 0)], 1) == [(0, 1), (1, 0)]


def test_each_value_occurs_in_as_many_rows_as_the_largest_factor_has_values() -> None:
    assert len(covering(PRODUCT, 1)) == 5


def test_product_of_too_few_factors_is_refused() -> None:
    """Every pair of two factors' values is the whole product."""
    with pytest.raises(ValueError, match="of strength 2 takes 3 factors or more"):
        covering([("a", "b"), ("b", "b")])
