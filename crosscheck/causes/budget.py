"""Limit a search by the number of oracle calls, so that it ends in the same way on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crosscheck.core.operation import Call, Oracle, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.wrapped import WrappedOracle


def limited(oracle: Oracle, calls: int) -> Oracle:
    """Return an oracle that answers a given number of calls and refuses all later ones."""
    return _CallBudget(oracle, iter(range(calls)))


@dataclass(frozen=True)
class _CallBudget(WrappedOracle):
    left: Iterator[int]

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the oracle's answer; raise :class:`RefusedError` if no call is left."""
        if next(self.left, None) is None:
            raise RefusedError("no oracle call is left for the search")
        return super().vjp(call)
