"""Layouts there and back, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosscheck.adapters.layout import Layout, LayoutError
from tests.support.laws import law

CASES = {
    "none": (Layout(), (2, 3)),
    "transpose": (Layout("i o -> o i"), (5, 3)),
    "channels-last": (Layout("n h w c -> n c h w"), (2, 4, 5, 3)),
    "flattened": (Layout("(h w c) k -> k (c h w)", {"h": 3, "w": 2, "c": 4}), (24, 5)),
    "batch-added": (Layout("h w -> 1 1 h w"), (4, 5)),
}


@pytest.mark.parametrize("case", CASES)
def test_there_and_back(case: str) -> None:
    layout, shape = CASES[case]
    array = np.random.default_rng(0).standard_normal(shape)
    assert np.array_equal(layout.to_subject(layout.to_reference(array)), array)


@st.composite
def permuted(draw: st.DrawFn) -> tuple[Layout, np.ndarray]:
    """Draw axes in another order, two neighbours of which may be one axis of the reference's, and an array for them."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    names = [f"a{axis}" for axis in range(len(lengths))]
    theirs = draw(st.permutations(names))
    if draw(st.booleans()):
        theirs = [f"({theirs[0]} {theirs[1]})", *theirs[2:]]
    layout = Layout(f"{' '.join(names)} -> {' '.join(theirs)}", dict(zip(names, lengths, strict=True)))
    return layout, np.arange(float(np.prod(lengths))).reshape(lengths)


@law
@given(permuted())
def test_any_order_there_and_back(drawn: tuple[Layout, np.ndarray]) -> None:
    """The same numbers come back at the same places, and none is lost on the way."""
    layout, array = drawn
    there = layout.to_reference(array)
    assert sorted(there.ravel()) == sorted(array.ravel())
    assert np.array_equal(layout.to_subject(there), array)


def test_every_element_goes_to_its_place() -> None:
    """Channels fastest on one side, slowest on the other: element (h, w, c) moves from h*W*C + w*C + c to c*H*W + h*W + w."""
    height, width, channels = 3, 2, 4
    layout = Layout("(h w c) -> (c h w)", {"h": height, "w": width, "c": channels})
    moved = layout.to_reference(np.arange(height * width * channels, dtype=np.float64))
    for h, w, c in np.ndindex(height, width, channels):
        assert moved[c * height * width + h * width + w] == h * width * channels + w * channels + c


@pytest.mark.parametrize("case", CASES)
def test_reference_gets_a_copy(case: str) -> None:
    """The reference trains on arrays of its own, contiguous whatever the pattern."""
    layout, shape = CASES[case]
    array = np.zeros(shape)
    copy = layout.to_reference(array)
    copy += 1
    assert not array.any()
    assert copy.flags.c_contiguous


def test_pattern_that_does_not_fit() -> None:
    """The message names the pattern, the shape and the sizes."""
    with pytest.raises(LayoutError) as caught:
        CASES["flattened"][0].to_reference(np.zeros((25, 5)))
    text = str(caught.value)
    assert all(part in text for part in ("'(h w c) k -> k (c h w)'", "(25, 5)", "h=3, w=2, c=4"))


@pytest.mark.parametrize("pattern", ["i o => o i", "i o", "i o -> o i -> i o"])
def test_pattern_without_two_sides(pattern: str) -> None:
    with pytest.raises(LayoutError, match=f"the layout is {pattern!r}, expected 'axes in your code -> axes in the reference'"):
        Layout(pattern)


@pytest.mark.parametrize(
    ("layout", "how"), [(Layout("i o -> o i"), r"the pattern 'i o -> o i' turns it into \(3, 5\)"), (Layout(), "declare a pattern")]
)
def test_expected_shape(layout: Layout, how: str) -> None:
    """The error names the parameter, both shapes and what the pattern made of it."""
    with pytest.raises(LayoutError, match=rf"weight: in your code it has shape \(5, 3\), expected \(9, 9\) as in the reference; {how}"):
        layout.expect(np.zeros((5, 3)), (9, 9), "weight")


def test_expected_shape_found() -> None:
    assert Layout("i o -> o i").expect(np.ones((5, 3)), (3, 5), "weight").shape == (3, 5)
