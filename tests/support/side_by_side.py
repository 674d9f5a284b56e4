"""Two references of one function on the same call: whether they agree within what rounding allows both of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.core.check_layer import context_of
from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Precision

DOUBLE = Precision(np.dtype(np.float64), 1000)


def tolerances(oracle: Oracle, call: Call) -> dict[str, Any]:
    """Return the largest difference that rounding explains, for each quantity of a call."""
    context = context_of(oracle, call, DOUBLE)
    assert context.expected, context.undecided
    return {name: DOUBLE.tolerance(bound) for name, bound in context.bounds.items()}


def differing(one: Arrays, other: Arrays, *allowed: Mapping[str, Any]) -> list[str]:
    """Return the quantities that differ by more than the tolerances together, or that only one of the two has."""
    assert list(one) == list(other)
    limits = {name: sum(each[name] for each in allowed) for name in one}
    assert all(np.isfinite(limit).all() for limit in limits.values())
    return [name for name, value in one.items() if value.shape != other[name].shape or not (np.abs(value - other[name]) <= limits[name]).all()]


def with_cotangents(call: Call, oracle: Any) -> Call:
    """Return the call with an upstream gradient of each output that has one, according to a reference."""
    rng, outputs = np.random.default_rng(7), oracle.describe(call)
    drawn = {name: rng.standard_normal(output.shape) for name, output in zip(call.outputs, outputs, strict=False) if output.gradient}
    return replace(call, cotangents=drawn)
