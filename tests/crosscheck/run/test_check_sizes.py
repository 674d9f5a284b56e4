"""Code that is right on the declared sizes and wrong on others is seen, though the user declares no other size; its right twin matches."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from crosscheck import Pair, Settings, Verdict
from tests.support.faults import FAULTS
from tests.support.faults.outcome import as_outcome, up_to_the_first
from tests.support.unshrunk import check

OF_SIZES = {name: fault for name, fault in FAULTS.items() if name.startswith("sizes-")}
HOSTS = {fault.host.name: fault.host for fault in OF_SIZES.values()}


def test_there_are_at_least_fifteen() -> None:
    assert len(OF_SIZES) >= 15


@pytest.mark.parametrize("name", OF_SIZES)
def test_fault_is_seen(name: str) -> None:
    fault = OF_SIZES[name]
    outcome = up_to_the_first(fault.pair(), Settings(shrink=False))
    assert (outcome.verdict, outcome.place) == (Verdict.MISMATCH, fault.at), outcome.words


@pytest.mark.parametrize("name", HOSTS)
def test_right_twin_matches(name: str) -> None:
    """On normal inputs, which are tried in all sizes, and in all contracts."""
    pair = HOSTS[name].pair(HOSTS[name].right)
    outcome = as_outcome(check(pair, only=lambda check: check.endswith("-normal") or check.startswith("contract-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words


@pytest.mark.slow(
    "other families are tried in the declared sizes alone; the test above tries other sizes", default=("sizes-remainder-of-the-blocks-left-out",)
)
@pytest.mark.parametrize("name", OF_SIZES)
def test_declared_sizes_alone_do_not_show_it(name: str) -> None:
    """Nothing but another size shows the fault: on the declared one it is right in every precision and on every family of inputs."""
    pair = replace(cast("Pair", OF_SIZES[name].pair()), fixed_sizes=True, fixed_batch=True)
    outcome = as_outcome(check(pair, only=lambda check: check.startswith("values-")))
    assert outcome.verdict is Verdict.MATCH, outcome.words
