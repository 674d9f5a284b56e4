"""The search for a smaller call: whatever it finds still shows the fault, and is no larger than what it started from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Pair, Settings
from crosscheck.checks import checks_of
from crosscheck.checks.values import judged
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.run.check import run_check
from crosscheck.shrinking.search import EVALUATIONS, Enough, Search
from crosscheck.shrinking.shrink import shrink
from crosscheck.shrinking.smaller import complexity


class WrongAbove:
    """A positive part whose gradient is wrong where the input exceeds a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * (x > 0)

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(grad_output * (self.x > 0) * np.where(self.x > self.limit, 2, 1), self.x.dtype)


def failing(limit: float, shape: tuple[int, ...] = (3, 4)) -> tuple[Any, Any]:
    """Return a pair made ready and what the first check finds about it."""
    pair = Pair(WrongAbove(limit), nn.ReLU(), [shape])
    return prepare(pair), run_check(pair, checks_of(pair)[0], Settings(shrink=False))


@pytest.mark.parametrize(("limit", "shape", "seed"), [(0.0, (3, 4), 0), (0.1, (2, 3, 4), 1), (0.5, (5, 1, 2), 2), (0.5, (3, 4), 3)])
def test_what_is_found_still_fails(limit: float, shape: tuple[int, ...], seed: int) -> None:
    """By a judgement of its own, in the same quantity; one element is enough for a fault of single elements. Hypothesis cannot search in a search."""
    prepared, found = failing(limit, shape)
    small = shrink(prepared, found.given, found.divergence, seed=seed, seconds=5)
    verdicts = {judgement.place.quantity: judgement.verdict for judgement in judged(prepared, small.call.copied(), "float64")[1]}
    assert verdicts == {"output": Verdict.MATCH, "grad_input": Verdict.MISMATCH}
    assert complexity(small.call) <= complexity(found.given.call)
    assert (small.call.x > limit).any()
    assert small.call.x.size == 1


def searching(seconds: float = 5) -> Search:
    prepared, found = failing(0.5)
    return Search(prepared, found.given, found.divergence.judgement, 0, seconds)


def test_call_that_does_not_show_the_fault_is_not_kept() -> None:
    search = searching()
    assert search.starts()
    right = search.best.copied()
    right.x[...] = 0.25
    assert not search.try_one(right)
    assert (search.best.x != 0.25).any()


def test_known_calls_are_not_tried_again() -> None:
    search = searching()
    search.starts()
    call = search.best.copied()
    assert search.try_one(call)
    before = search.evaluations
    assert search.try_one(call)
    assert search.evaluations == before


def test_search_ends_when_its_calls_are_used_up() -> None:
    search = searching()
    search.starts()
    search.evaluations = EVALUATIONS
    other = search.best.copied()
    other.x[0, 0] += 1
    with pytest.raises(Enough):
        search.try_one(other)


def test_search_ends_when_its_time_is_used_up() -> None:
    with pytest.raises(Enough):
        searching(seconds=0).starts()


def test_fault_that_is_gone_is_no_start() -> None:
    prepared, found = failing(0.5)
    search = Search(prepared, found.given, found.divergence.judgement, 0, 5)
    found.given.call.x[...] = 0.25
    assert not search.starts()
