"""Learning rates: what holds for each schedule at every step, exactly."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.schedule import cosine, linear_warmup, step_decay

STEPS, LENGTHS = st.integers(0, 300), st.integers(1, 100)


@given(STEPS, LENGTHS)
def test_step_decay_halves_whenever_its_steps_are_over(step: int, length: int) -> None:
    assert step_decay(step, length, 0.5) == 0.5 ** (step // length)


@given(STEPS, LENGTHS)
def test_linear_warmup_rises_by_the_same_part(step: int, length: int) -> None:
    assert linear_warmup(step, length) == min(1.0, float(Fraction(step + 1, length)))


@given(st.integers(3, 100), st.sampled_from([0.0, 0.25]))
def test_cosine_falls_from_1_to_its_end(length: int, final: float) -> None:
    """It stays at its end, and falls more slowly at both ends than in the middle."""
    rates = [cosine(step, length, final) for step in range(length + 3)]
    assert (rates[0], set(rates[length:])) == (1, {final})
    assert rates == sorted(rates, reverse=True)
    falls = [before - after for before, after in itertools.pairwise(rates[: length + 1])]
    assert max(falls[0], falls[-1]) < falls[length // 2]


@pytest.mark.parametrize("schedule", [step_decay, cosine, linear_warmup])
@pytest.mark.parametrize(("step", "length", "message"), [(-1, 5, "step=-1"), (0, 0, "=0, expected at least 1 step")], ids=["step", "length"])
def test_refused(schedule: object, step: int, length: int, message: str) -> None:
    assert callable(schedule)
    with pytest.raises(ValueError, match=message):
        schedule(step, length)
