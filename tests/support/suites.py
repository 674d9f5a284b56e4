"""Test files that check pairs of ``plain.py``, run by pytest itself."""

from __future__ import annotations

from typing import Any

import pytest

import crosscheck.report.write
import crosscheck.run.pytest_parametrize
from crosscheck.checks import checks_of
from tests.support import SUPPORT, plain

# What is imported before a run inside this process is still there after it, and the same.
SHARED = (plain, crosscheck.run.pytest_parametrize, crosscheck.report.write)

FILE = """
from crosscheck import parametrize_with_checks
from plain import Cubed, Negated, ReadsItsMode, Scale, WritesToInput, pair

@parametrize_with_checks([{pairs}])
def test_layers(pair, check):
    {body}
"""

NAMES = [check.name for check in checks_of(plain.pair())]
VALUES = sum(name.startswith("values-") for name in NAMES)
MOOT = 5  # contracts that say nothing about these products, which have no modes, do not add up gradients and were given one size
CONTRACTS = sum(name.startswith("contract-") for name in NAMES)
SPARED = ("randomly", "cacheprovider", "hypothesispytest", "unraisableexception")
"""Plugins that take longer than the tests do, or make a difference from run to run."""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a test file and runs it, in this process or beside it, and returns its result."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    pytester.syspathinsert(str(SUPPORT))

    def run(pairs: str, *options: str, body: str = "check(pair)", beside: bool = False) -> pytest.RunResult:
        pytester.makepyfile(test_mine=FILE.format(pairs=pairs, body=body))
        start = pytester.runpytest_subprocess if beside else pytester.runpytest_inprocess
        return start(*(f"-pno:{plugin}" for plugin in SPARED), *options)

    return run


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    return result.parseoutcomes()
