"""Checks of a pair without the search for small cases, which has tests of its own: most tests have no use for it, and it takes most of the time."""

from __future__ import annotations

from collections.abc import Callable

import crosscheck
from crosscheck import PairResult, Settings
from crosscheck.declaration import Declaration

UNSHRUNK = Settings(shrink=False)


def check(pair: Declaration, settings: Settings = UNSHRUNK, only: Callable[[str], bool] | None = None) -> PairResult:
    """Run every check of a pair."""
    return crosscheck.check(pair, settings, only)
