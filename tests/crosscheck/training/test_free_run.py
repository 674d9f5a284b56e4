"""The yardstick of the free run, on trainings whose distances are known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Constants, Labels
from crosscheck.core.precision import Array, Precision, student_quantile
from crosscheck.core.subject import Outcome
from crosscheck.core.trace import Trace
from crosscheck.core.training import Snapshot, TrainState
from crosscheck.training.free_run import FreeRun

RUNS = 4
T_OF_4_AT_5_PERCENT = 2.776  # from printed tables, as the others below
OFFSETS = (0.0, 3.0, 1.0, 2.0, 5.0)
"""How far each reference moves a step: the unperturbed one, then the perturbed ones."""
NOTHING = np.zeros(0)


class Walker:
    """A training that moves its one weight by a fixed amount in each step."""

    def __init__(self, dtype: npt.DTypeLike, noise: Mapping[tuple[str, str], float] | None, seed: int) -> None:
        self.pace = OFFSETS[seed] if noise is not None else 0.0
        self.params: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.state: dict[str, dict[str, Array]] = {}

    def load(self, start: TrainState) -> None:
        self.params = {name: value.astype(np.float64) for name, value in start.params.items()}

    def step(
        self, x: Array, labels: Labels, trace: Trace | None = None, constants: Mapping[str, Constants] | None = None, lr_factor: float = 1.0
    ) -> Outcome:
        self.params = {name: value + self.pace for name, value in self.params.items()}
        return Outcome(0.0, x)

    def predict(self, x: Array) -> Array:
        return x

    def snapshot(self) -> Snapshot:
        return Snapshot(self.params, {"pace": self.pace})

    def restore(self, snapshot: Snapshot) -> None:
        self.params, self.pace = dict(snapshot.arrays), snapshot.facts["pace"]


def after_one_step(start: float = 10.0, dtype: str = "float64") -> FreeRun:
    """Return a run with one look at one weight, judged at five percent."""
    free = FreeRun(Walker, TrainState({"w": np.array([start], dtype)}), {}, RUNS, 1, Precision(np.dtype(dtype), 1, 0.05), 0)
    free.step(NOTHING, np.zeros(0, np.int64))
    return free


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_spread_and_allowed(dtype: str) -> None:
    """The spread is the root mean square of 3, 1, 2 and 5, the quantile that of the printed table."""
    look = after_one_step(dtype=dtype).look(1, {"w": np.array([9.5], dtype)})[0]
    assert look.spread == math.sqrt(39 / 4)
    assert round(look.allowed / look.spread / math.sqrt(2), 3) == T_OF_4_AT_5_PERCENT
    assert (look.distance, look.largest) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.0, Verdict.MATCH), (0.99, Verdict.MATCH), (1.01, Verdict.MISMATCH), (math.inf, Verdict.UNDECIDED), (math.nan, Verdict.UNDECIDED)],
)
def test_verdict(share: float, verdict: Verdict) -> None:
    """Beside the allowed distance one side matches and the other one does not; what is not finite cannot be said."""
    free = after_one_step()
    allowed = free.look(1, {"w": np.array([10.0])})[0].allowed
    assert free.look(1, {"w": np.array([10.0 + share * allowed])})[0].verdict is verdict


def test_more_looks_allow_more() -> None:
    """Each of many looks may be a false alarm: together they keep the probability that one look had."""
    free = after_one_step()
    once, often = free.factor(1), free.factor(100)
    assert round(once, 3) == T_OF_4_AT_5_PERCENT
    assert often > 2 * once


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.05, 2, 4.303), (0.05, 4, 2.776), (0.001, 8, 5.041), (0.01, 10, 3.169), (0.05, 30, 2.042), (0.02, 60, 2.390)],
)
def test_quantile_of_student(probability: float, freedom: int, expected: float) -> None:
    """As printed in tables of the distribution, two-sided."""
    assert round(student_quantile(probability, freedom), 3) == expected


def test_quantile_far_out() -> None:
    """Of 2 degrees of freedom the tail is known in closed form, 1 - t / sqrt(2 + t^2), which is 1 / t^2 far out."""
    assert round(student_quantile(1e-12, 2)) == 1_000_000


@pytest.mark.parametrize("freedom", [-2, 0, 1, 3])
def test_runs_must_be_even(freedom: int) -> None:
    with pytest.raises(ValueError, match=f"{freedom} perturbed runs: expected an even number"):
        student_quantile(0.05, freedom)


def test_run_goes_on_from_a_snapshot() -> None:
    """A run that was elsewhere takes over every reference, and goes on as the other one does."""
    one, other = after_one_step(), after_one_step(start=20.0)
    other.restore(one.snapshot())
    for free in (one, other):
        free.step(NOTHING, np.zeros(0, np.int64))
    assert other.look(2, {"w": np.array([9.0])}) == one.look(2, {"w": np.array([9.0])})
    assert one.look(2, {"w": np.array([9.0])})[0].spread == 2 * math.sqrt(39 / 4)
