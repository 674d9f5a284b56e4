"""Faults whose results are not finite, each with its cause: an exponential that overflows, or a logarithm of what underflows."""

from __future__ import annotations

import pytest

from tests.support.faults import FAULTS
from tests.support.faults.outcome import first_outcome_of

OF_RANGE = [name for name, fault in FAULTS.items() if fault.cause in ("exponential overflows", "logarithm of an underflow")]
OTHERS = ["single-log-sum-shifted-by-a-constant", "single-attention-unshifted", "single-distance-multiplied-out"]
"""Faults whose results are not finite for a reason that is not known."""
DEFAULT = [name for name in OF_RANGE if name.startswith(("softmax-", "loss-", "single-log"))] + OTHERS[:1]


@pytest.mark.slow("each checks a pair up to the first fault; the default ones are of each kind", default=DEFAULT)
@pytest.mark.parametrize("name", OF_RANGE + OTHERS)
def test_cause_of_a_fault_of_range(name: str) -> None:
    outcome = first_outcome_of(FAULTS[name])
    assert (outcome.place, outcome.cause) == (FAULTS[name].at, FAULTS[name].cause)
