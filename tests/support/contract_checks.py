"""One contract of one pair, checked."""

from __future__ import annotations

from typing import Any

from crosscheck import Pair
from crosscheck.checks import CheckResult
from crosscheck.pairs.declaration import Declaration
from tests.support.faults import FAULTS
from tests.support.plain import ScaleReference
from tests.support.unshrunk import check

HOSTS = {fault.host.name: fault.host for fault in FAULTS.values()}
INFINITY = "handles_minus_infinity"


def of_contract(contract: str, pair: Declaration) -> CheckResult:
    result = check(pair, only=lambda name: name == f"contract-{contract}")
    assert not result.error, result.error
    return result.results[0]


def found(contract: str, subject: Any, **options: Any) -> CheckResult:
    """Return what the check of one contract finds about a factor for each feature."""
    declared: dict[str, Any] = {"reference": ScaleReference(), "shapes": [(5, 3), (2, 3)], **options}
    return of_contract(contract, Pair(subject, **declared))
