"""Dropout: which numbers are dropped, the scale of the others, and where masks come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import scratch
from scratch import fast
from scratch.layer import Array

X = np.arange(1.0, 7.0).reshape(2, 3)
MASK = np.array([[True, False, True], [False, False, True]])


Make = Callable[..., scratch.Dropout]


@pytest.fixture(params=[scratch.Dropout, fast.Dropout], ids=["plain", "fast"])
def dropout(request: pytest.FixtureRequest) -> Make:
    """Return a function that makes a layer with its own generator."""
    return lambda p=0.5, seed=0: request.param(p, rng=np.random.default_rng(seed))


def test_evaluation_is_the_identity_both_ways(dropout: Make) -> None:
    layer = dropout()
    layer.training = False
    assert np.array_equal(layer.forward(X), X)
    assert np.array_equal(layer.backward(-X), -X)
    assert layer.mask is None


def test_given_mask_leaves_the_generator(dropout: Make) -> None:
    layer, other = dropout(), dropout()
    layer.forward(X, MASK)
    assert np.array_equal(layer.forward(X), other.forward(X))


def test_drawn_masks_differ_and_repeat_with_the_seed(dropout: Make) -> None:
    wide = np.ones((100, 100))
    layer, same = dropout(), dropout()
    first, second = layer.forward(wide), layer.forward(wide)
    assert not np.array_equal(first, second)
    assert np.array_equal(same.forward(wide), first)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.9])
def test_share_that_is_dropped(dropout: Make, p: float) -> None:
    """Hoeffding: of n draws, the share is further than this from p once in a million."""
    layer = dropout(p)
    layer.forward(np.ones(100_000))
    assert layer.mask is not None
    assert abs(np.mean(~layer.mask) - p) < np.sqrt(np.log(2e6) / (2 * layer.mask.size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mask_does_not_depend_on_the_precision(dropout: Make, dtype: type) -> None:
    layer, expected = dropout(), dropout()
    output: Array = layer.forward(X.astype(dtype))
    expected.forward(X)
    assert output.dtype == dtype
    assert layer.mask is not None
    assert expected.mask is not None
    assert np.array_equal(layer.mask, expected.mask)


def test_infinity_that_is_dropped_is_0(dropout: Make) -> None:
    assert dropout().forward(np.array([np.inf, 1.0]), np.array([False, True])).tolist() == [0, 2]
