"""The catalogue of faults can be read: every one says what it is, and is planted in one of the right implementations.

That these are right, and that each fault is seen, at its place and with its cause, ``scripts/detection.py --quick`` finds out.
"""

from __future__ import annotations

from tests.support.faults import FAULTS


def test_hosts_have_names_of_their_own() -> None:
    hosts = {id(fault.host): fault.host.name for fault in FAULTS.values()}
    assert len(set(hosts.values())) == len(hosts)


def test_every_fault_says_what_it_is() -> None:
    """The catalogue can be read: the mistake in a sentence, and why it is missed."""
    assert [name for name, fault in FAULTS.items() if not (fault.words.endswith(".") and fault.hidden)] == []
