"""The catalogue of faults: each one is seen, at its place, with its cause; the implementation that it is planted in is right."""

from __future__ import annotations

import pytest
from faults import FAULTS
from faults.outcome import as_outcome, outcome_of

from crosscheck.checking import check_pair
from crosscheck.checks import Settings
from crosscheck.judgement import Verdict

HOSTS = {fault.host.name: fault.host for fault in FAULTS.values()}


@pytest.mark.parametrize("name", HOSTS)
def test_host_is_right(name: str) -> None:
    """What is planted in is right: whatever the harness finds in it afterwards is the fault."""
    outcome = as_outcome(check_pair(HOSTS[name].pair(HOSTS[name].right), Settings(shrink=False)))
    assert outcome.verdict is Verdict.MATCH, outcome


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str) -> None:
    """The fault is seen at its place and has its cause, or is said to have none that is known."""
    fault, outcome = FAULTS[name], outcome_of(FAULTS[name])
    assert (outcome.verdict, outcome.place, outcome.cause) == (Verdict.MISMATCH, fault.at, fault.cause), outcome
