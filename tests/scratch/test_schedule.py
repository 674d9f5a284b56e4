"""Learning rates at the steps that matter: the first, the last, and those where something changes."""

from __future__ import annotations

import pytest

from scratch.schedule import cosine, linear_warmup, step_decay


@pytest.mark.parametrize(("step", "expected"), [(0, 1), (9, 1), (10, 0.5), (19, 0.5), (20, 0.25)])
def test_step_decay(step: int, expected: float) -> None:
    assert step_decay(step, 10, 0.5) == expected


@pytest.mark.parametrize(("step", "expected"), [(0, 1), (100, 0.25), (101, 0.25), (1000, 0.25)])
def test_cosine(step: int, expected: float) -> None:
    assert cosine(step, 100, final=0.25) == expected


def test_cosine_falls_slowly_at_both_ends() -> None:
    falls = [cosine(step, 4) - cosine(step + 1, 4) for step in range(4)]
    assert falls[0] < falls[1]
    assert falls[3] < falls[2]


@pytest.mark.parametrize(("step", "expected"), [(0, 0.25), (1, 0.5), (3, 1), (4, 1)])
def test_linear_warmup(step: int, expected: float) -> None:
    assert linear_warmup(step, 4) == expected


@pytest.mark.parametrize("schedule", [step_decay, cosine, linear_warmup])
@pytest.mark.parametrize(("step", "length", "message"), [(-1, 5, "step=-1"), (0, 0, "=0, expected at least 1 step")], ids=["step", "length"])
def test_refused(schedule: object, step: int, length: int, message: str) -> None:
    assert callable(schedule)
    with pytest.raises(ValueError, match=message):
        schedule(step, length)
