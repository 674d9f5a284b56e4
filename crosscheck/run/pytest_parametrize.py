"""Pairs as tests: one test for each check of each pair, with the same name in every worker."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

try:
    import pytest
except ImportError:
    raise ImportError("crosscheck.parametrize_with_checks makes tests for pytest, which is not installed: pip install pytest") from None

from crosscheck.checks import Settings, checks_of
from crosscheck.checks.facts import check_facts, cleaned, pair_facts
from crosscheck.core.guard import printable
from crosscheck.pairs.declaration import Declaration
from crosscheck.report.words import message
from crosscheck.run.check import run_check, why_not
from crosscheck.run.pytest_plugin import OUTCOME, Outcome, PositionedCheck, running

Test = TypeVar("Test", bound=Callable[..., Any])


class PairCheck(PositionedCheck):
    """The argument ``check`` of a test: calling it with the pair passes, fails or skips the test."""

    def __call__(self, pair: Declaration) -> None:
        """Run the check; the test fails if it is a mismatch or undecided."""
        run = running()
        item = run.item
        assert item is not None
        seed = run.settings.seed
        reproduce = (
            f"pytest {shlex.quote(item.nodeid)}"
            + (f" --crosscheck-seed {seed}" if seed else "")
            + (" --crosscheck-strict" if run.settings.strict else "")
        )
        outcome = self.outcome(pair, run.settings, reproduce)
        item.stash[OUTCOME] = outcome
        item.user_properties.extend(properties(outcome))
        end(outcome, printable(item.name))

    def outcome(self, pair: Declaration, settings: Settings, reproduce: str) -> Outcome:
        """Run the check and return its facts; ``reproduce`` is the command that repeats the check."""
        if error := why_not(pair, settings):
            return Outcome(cleaned(pair_facts(pair, error)), None)
        started = time.monotonic()
        result = run_check(pair, self.check, settings)
        return Outcome(cleaned(pair_facts(pair)), cleaned(check_facts(self.check, result, reproduce, time.monotonic() - started)))


def properties(outcome: Outcome) -> list[tuple[str, object]]:
    """Return the properties of a test in a JUnit file."""
    found = outcome.check
    if found is None:
        return [("crosscheck_verdict", "undecided"), ("crosscheck_reason", outcome.pair["error"])]
    facts: list[tuple[str, object]] = [("crosscheck_verdict", found["verdict"])]
    first = found["first_divergence"]
    if first:
        facts += [("crosscheck_quantity", first["quantity"]), ("crosscheck_error_units", first["error_units"]), ("crosscheck_cause", first["cause"])]
    if found["reason"]:
        facts.append(("crosscheck_warning" if found["warning"] else "crosscheck_reason", found["reason"]))
    return facts


def end(outcome: Outcome, name: str) -> None:
    """Pass, fail or skip the test that is running."""
    found = outcome.check
    if found is None:
        pytest.fail(outcome.pair["error"], pytrace=False)
    if found["verdict"] == "mismatch" and found["counts_as"] == "skipped":
        pytest.xfail(found["expected_difference"])
    if found["verdict"] == "skipped":
        pytest.skip(found["reason"])
    if found["counts_as"] != "match":
        pytest.fail(message(found, name), pytrace=False)


def parametrize_with_checks(pairs: Iterable[Declaration]) -> Callable[[Test], Test]:
    """Return a decorator that makes a test of each check of each pair.

    The test function takes ``pair`` and ``check`` and calls ``check(pair)``::

        @parametrize_with_checks([Pair(Linear(12, 7), nn.Linear(12, 7), shapes=[(3, 12)])])
        def test_layers(pair, check):
            check(pair)

    Raises
    ------
    TypeError
        If an element of ``pairs`` is not a pair.
    ValueError
        If there are no pairs, or two have the same name.
    """
    declared = list(pairs)
    if not declared:
        raise ValueError("parametrize_with_checks got no pairs; expected a list of pairs, such as [Pair(...)]")
    for pair in declared:
        if not isinstance(pair, Declaration):
            raise TypeError(f"parametrize_with_checks got a {type(pair).__name__}, expected pairs, such as [Pair(...)]")
    titles = [pair.title for pair in declared]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise ValueError(f"two pairs are called {twice[0]!r}; give one of them another name with name='...'")

    def decorate(test: Test) -> Test:
        vars(test)["crosscheck_pairs"] = declared  # the script of a small case loads the pairs from here
        cases = [
            pytest.param(pair, PairCheck(check, (at, place)), id=f"{pair.title}-{check.name}")
            for at, pair in enumerate(declared)
            for place, check in enumerate(checks_of(pair))
        ]
        parametrized: Test = pytest.mark.parametrize(("pair", "check"), cases)(test)
        return parametrized

    return decorate
