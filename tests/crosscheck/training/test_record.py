"""Curves that stay small: no peak is lost, counts and averages stay exact, and a record of a long run takes no more than one of a short one."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.core.judge import Judgement, Kind, Verdict, Worst
from crosscheck.core.trace import Place
from crosscheck.training.record import AVERAGED, KEPT, Means, Peaks, Record
from tests.support.laws import law

LONG = 50 * KEPT + 17


def peaks(values: list[float]) -> Peaks:
    """Return the curve of values at steps 10, 20, ..."""
    curve = Peaks()
    for at, value in enumerate(values):
        curve.add(10 * (at + 1), value)
    return curve


def test_short_curve_is_complete() -> None:
    curve = peaks([0.1, 0.3, 0.2])
    assert (curve.steps, curve.values) == ([10, 20, 30], [0.1, 0.3, 0.2])


COUNTS = st.integers(0, LONG) | st.sampled_from([KEPT, KEPT + 1, 2 * KEPT, 2 * KEPT + 1, LONG])
"""Of what a curve was given, the ends of its groups included."""


@law
@given(COUNTS, st.integers(0, 99))
def test_curve_loses_no_peak_and_stays_small_and_even(count: int, seed: int) -> None:
    """Each point is the largest value of its group at its own step, and stands for as many steps as the others but for the last one."""
    values = np.random.default_rng(seed).random(count).tolist()
    curve = peaks(values)
    groups = [values[start : start + curve.each] for start in range(0, count, curve.each)]
    assert curve.values == [max(group) for group in groups]
    assert [values[step // 10 - 1] for step in curve.steps] == curve.values
    assert len(curve.steps) == len(curve.values) <= KEPT
    assert len(curve.steps) > KEPT / 2 or count <= KEPT / 2
    assert not count or (len(curve.steps) - 1) * curve.each + curve.filled == count


@pytest.mark.parametrize("at", [0, 1, KEPT - 1, KEPT, KEPT + 1, LONG // 2, LONG - 2, LONG - 1])
def test_peak_without_limit_is_kept_at_its_step(at: int) -> None:
    curve = peaks([math.inf if step == at else 0.5 for step in range(LONG)])
    assert (curve.values.count(math.inf), curve.steps[curve.values.index(math.inf)]) == (1, 10 * (at + 1))


def means(values: list[float]) -> Means:
    """Return the curve of values, and of twice as much on the other side."""
    curve = Means()
    for value in values:
        curve.add(value, 2 * value)
    return curve


def test_means_of_a_short_run() -> None:
    assert means([1.0, 4.0]).points() == [(1, 1.0, 2.0), (2, 4.0, 8.0)]


def test_no_means_yet() -> None:
    assert Means().points() == []


@law
@given(st.integers(1, LONG) | st.sampled_from([AVERAGED, AVERAGED + 1, 3 * AVERAGED, LONG]))
def test_means_stay_small_and_exact(count: int) -> None:
    """Of whole numbers sums are exact: of the steps 1, 2, ... the average of a group is the middle of it."""
    points = means([float(step) for step in range(1, count + 1)]).points()
    ends = [0, *(end for end, _, _ in points)]
    assert len(points) <= AVERAGED
    assert ends[-1] == count
    assert [mean for _, mean, _ in points] == [(first + 1 + last) / 2 for first, last in itertools.pairwise(ends)]
    assert [other for _, _, other in points] == [2 * mean for _, mean, _ in points]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_mean_of_what_is_not_finite_is_not(value: float) -> None:
    curve = means([1.0] * AVERAGED + [value] + [1.0] * AVERAGED)
    assert [not math.isfinite(mean) for _, mean, _ in curve.points()].count(True) == 1


def judgement(step: int, fraction: float, verdict: Verdict = Verdict.MATCH) -> Judgement:
    return Judgement(Place(step, "conv", "output"), Kind.LAYER, verdict, 10, fraction=fraction)


def recorded(steps: int) -> Record:
    """Return the record of a long run with one mismatch, in the middle."""
    record, rng = Record(), np.random.default_rng(2)
    for step in range(1, steps + 1):
        wrong = step == steps // 2
        record.add([judgement(step, 7.0 if wrong else float(rng.random()), Verdict.MISMATCH if wrong else Verdict.MATCH)])
    return record


def test_record_of_a_long_run_is_exact_where_it_counts() -> None:
    (series,) = recorded(LONG).series.values()
    assert series.first == series.worst == judgement(LONG // 2, 7.0, Verdict.MISMATCH)
    assert (series.counts[Verdict.MATCH], series.counts[Verdict.MISMATCH], series.elements) == (LONG - 1, 1, 10 * LONG)
    assert max(series.curve.values) == 7.0


def memory_of(steps: int) -> int:
    tracemalloc.start()
    record = recorded(steps)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(record.series) == 1
    return size


def test_memory_does_not_grow_with_the_run() -> None:
    """The points of a full curve, and some objects beside them, are all that a run ten times as long may take."""
    assert memory_of(20 * KEPT) < memory_of(2 * KEPT) + 16 * 1024


def test_record_keeps_the_worst_and_the_first() -> None:
    """A mismatch before a match, whatever the fractions; the first one stays the first."""
    place, record = Place(1, "conv", "output"), Record()
    judgements = [
        Judgement(place, Kind.LAYER, Verdict.MATCH, 5, fraction=0.9),
        Judgement(place._replace(step=2), Kind.LAYER, Verdict.MISMATCH, 5, 1, 3.0, 2.0, Worst((0,), 1.0, 2.0)),
        Judgement(place._replace(step=3), Kind.LAYER, Verdict.MISMATCH, 5, 1, 9.0, 4.0, Worst((0,), 1.0, 2.0)),
        Judgement(place._replace(step=4), Kind.LAYER, Verdict.UNDECIDED, reason="why not"),
        Judgement(place._replace(step=5), Kind.LAYER, Verdict.MATCH, 5, fraction=0.1),
    ]
    record.add(judgements)
    series = record.series[Kind.LAYER, "conv", "output"]
    assert (series.first, series.worst, series.reason) == (judgements[1], judgements[2], "why not")
    assert (series.curve.steps, series.curve.values) == ([1, 2, 3, 5], [0.9, 2.0, 4.0, 0.1])
    assert (record.compared, record.elements, record.count(Verdict.UNDECIDED)) == (4, 20, 1)


def test_worst_of_some_kinds() -> None:
    """A mismatch before a match; of kinds that were never judged there is none."""
    record, place = Record(), Place(1, "conv", "output")
    record.add([judgement(1, 0.9), Judgement(place, Kind.WIRE, Verdict.MISMATCH, 10, fraction=0.5), Judgement(place, Kind.UPDATE, Verdict.MATCH, 10)])
    assert [series.elements for _, series in record.of(Kind.WIRE, Kind.LAYER)] == [10, 10]
    assert record.worst(Kind.WIRE, Kind.LAYER) == Judgement(place, Kind.WIRE, Verdict.MISMATCH, 10, fraction=0.5)
    assert (record.worst(Kind.WHOLE), record.widened) == (None, 0)
