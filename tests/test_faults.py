"""The catalogue of faults: what they are planted in is right, and every one says what it is.

That each is seen, at its place and with its cause, ``scripts/detection.py --quick`` finds out.
"""

from __future__ import annotations

import pytest
from faults import FAULTS
from faults.outcome import as_outcome

from crosscheck.checking import check_pair
from crosscheck.checks import Settings
from crosscheck.judgement import Verdict

HOSTS = {fault.host.name: fault.host for fault in FAULTS.values()}


@pytest.mark.parametrize("name", HOSTS)
def test_host_is_right(name: str) -> None:
    """What is planted in is right: whatever the harness finds in it afterwards is the fault."""
    outcome = as_outcome(check_pair(HOSTS[name].pair(HOSTS[name].right), Settings(shrink=False)))
    assert outcome.verdict is Verdict.MATCH, outcome


def test_hosts_have_names_of_their_own() -> None:
    assert len(HOSTS) == len({id(fault.host) for fault in FAULTS.values()})


@pytest.mark.parametrize("name", FAULTS)
def test_fault_says_what_it_is(name: str) -> None:
    """The catalogue can be read: the mistake in a sentence, and why it is missed."""
    fault = FAULTS[name]
    assert fault.words.endswith(".")
    assert fault.hidden
