"""Formats of lower precision: each rounds as the hardware does, and holds what it has rounded."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from crosscheck.core.formats import BRAIN, BRAIN_CUT, HALF, SINGLE, TENSOR, TENSOR_CUT, Format
from crosscheck.core.precision import Bound, Precision

FORMATS = [SINGLE, HALF, BRAIN, BRAIN_CUT, TENSOR, TENSOR_CUT]


def spread(dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return numbers of many sizes, and the midpoint between two numbers of eight bits."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(1000) * np.exp2(rng.integers(-12, 13, 1000))
    return np.append(numbers, [0.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8]).astype(dtype)


def test_bfloat16_rounds_as_the_library_does() -> None:
    x = spread(np.float32)
    assert np.array_equal(BRAIN.rounded(x), x.astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.in_words)
def test_rounded_numbers_are_held_and_within_the_tolerance(one: Format) -> None:
    x = spread(np.float64)
    rounded = one.rounded(x)
    assert one.holds(rounded)
    assert not one.holds(x)
    assert (np.abs(rounded - x) <= one.tolerance(Bound(np.abs(x), 1.0), Precision(np.dtype(np.float64), x.size))).all()
