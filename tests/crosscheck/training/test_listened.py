"""Which checked steps are worked out to their end: the first, second, fourth and so on of those that are proved, and all that are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from digits.batches import batches
from training.run import Plan, compared
from training.subjects import Twins, layered

import scratch
from crosscheck.adapters.adapted_layer import NO_GRAD_INPUT
from crosscheck.core.judge import Kind, Verdict
from crosscheck.core.trace import Trace
from crosscheck.report.words import ways_in_words
from crosscheck.training.listened import TrainingComparison
from scratch.networks import tutorial
from tests.support.networks import digits

STEPS = 10
DOUBLE = np.dtype(np.float64)

Traced = Callable[[Trace], Trace]


def twins() -> Twins:
    model = tutorial(np.random.default_rng(0), DOUBLE)
    return layered(model, scratch.SGD(model.trainable_params, lr=0.005))


def comparison_of(changed: Traced = lambda trace: trace, every: int = 1) -> tuple[TrainingComparison, list[int]]:
    """Return a comparison of some steps whose traces are changed, and the steps that were worked out to their end."""
    made, plan = twins(), Plan(DOUBLE, 1, STEPS * every, 1, 0, 0)
    traced = made.subject.traced_step
    made.subject.traced_step = lambda step, x, labels: changed(traced(step, x, labels))  # type: ignore[method-assign]
    comparison, ended = compared(made, plan, digits()), []
    for batch in batches(digits(), plan, np.random.default_rng(0)):
        before = whole(comparison)
        comparison.step(batch.x, batch.labels, check=comparison.steps % every == every - 1)
        ended += [comparison.steps] if whole(comparison) > before else []
    return comparison, ended


def whole(comparison: TrainingComparison) -> int:
    """Return how many end-to-end verdicts there are on the updated weight of the convolution."""
    return sum(sum(series.counts.values()) for key, series in comparison.record.series.items() if key == (Kind.WHOLE, "conv", "weight"))


def without(trace: Trace, *keys: tuple[str, str]) -> Trace:
    result = Trace(trace.step)
    for key, value in trace.items():
        if key not in keys:
            result.take(*key, value)
    for key in keys:
        result.leave_out(*key, NO_GRAD_INPUT)
    return result


def test_steps_that_are_proved() -> None:
    comparison, ended = comparison_of()
    assert comparison.steps_verdict is Verdict.MATCH
    assert ended == [1, 2, 4, 8]


def test_of_the_steps_that_are_checked() -> None:
    """Every third step is checked: it is those that count."""
    assert comparison_of(every=3)[1] == [3, 6, 12, 24]


def test_step_with_a_broken_link() -> None:
    """What is wrong in one step, and what that makes wrong in the next one, is worked out to the end."""

    def changed(trace: Trace) -> Trace:
        if trace.step == 5:
            trace["linear", "bias"][0] += 1e-3
        return trace

    comparison, ended = comparison_of(changed)
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == "step 5, linear.bias"
    # The trace alone is wrong: the next step starts from what the network itself has.
    assert ended == [1, 2, 4, 5, 6, 8]


def test_steps_with_a_missing_link() -> None:
    """A gradient that is not shown leaves a gap in the proof of every step."""

    def changed(trace: Trace) -> Trace:
        return without(trace, ("conv", "grad_input"))

    assert comparison_of(changed)[1] == list(range(1, STEPS + 1))


@pytest.mark.parametrize(
    ("isolated", "ends", "words"),
    [
        (
            1,
            4,
            "of 10 checked steps, layers were tested alone in 1 and the whole step was compared in 4: "
            "this adds nothing while each layer is right on the values it receives in training",
        ),
        (10, 10, ""),
    ],
)
def test_in_words(isolated: int, ends: int, words: str) -> None:
    quantities = [{"kind": Kind.ISOLATED, "verdicts": {"match": isolated}}, {"kind": Kind.WHOLE, "verdicts": {"match": ends - 1, "mismatch": 1}}]
    assert ways_in_words({"steps_checked": STEPS, "quantities": quantities}) == words
