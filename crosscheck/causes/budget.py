"""A bounded search, the same on every machine: an oracle that answers so many calls and refuses from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crosscheck.core.operation import Call, Oracle, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.wrapped import WrappedOracle


def limited(oracle: Oracle, calls: int) -> Oracle:
    """Return an oracle that answers so many calls."""
    return _CallBudget(oracle, iter(range(calls)))


@dataclass(frozen=True)
class _CallBudget(WrappedOracle):
    left: Iterator[int]

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the oracle's answer.

        Raises
        ------
        RefusedError
            If it was asked too often.
        """
        if next(self.left, None) is None:
            raise RefusedError("the oracle was asked too often")
        return super().vjp(call)
