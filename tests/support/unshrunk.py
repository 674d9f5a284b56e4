"""Checks of a pair without the search for small cases, which has tests of its own: most tests have no use for it, and it takes most of the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import crosscheck
from crosscheck import PairResult, Settings, Verdict
from crosscheck.pairs.declaration import Declaration


def check(pair: Declaration, settings: Settings | None = None, only: Callable[[str], bool] | None = None) -> PairResult:
    """Run every check of a pair."""
    return crosscheck.check(pair, replace(settings or Settings(), shrink=False), only)


def expect_matches(pair: Declaration, least: int, prefix: str = "values-") -> None:
    """Fail unless each check of values is a match or skipped, and at least so many are matches."""
    result = check(pair, only=lambda name: name.startswith(prefix))
    wrong = [(found.check, found.reason, found.divergence) for found in result.results if found.verdict not in (Verdict.MATCH, Verdict.SKIPPED)]
    assert (result.error, wrong) == ("", [])
    assert sum(found.verdict is Verdict.MATCH for found in result.results) >= least
