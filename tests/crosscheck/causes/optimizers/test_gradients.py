"""Changes of gradients: their limits are numbers that somebody may have written, and each does what its sentence says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crosscheck.causes.optimizers.gradients import LIMITED, Limited, plain_number

GIVEN = {"weight": np.array([[3.0, -4.0], [0.0, 1e-3]]), "bias": np.array([12.0, -1.0])}


def limited(start: str) -> Limited:
    return next(one for one in LIMITED if one.words.startswith(start))


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [(0.3, 30.0, 1.0), (4.9, 5.2, 5.0), (1.21, 1.24, 1.22), (0.0, 2e15, 1e15), (3.0, math.inf, 10.0), (2e-7, 8e-6, 1e-6)],
)
def test_plain_number(low: float, high: float, number: float) -> None:
    found = plain_number(low, high)
    assert low < found < high
    assert found == number


def test_changes_at_a_limit() -> None:
    def on(start: str, limit: float) -> list[float]:
        (changed,) = limited(start).at(limit).on([GIVEN])
        return np.concatenate([value.ravel() for value in changed.values()]).tolist()  # type: ignore[no-any-return]

    assert on("each gradient is clipped", 2.0) == [2.0, -2.0, 0.0, 1e-3, 2.0, -1.0]
    assert on("in a step with any gradient larger", 11.0) == [0.0] * 6
    assert on("in a step with any gradient larger", 13.0) == [3.0, -4.0, 0.0, 1e-3, 12.0, -1.0]
    assert on("if a parameter has a gradient larger", 11.0) == [3.0, -4.0, 0.0, 1e-3, 0.0, 0.0]
    assert on("gradients larger", 3.5) == [3.0, 0.0, 0.0, 1e-3, 0.0, -1.0]
    assert on("gradients smaller", 2.0) == [3.0, -4.0, 0.0, 0.0, 12.0, 0.0]
    assert on("gradients smaller than {limit} times the largest one of their", 0.5) == [3.0, -4.0, 0.0, 0.0, 12.0, 0.0]
    assert on("gradients smaller than {limit} times the largest one of all", 0.5) == [0.0, 0.0, 0.0, 0.0, 12.0, 0.0]


@pytest.mark.parametrize(("whose", "norms"), [("each parameter", (1.0, 1.0)), ("all parameters together", (5 / 13, 12 / 13))])
def test_scaled_to_a_norm(whose: str, norms: tuple[float, float]) -> None:
    given = {"weight": np.array([3.0, -4.0]), "bias": np.array([12.0])}
    (changed,) = limited(f"the gradients of {whose}").at(1.0).on([given])
    found = [float(np.sqrt((value**2).sum())) for value in changed.values()]
    assert np.abs(np.subtract(found, norms)).max() <= 4 * np.finfo(float).eps
    (same,) = limited(f"the gradients of {whose}").at(14.0).on([given])
    assert all(np.array_equal(value, given[name]) for name, value in same.items())


def test_sentence_has_the_limit_or_its_interval() -> None:
    one = limited("each gradient is clipped")
    assert "between -5 and 5" in one.at(5.0).words
    assert "a limit below 3" in one.at(1.0, "a limit below 3").words
