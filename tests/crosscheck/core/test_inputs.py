"""Each family of inputs holds what it promises: one that lost its ties would let a wrong tie rule pass."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.core.inputs import FAMILIES, labels
from crosscheck.core.precision import Array

SHAPE = (3, 2, 8, 6)


def drawn(name: str, dtype: str = "float32") -> Array:
    return FAMILIES[name].input(np.random.default_rng(0), SHAPE, dtype)


def tied_windows(x: Array) -> float:
    """Return the share of 2x2 windows whose largest value stands there more than once."""
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    return float(((windows == windows.max(axis=1, keepdims=True)).sum(axis=1) > 1).mean())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_input(name: str, dtype: str) -> None:
    """Every family gives finite numbers of the shape and precision asked for, the same for the same seed and others for another."""
    family = FAMILIES[name]
    for draw in (family.input, family.grad_output):
        first, again, other = (draw(np.random.default_rng(seed), SHAPE, dtype) for seed in (0, 0, 1))
        assert (first.shape, first.dtype) == (SHAPE, np.dtype(dtype))
        assert np.isfinite(first).all()
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", FAMILIES)
def test_cotangent_is_never_constant(name: str) -> None:
    """A cotangent of all ones hides half of the usual mistakes."""
    cotangent = FAMILIES[name].grad_output(np.random.default_rng(0), SHAPE, np.float64)
    assert len(np.unique(cotangent)) == cotangent.size


@pytest.mark.parametrize("shape", [(), (5,), (2, 5), (2, 3, 4, 4), (2, 1)])
@pytest.mark.parametrize("name", FAMILIES)
def test_shapes(name: str, shape: tuple[int, ...]) -> None:
    """Layers of any rank can be asked."""
    assert FAMILIES[name].input(np.random.default_rng(0), shape, np.float64).shape == shape


def test_normal_numbers_hardly_tie() -> None:
    assert tied_windows(drawn("normal")) == 0


@pytest.mark.parametrize("name", ["digits", "ties"])
def test_ties(name: str) -> None:
    assert tied_windows(drawn(name)) > 0.3


def test_digits_stand_on_their_background() -> None:
    x = drawn("digits", "float64")
    assert np.count_nonzero(x == -0.5) > x.size / 3
    assert (x > -0.5).any(axis=(2, 3)).all()
    assert ((x >= -0.5) & (x <= 0.5)).all()


def test_digits_along_one_axis() -> None:
    x = FAMILIES["digits"].input(np.random.default_rng(0), (20,), "float64")
    assert 0 < np.count_nonzero(x == -0.5) < x.size


def test_kinks_hold_zeros_of_either_sign() -> None:
    zeros = drawn("kinks")[drawn("kinks") == 0]
    assert {bool(sign) for sign in np.signbit(zeros)} == {True, False}


def test_wide_numbers_cancel_nothing_small() -> None:
    sizes = np.abs(drawn("wide", "float64"))
    assert sizes.max() / sizes[sizes > 0].min() > 2**30


def test_large_exponentials_overflow() -> None:
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(drawn("large"))).any()


def test_squares_of_tiny_numbers_vanish_beside_an_epsilon() -> None:
    tiny = drawn("tiny", "float64")
    assert (np.abs(tiny) < 1e-15).all()
    assert (tiny != 0).all()


def test_fourth_powers_of_huge_numbers_overflow() -> None:
    """Products of two still fit in single precision; norms taken by squares of squares do not."""
    huge = drawn("huge")
    with np.errstate(over="ignore"):
        assert np.isfinite(huge * huge).all()
        assert np.isinf(huge**4).any()


def test_offset_numbers_have_less_variance_than_rounding_leaves_of_their_squares() -> None:
    """The mean of squares less the square of the mean keeps few digits of the variance in single precision."""
    x = drawn("offset")
    by_difference = np.square(x).mean() - np.square(x.mean())
    assert abs(by_difference - x.astype("float64").var()) > 1e-3


def test_memory() -> None:
    """The same numbers, laid out otherwise."""
    fortran, strided = drawn("fortran"), drawn("strided")
    assert fortran.flags.f_contiguous
    assert not fortran.flags.c_contiguous
    assert strided.strides[-1] == -2 * strided.itemsize
    assert np.array_equal(fortran, drawn("normal"))
    assert np.array_equal(strided, drawn("normal"))


@pytest.mark.parametrize("batch", [2, 7])
def test_labels_reach_both_ends(batch: int) -> None:
    """An index off by one shows at the first or the last class."""
    drawn_labels = labels(np.random.default_rng(0), batch, 10)
    assert len(drawn_labels) == batch
    assert {0, 9} <= set(drawn_labels.tolist()) <= set(range(10))


def test_one_label_is_the_last_class() -> None:
    assert labels(np.random.default_rng(0), 1, 10).tolist() == [9]
