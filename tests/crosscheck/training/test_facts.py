"""Facts of a training beside references."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.trace import Place
from crosscheck.report.html import render
from crosscheck.training.facts import POINTS, collect, thinned, verdict_of
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.record import Means, Record
from tests.support.pages import Tags, printed
from tests.support.short_training import STEPS, run_facts, trained


def test_thinned_curve_keeps_its_peaks() -> None:
    steps = list(range(1, 10 * POINTS + 1))
    values = [0.5] * len(steps)
    values[1234] = 7.0
    thin_steps, thin = thinned(steps, values)
    assert len(thin) == len(thin_steps) == POINTS
    assert thin[thin_steps.index(1235)] == 7.0


def test_short_curve_is_kept() -> None:
    assert thinned([1, 2, 5], [0.1, 0.3, 0.2]) == ([1, 2, 5], [0.1, 0.3, 0.2])


@pytest.fixture(scope="module")
def differing() -> TrainingComparison:
    """Return the tutorial's own code against PyTorch: a mismatch with a cause and with consequences."""
    return trained("article")


@pytest.fixture(scope="module")
def agreeing() -> TrainingComparison:
    """Return a comparison that matches, whatever the network under test does: its judgements are made up."""
    comparison = trained("article")
    comparison.record, comparison.first, comparison.decisions = Record(), None, {}
    comparison.broken.clear()
    comparison.consequences.clear()
    comparison.record.add([Judgement(Place(1, "conv", "output"), Kind.LAYER, Verdict.MATCH, 4)])
    assert comparison.free is not None
    comparison.free.history = [replace(look, distance=0.0) for look in comparison.free.history]
    return comparison


def test_complete_run_matches(agreeing: TrainingComparison) -> None:
    facts = collect(agreeing, run_facts())
    assert (facts["verdict"], facts["exit_status"]) == ("match", 0)
    assert facts["headline"].startswith("MATCH: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interrupted": True}, "interrupted after step 3 of 3"),
        ({"failed": "the loss is not finite"}, "stopped at step 3 of 3: the loss is not finite"),
        ({"steps_asked": STEPS + 1}, "3 of 4 steps checked"),
        ({"checks_asked": STEPS + 1}, ""),
    ],
    ids=["interrupted", "failed", "steps", "checks"],
)
def test_less_than_asked_is_never_a_match(agreeing: TrainingComparison, change: dict[str, Any], said: str) -> None:
    facts = collect(agreeing, replace(run_facts(), **change))
    assert (facts["verdict"], facts["exit_status"]) == ("undecided", 2)
    assert facts["headline"].startswith("UNDECIDED: ")
    assert said in facts["headline"]


def test_mismatch_stays_one_when_interrupted(differing: TrainingComparison) -> None:
    """What was found stays found; the headline says that there was more to do."""
    facts = collect(differing, replace(run_facts(), interrupted=True))
    assert (facts["verdict"], facts["exit_status"]) == ("mismatch", 1)
    assert "interrupted after step 3 of 3" in facts["headline"]


def test_nothing_compared_is_not_checked(agreeing: TrainingComparison) -> None:
    empty = replace(agreeing, record=Record(), free=None, first=None)
    empty.steps = empty.steps_checked = 0
    run = replace(run_facts(), interrupted=True, losses=Means(), test={}, predictions_differing=None, images=[])
    assert verdict_of(empty, run) is Verdict.SKIPPED
    facts = collect(empty, run)
    assert (facts["verdict"], facts["exit_status"]) == ("skipped", 2)
    assert "NOT CHECKED" in printed(facts)
    assert "NOT CHECKED" in Tags(render(facts)).text
