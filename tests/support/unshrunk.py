"""Checks of a pair without the search for small cases, which has tests of its own: most tests have no use for it, and it takes most of the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import crosscheck
from crosscheck import PairResult, Settings
from crosscheck.pairs.declaration import Declaration


def check(pair: Declaration, settings: Settings | None = None, only: Callable[[str], bool] | None = None) -> PairResult:
    """Run every check of a pair."""
    return crosscheck.check(pair, replace(settings or Settings(), shrink=False), only)
