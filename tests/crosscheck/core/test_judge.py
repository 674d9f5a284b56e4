"""The verdict on one array: what is wrong, what rounding explains, and what cannot be said."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.core.judge import Judgement, Kind, Verdict, combine_verdicts, equal, judge
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place

PLACE = Place(3, "conv", "output")
PRECISION = Precision(np.dtype(np.float32), 1000)
LARGEST = float(np.finfo(np.float32).max)


def judged(subject: Array, oracle: Array, terms: Array | float = 1.0, roundings: float = 4.0) -> Judgement:
    """Judge an array with the bound of a sum of four."""
    return judge(PLACE, Kind.LAYER, subject, oracle, Bound(terms, roundings), PRECISION)


def single(*values: float) -> Array:
    return np.array(values, np.float32)


def test_equal_arrays_match() -> None:
    judgement = judged(single(1, 2), np.array([1.0, 2.0]))
    assert (judgement.verdict, judgement.elements, judgement.fraction, judgement.worst) == (Verdict.MATCH, 2, 0.0, None)


def test_sides_of_the_tolerance() -> None:
    """Four units of T are tolerated for four roundings; the fraction says how close an error comes."""
    oracle = np.array([1.0, 1.0])
    below, above = (judged(single(1, 1), oracle + units * PRECISION.unit * np.arange(2)) for units in (3, 5))
    assert (below.verdict, above.verdict) == (Verdict.MATCH, Verdict.MISMATCH)
    assert below.fraction == 3 / 4
    assert above.units == 5
    assert (above.exceeding, above.worst.index if above.worst else None) == (1, (1,))


@pytest.mark.parametrize("exponent", [-60, 0, 60])
def test_units_have_no_scale(exponent: int) -> None:
    """The same error in the same terms is the same number of units, however large the numbers are."""
    scale = 2.0**exponent
    judgement = judged(single(1 * scale), np.array([(1 + 100 * PRECISION.unit) * scale]), terms=scale)
    assert judgement.units == 100


def test_cancellation_is_judged_by_its_terms() -> None:
    """A tiny difference of large numbers may be off by many times its own value."""
    assert judged(single(1e-3), np.array([2e-3]), terms=1e5).verdict is Verdict.MATCH
    assert judged(single(1e-3), np.array([2e-3]), terms=1e2).verdict is Verdict.MISMATCH


def test_worst_element_is_that_of_the_largest_fraction() -> None:
    """Not of the largest error: a small error where little is tolerated is worse."""
    judgement = judged(single(1000, 1), np.array([1000.001, 1.0001]), terms=np.array([1e6, 1.0]))
    assert judgement.worst is not None
    assert judgement.worst.index == (1,)
    assert (judgement.worst.subject, judgement.worst.oracle) == (1.0, 1.0001)


def test_nothing_is_tolerated_where_every_term_is_zero() -> None:
    """Nothing but what products lose that underflow."""
    judgement = judged(single(1e-30, 0), np.zeros(2), terms=np.zeros(2), roundings=0)
    assert judgement.verdict is Verdict.MISMATCH
    assert judgement.fraction == float("inf")


def test_units_where_every_term_is_zero() -> None:
    """In float64 the smallest T times the unit roundoff underflows to zero."""
    double = Precision(np.dtype(np.float64), 1000)
    judgement = judge(PLACE, Kind.LAYER, np.array([1e-9, 0]), np.zeros(2), Bound.exact(np.zeros(2)), double)
    assert (judgement.verdict, judgement.units) == (Verdict.MISMATCH, float("inf"))


def test_subnormal_numbers() -> None:
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    assert judged(single(0), np.array([3 * smallest]), terms=3 * smallest).verdict is Verdict.MATCH
    assert judged(single(0), np.array([5 * smallest]), terms=5 * smallest).verdict is Verdict.MISMATCH


def test_shape() -> None:
    judgement = judged(np.zeros((2, 3), np.float32), np.zeros((3, 2)))
    assert judgement.verdict is Verdict.MISMATCH
    assert "(2, 3)" in judgement.reason
    assert "(3, 2)" in judgement.reason


def test_shape_that_would_broadcast() -> None:
    assert judged(np.zeros((2, 1), np.float32), np.zeros((2, 3))).verdict is Verdict.MISMATCH


def test_dtype() -> None:
    """A float64 result of a float32 layer is a fault even where its numbers are right."""
    judgement = judged(np.zeros(3), np.zeros(3))
    assert judgement.verdict is Verdict.MISMATCH
    assert "float64" in judgement.reason
    assert "float32" in judgement.reason


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_not_finite(value: float, word: str) -> None:
    judgement = judged(single(1, value, 2), np.array([1.0, 1.0, 2.0]))
    assert judgement.verdict is Verdict.MISMATCH
    assert word in judgement.reason
    assert judgement.worst is not None
    assert judgement.worst.index == (1,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_oracle_not_finite(value: float) -> None:
    """Nobody can say what is right there, not even if both sides hold the same."""
    assert judged(single(value), np.array([value])).verdict is Verdict.UNDECIDED


def test_sums_beyond_the_range() -> None:
    """Where the terms may have overflowed on the way, infinity is no proof of a fault; where only some may, the others are."""
    subject, oracle = single(np.inf, 1), np.array([1.0, 1.0])
    assert judged(subject, oracle, terms=np.array([2 * LARGEST, 1.0])).verdict is Verdict.UNDECIDED
    both = single(np.inf, np.inf)
    assert judged(both, oracle, terms=np.array([2 * LARGEST, 1.0])).verdict is Verdict.MISMATCH


def test_one_nan_among_right_numbers_is_not_lost() -> None:
    """NaN is neither above nor below a tolerance: a comparison written the wrong way round lets it pass."""
    subject = np.ones(10_000, np.float32)
    subject[9_999] = np.nan
    assert judged(subject, np.ones(10_000)).exceeding == 1


def test_empty_array() -> None:
    """An empty batch compares no number."""
    judgement = judged(np.zeros((0, 3), np.float32), np.zeros((0, 3)))
    assert (judgement.verdict, judgement.elements) == (Verdict.MATCH, 0)


def test_scalar() -> None:
    judgement = judged(np.asarray(np.float32(2)), np.asarray(1.0))
    assert judgement.verdict is Verdict.MISMATCH
    assert judgement.worst is not None
    assert judgement.worst.index == ()


def test_wire_carries_nan() -> None:
    assert equal(PLACE, Kind.WIRE, single(1, np.nan, np.inf), single(1, np.nan, np.inf), PRECISION).verdict is Verdict.MATCH


@pytest.mark.parametrize(
    "sent",
    [single(1, np.nextafter(np.float32(2), np.float32(3))), single(1, np.nan), np.array([1.0, 2.0]), single(1), single(np.inf, 2)],
    ids=["one-bit", "nan", "dtype", "shape", "inf"],
)
def test_wire_broken(sent: Array) -> None:
    """A wire carries the same bits, in the same shape and precision; what was sent need not be finite for a change to be one."""
    assert equal(PLACE, Kind.WIRE, single(1, 2), sent, PRECISION).verdict is Verdict.MISMATCH


def test_wire_that_changes_beside_a_nan() -> None:
    """A NaN that is carried as it is does not hide another number that is not."""
    judgement = equal(PLACE, Kind.WIRE, single(np.nan, 1), single(np.nan, 2), PRECISION)
    assert (judgement.verdict, judgement.exceeding) == (Verdict.MISMATCH, 1)
    assert judgement.worst is not None
    assert judgement.worst.index == (1,)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("terms", [0.0, 5e-324, 1e-310, 1e-308])
def test_unit_that_underflows(terms: float, dtype: str) -> None:
    """An error beside a T so small that u * T is zero is a mismatch with some number of units, not a division by zero."""
    precision = Precision(np.dtype(dtype), 1)
    found = judge(Place(0, "layer", "output"), Kind.LAYER, np.ones(2, dtype), np.zeros(2), Bound(np.full(2, terms), 3.0), precision)
    assert found.verdict is Verdict.MISMATCH
    assert found.units > 0


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.SKIPPED),
        ([Verdict.SKIPPED], Verdict.SKIPPED),
        ([Verdict.SKIPPED, Verdict.MATCH], Verdict.MATCH),
        ([Verdict.MATCH, Verdict.UNDECIDED], Verdict.UNDECIDED),
        ([Verdict.UNDECIDED, Verdict.MISMATCH, Verdict.MATCH], Verdict.MISMATCH),
    ],
)
def test_verdict_on_several_is_the_worst(verdicts: list[Verdict], worst: Verdict) -> None:
    assert combine_verdicts(verdicts) is worst
