"""What is checked about a pair: a list of small checks with telling names, each of which ends in a verdict with its evidence.

A check is a function of a prepared pair; it knows nothing of reports, of test frameworks or of other checks. A new one is one function and its line
in the list below.
"""

from __future__ import annotations

import itertools

from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.checks.contracts import CONTRACTS, contract_check
from crosscheck.checks.values import difference_check, value_check
from crosscheck.families import FAMILIES
from crosscheck.pair import DTYPES, Pair

__all__ = ["Check", "CheckResult", "Settings", "checks_of"]


def checks_of(pair: Pair) -> list[Check]:
    """Return every check of a pair, those that do not apply included; the list depends on nothing but the declaration.

    float64 comes first (is the mathematics right?), float32 after (are the numerics?), then the contracts.
    """
    if pair.reference is None:
        values = [difference_check(family) for family in FAMILIES]
    else:
        values = [value_check(dtype, family) for dtype, family in itertools.product(DTYPES, FAMILIES)]
    return [*values, *(contract_check(name) for name in CONTRACTS)]
