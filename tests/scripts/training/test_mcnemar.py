"""McNemar's exact test: its p against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from training.mcnemar import least_telling, p_value

BY_HAND = {
    "nothing-differs": (0, 0, Fraction(1)),
    "a-single-image": (1, 0, Fraction(1)),  # 2 * 1/2
    "five-on-one-side": (5, 0, Fraction(1, 16)),  # 2 * 1/32
    "eight-to-two": (8, 2, Fraction(112, 1024)),  # 2 * (1 + 10 + 45) / 2^10
    "ten-to-three": (10, 3, Fraction(756, 8192)),  # 2 * (1 + 13 + 78 + 286) / 2^13
    "even": (3, 3, Fraction(1)),  # 2 * 42/64, more than certain
    "smaller-than-any-float": (2000, 0, Fraction(0)),
}


@pytest.mark.parametrize(("first", "second", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_p_by_hand(first: int, second: int, expected: Fraction) -> None:
    assert p_value(first, second) == float(expected)


@pytest.mark.parametrize(("first", "second", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_sides_are_alike(first: int, second: int, expected: Fraction) -> None:
    assert p_value(second, first) == float(expected)


def test_many_images() -> None:
    """Numbers that no float holds on the way: 5,000 to 5,600 of 10,600 lie 5.8 deviations apart, which is one in some hundred million."""
    assert 1e-9 < p_value(5000, 5600) < 1e-8


@pytest.mark.parametrize(("level", "images"), [(0.5, 3), (0.05, 6), (1e-6, 21)], ids=["half", "one-in-twenty", "one-in-a-million"])
def test_least_telling(level: float, images: int) -> None:
    """2 / 2^n must be less than the level: of a level that it equals, one more."""
    assert least_telling(level) == images
