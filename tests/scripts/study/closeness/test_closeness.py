"""The comparisons are of right code, and the planted faults are as large as they say."""

from __future__ import annotations

import numpy as np
import pytest
from study.closeness.comparisons import COMPARISONS
from study.closeness.work import ONE, WHOLE, extents, faulty, kind

import crosscheck


def test_there_are_thirty() -> None:
    assert len(COMPARISONS) == 30


@pytest.mark.parametrize("name", COMPARISONS)
def test_right_in_double_precision(name: str) -> None:
    """What is right in float64 has no mistake that rounding in float32 could hide."""
    comparison = COMPARISONS[name]
    inputs = [one.astype(np.float64) if one.dtype == np.float32 else one for one in comparison.inputs(0)]
    crosscheck.assert_close(np.asarray(comparison.actual(*inputs)), comparison.reference, *inputs, framework="torch")
    with pytest.raises(AssertionError):
        crosscheck.assert_close(np.asarray(comparison.actual(*inputs)) * (1 + 2.0**-20), comparison.reference, *inputs, framework="torch")


@pytest.mark.parametrize("name", COMPARISONS)
def test_single_precision_is_kept(name: str) -> None:
    """The code computes in float32, and a seed always draws the same numbers."""
    comparison = COMPARISONS[name]
    first, again, other = comparison.inputs(0), comparison.inputs(0), comparison.inputs(1)
    assert np.asarray(comparison.actual(*first)).dtype == np.float32
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(("extent", "changed"), [(WHOLE, 12), (ONE, 1)])
def test_fault(extent: str, changed: int) -> None:
    right = np.full((3, 4), 8, np.float32)
    spoilt = faulty(right, 0.125, extent, seed=0)
    assert spoilt.dtype == np.float32
    assert sorted(spoilt[spoilt != right]) == [9.0] * changed


def test_single_number_has_no_element_to_choose() -> None:
    assert [kind(1e-3, extent) for extent in extents(np.ones(()))] == ["all x 1.001"]
