"""Curves that stay small: no peak is lost, counts and averages stay exact, and a record of a long run takes no more than one of a short one."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.trace import Place
from crosscheck.training.record import AVERAGED, KEPT, Means, Peaks, Record

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


@pytest.mark.parametrize("count", [KEPT, KEPT + 1, 2 * KEPT, 2 * KEPT + 1, LONG])
def test_curve_stays_small_and_even(count: int) -> None:
    """At most so many points, each of as many steps as the others but for the last one."""
    curve = peaks([0.0] * count)
    assert len(curve.steps) == len(curve.values) <= KEPT
    assert len(curve.steps) > KEPT / 2 or count <= KEPT / 2
    assert (len(curve.steps) - 1) * curve.each + curve.filled == count


@pytest.mark.parametrize("at", [0, 1, KEPT - 1, KEPT, KEPT + 1, LONG // 2, LONG - 2, LONG - 1])
@pytest.mark.parametrize("height", [2.0, math.inf])
def test_peak_of_one_step_is_kept_at_its_step(at: int, height: float) -> None:
    values = np.random.default_rng(0).random(LONG).tolist()
    values[at] = height
    curve = peaks(values)
    assert curve.values.count(height) == 1
    assert curve.steps[curve.values.index(height)] == 10 * (at + 1)


def test_each_point_is_the_largest_of_its_group() -> None:
    values = np.random.default_rng(1).random(LONG).tolist()
    curve = peaks(values)
    groups = [values[start : start + curve.each] for start in range(0, LONG, curve.each)]
    assert curve.values == [max(group) for group in groups]
    assert [values[step // 10 - 1] for step in curve.steps] == curve.values


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


@pytest.mark.parametrize("count", [AVERAGED, AVERAGED + 1, 3 * AVERAGED, LONG])
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
    """Return the bytes that the record of a run takes at its end."""
    tracemalloc.start()
    record = recorded(steps)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(record.series) == 1
    return size


def test_memory_does_not_grow_with_the_run() -> None:
    """The points of a full curve, and some objects beside them, are all that a run ten times as long may take."""
    assert memory_of(20 * KEPT) < memory_of(2 * KEPT) + 16 * 1024
