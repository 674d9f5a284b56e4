"""The operations that NumPy lacks, beside loops that say what they mean; and what is said of the operations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from crosscheck.oracles.graph.operations import (
    EXACT,
    FUNCTIONS,
    OPERATIONS,
    SUMS,
    WHOLE,
    add_along,
    add_rows,
    add_windows,
    first_largest,
    mean,
    one_hot,
    pad,
    place,
    replace_at,
    set_rows,
    take,
    take_along,
    windows,
)

RNG = np.random.default_rng(7)
IDS = np.array([2, 0, 2])


def whole(*shape: int) -> Any:
    """Return an array of whole numbers, whose sums are exact."""
    return RNG.integers(-9, 9, shape).astype(np.float64)


def test_every_kind_of_operation_is_one() -> None:
    for kind in (EXACT, FUNCTIONS, SUMS, WHOLE):
        assert kind <= {*OPERATIONS}
    assert not EXACT & FUNCTIONS
    assert not EXACT & SUMS


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [((2, 3), (1, 1), (1, 1)), ((2, 2), (2, 3), (2, 1)), ((1, 1), (1, 2), (3, 3))])
def test_windows_and_their_sum(kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> None:
    x = whole(2, 6, 7)
    cut = windows(x, kernel, stride, dilation)
    added = np.zeros_like(x)
    for r, c, i, j in itertools.product(*map(range, cut.shape[1:])):
        row, column = r * stride[0] + i * dilation[0], c * stride[1] + j * dilation[1]
        assert np.array_equal(cut[:, r, c, i, j], x[:, row, column])
        added[:, row, column] += cut[:, r, c, i, j]
    assert np.array_equal(add_windows(cut, x.shape, kernel, stride, dilation), added)


def test_rows_are_taken_added_and_set() -> None:
    table, rows = whole(4, 2), whole(3, 2)
    assert np.array_equal(take(table, IDS), table[[2, 0, 2]])
    assert np.array_equal(add_rows(rows, IDS, 4), [rows[1], np.zeros(2), rows[0] + rows[2], np.zeros(2)])
    assert np.array_equal(set_rows(rows, IDS, 4), [rows[1], np.zeros(2), rows[2], np.zeros(2)])


def test_numbers_along_an_axis_are_taken_and_added() -> None:
    x, ids = whole(2, 3), np.array([[0, 0, 2, 1], [2, 1, 1, 2]])
    taken = take_along(x, ids, 1)
    added = np.zeros_like(x)
    for row, column in np.ndindex(ids.shape):
        assert taken[row, column] == x[row, ids[row, column]]
        added[row, ids[row, column]] += taken[row, column]
    assert np.array_equal(add_along(taken, ids, 1, 3), added)


def test_part_is_placed_and_replaced() -> None:
    x, key = whole(3, 4), (1, slice(0, 4, 2))
    part = np.array([50.0, 60.0])
    assert np.array_equal(replace_at(x, part, key)[1], [50, x[1, 1], 60, x[1, 3]])
    assert place(part, (3, 4), key).sum() == part.sum()
    assert np.array_equal(replace_at(x, np.array(0.0), key) + place(x[key], x.shape, key), x)


def test_first_of_equal_numbers_counts() -> None:
    x = np.array([[1.0, 3.0, 3.0], [3.0, 2.0, 0.0]])
    assert np.array_equal(first_largest(x, (1,)), [[0, 1, 0], [1, 0, 0]])
    assert np.array_equal(first_largest(x, (0, 1)), [[0, 1, 0], [0, 0, 0]])
    assert np.array_equal(first_largest(x, (0,)), [[0, 1, 1], [1, 0, 0]])


def test_border_is_added_or_cut() -> None:
    x = whole(2, 3)
    assert np.array_equal(pad(x, ((0, 0), (1, -1)), fill=-np.inf), np.column_stack([[-np.inf] * 2, x[:, :2]]))
    assert np.array_equal(pad(x, ((0, 0), (2, 0)), mode="reflect"), x[:, [2, 1, 0, 1, 2]])


def test_mean_divides_by_less() -> None:
    x = np.array([[2.0, 4.0], [6.0, 8.0]])
    assert mean(x, (0, 1)) == 5
    assert np.array_equal(mean(x, (0,), keepdims=True, less=1), [[8.0, 12.0]])


def test_labels_become_rows_with_a_one() -> None:
    assert np.array_equal(one_hot(np.array([1, -100]), 3), [[0, 1, 0], [0, 0, 0]])
