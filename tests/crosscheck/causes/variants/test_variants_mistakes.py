"""Common mistakes: each is explained by the sentence that a reader needs to correct it."""

from __future__ import annotations

import pytest

from crosscheck.checks import Settings, checks_of
from crosscheck.checks.check import CheckResult
from crosscheck.core.judge import Verdict
from crosscheck.pairs.pair import Pair
from crosscheck.run.check import run_checks
from tests.support.edited.mistakes import MISTAKES, Mistake

LONGEST = 240
"""Two lines of a terminal."""


def first_mismatch(pair: Pair, settings: Settings) -> CheckResult:
    return next(one for _, one, _ in run_checks(pair, checks_of(pair), settings) if one.counted is Verdict.MISMATCH)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.name.replace(" ", "-"))
def test_mistake_is_explained(mistake: Mistake) -> None:
    divergence = first_mismatch(mistake.pair(), Settings(shrink=False)).divergence
    assert divergence is not None
    assert divergence.cause is not None
    assert (divergence.judgement.place.quantity, divergence.cause.words) == (mistake.at, mistake.words)
    assert divergence.cause.confirmed
    assert len(mistake.words) <= LONGEST


def test_known_mistakes_alone_do_not_explain_a_left_out_gain() -> None:
    mistake = next(one for one in MISTAKES if one.name == "gain left out of the input gradient")
    divergence = first_mismatch(mistake.pair(), Settings(shrink=False, explain=0)).divergence
    assert divergence is not None
    assert divergence.cause is None
