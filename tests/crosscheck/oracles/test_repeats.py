"""Sums of equal terms: what their rounding really comes to, and that the bound has room for it, and for no more than it has to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.running_error import Tracked, independent
from crosscheck.references.pytorch.oracle import oracle

SINGLE = Precision(np.dtype(np.float32), 1000)
TERMS = 50_000


def added_one_by_one(terms: Array) -> float:
    """Return the sum of float32 numbers in their order."""
    return float(np.cumsum(terms, dtype=np.float32)[-1])


def background(share: float) -> Array:
    """Return float32 numbers of which so many are equal, the others being scattered among them."""
    rng = np.random.default_rng(0)
    scattered = rng.uniform(0.3, 0.7, TERMS)
    return np.where(rng.uniform(size=TERMS) < share, 0.1, scattered).astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_errors_of_equal_terms_add_up(share: float) -> None:
    """Independent roundings would not explain them; those of repeated terms do."""
    terms = background(share)
    wide = terms.astype(np.float64)
    error, size = abs(added_one_by_one(terms) - math.fsum(wide)), SINGLE.unit * np.abs(wide).sum()
    assert error > SINGLE.grow(float(TERMS)) * size
    assert error <= SINGLE.unit * float(Tracked.exact(wide, SINGLE).sum().error)


def test_terms_that_differ_are_as_many_as_they_are() -> None:
    terms = background(0.0).astype(np.float64) + np.arange(TERMS) * 1e-9
    assert independent(terms, (0,), SINGLE) == TERMS


def test_each_group_counts_by_its_square() -> None:
    terms = np.concatenate([np.arange(1.0, 1001.0), np.full(1000, 0.5), np.full(500, 0.25), np.zeros(500)])[None]
    assert independent(terms, (1,), SINGLE) == min(1000 + 1000**2 + 500**2, (3000 / SINGLE.confidence) ** 2)
    assert independent(terms[:, :2000], (1,), SINGLE) == (2000 / SINGLE.confidence) ** 2


def test_few_terms_are_bounded_by_their_number() -> None:
    assert independent(np.ones((2, 40)), (1,), SINGLE).tolist() == [[40.0], [40.0]]


def test_sums_are_told_apart() -> None:
    terms = np.stack([np.ones(2000), np.arange(2000.0)])
    one, other = independent(terms, (1,), SINGLE)[:, 0]
    assert one == (2000 / SINGLE.confidence) ** 2
    assert other == 2000


@pytest.mark.parametrize("quantity", ["weight.grad", "bias.grad"])
def test_gradient_behind_a_mean_over_a_constant_background(quantity: str) -> None:
    """A cotangent that is the same everywhere meets pixels that are: a loop over them is right, and judged so."""
    x = np.full((64, 1, 28, 28), 0.1, np.float32)
    grad_output = np.full((64, 1, 28, 28), 0.1, np.float32)
    call = Call(x, {"weight": np.ones((1, 1, 1, 1), np.float32), "bias": np.zeros(1, np.float32)}, grad_output)
    reference, wide = oracle(nn.Conv2d(1, 1, 1)), call.astype(np.float64)
    expected = reference.vjp(wide)
    bound = reference.rounding.bounds(reference, wide, expected, SINGLE)[quantity]
    terms = (x * grad_output if quantity == "weight.grad" else grad_output).ravel()
    found = np.full(expected[quantity].shape, added_one_by_one(terms), np.float32)
    assert judge(Place(0, "conv", quantity), Kind.LAYER, found, expected[quantity], bound, SINGLE).verdict is Verdict.MATCH
    few = reference.vjp(wide.ones())[quantity]
    assert np.abs(found - expected[quantity]) > SINGLE.unit * SINGLE.grow(few) * bound.abs_sum
