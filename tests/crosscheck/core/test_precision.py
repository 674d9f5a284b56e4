"""The one formula that every tolerance comes from, against sums whose error is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crosscheck.core.precision import Bound, Precision

SINGLE = Precision(np.dtype(np.float32), 1000)
DOUBLE = Precision(np.dtype(np.float64), 1000)


def worst_sum(terms: int) -> tuple[float, float]:
    """Return 1 and then so many terms of one unit roundoff each, summed in float32, where each addition loses its term, and the exact sum."""
    total = np.float32(1)
    for _ in range(terms):
        total = np.float32(total + np.float32(SINGLE.unit))
    return float(total), 1 + terms * SINGLE.unit


@pytest.mark.parametrize("terms", [1, 5, 40])
def test_theorem_is_sharp(terms: int) -> None:
    """The worst sum of n roundings is explained by n, and by n - 1 it is not."""
    total, exact = worst_sum(terms)
    assert total == 1.0
    assert exact - total <= SINGLE.tolerance(Bound(exact, terms))
    assert exact - total > SINGLE.tolerance(Bound(exact, terms - 1))


def test_no_rounding_no_tolerance() -> None:
    """Exact operations are given nothing."""
    assert SINGLE.tolerance(Bound.exact(np.array([0.0, 1.0, -1e30]))).tolist() == [0, 0, 0]


def test_long_sums_are_held_to_the_probabilistic_arm() -> None:
    """A sum that is wrong always in the same direction is no longer explained once it is long enough for that to be improbable."""
    terms = 4 * math.ceil(SINGLE.confidence**2)
    total, exact = worst_sum(terms)
    assert exact - total > SINGLE.tolerance(Bound(exact, terms))


@pytest.mark.parametrize("count", [100, 10_000, 1_000_000])
def test_random_sums_stay_inside(count: int) -> None:
    """Sums of random signs, one after the other as the worst algorithm does it, keep the bound; a hundredth of it they do not."""
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    total = np.add.accumulate(values)[-1]
    error = abs(float(total) - math.fsum(values.tolist()))
    tolerance = float(SINGLE.tolerance(Bound(float(np.abs(values.astype(np.float64)).sum()), count)))
    assert 0 < error <= tolerance


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_is_half_a_unit_in_the_last_place(dtype: type) -> None:
    """1 + u is a tie and rounds to 1; anything above it does not."""
    one, unit = dtype(1), dtype(Precision(np.dtype(dtype), 1).unit)
    assert one + unit == one
    assert one + unit * dtype(1.01) > one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smallest_is_the_last_number_before_zero(dtype: type) -> None:
    """Half of the smallest number is zero."""
    smallest = dtype(Precision(np.dtype(dtype), 1).smallest)
    assert smallest > 0
    assert smallest / dtype(2) == 0


def test_confidence_keeps_false_alarms_rare() -> None:
    """A Gaussian error beyond lambda standard deviations in any of N elements has the probability delta, by the tail's own bound 2 exp(-x^2/2)."""
    precision = Precision(np.dtype(np.float32), 123_456, 1e-3)
    assert round(123_456 * 2 * math.exp(-(precision.confidence**2) / 2), 12) == 1e-3
    assert 123_456 * math.erfc(precision.confidence / math.sqrt(2)) < 1e-3


def test_two_sides_round_in_double() -> None:
    """Beside an oracle of the same precision both sides' errors count; beside a wider one the subject's alone."""
    bound = Bound(1.0, 1.0)
    assert DOUBLE.tolerance(bound) == 2 * DOUBLE.unit
    assert SINGLE.tolerance(bound) == SINGLE.unit


def test_underflow_is_explained() -> None:
    """A product that underflows loses up to a whole smallest number, however small T is."""
    factor = np.float32(2.0**-75)
    product, exact = float(factor * factor), 2.0**-150
    assert product == 0.0
    assert abs(product - exact) <= SINGLE.tolerance(Bound(exact, 1.0))
    assert abs(product - exact) > SINGLE.unit * exact
