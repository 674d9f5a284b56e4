"""A base class for oracles that change one thing about another oracle, such as its tie rule, and an oracle with a limit on calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision


@dataclass(frozen=True)
class WrappedOracle:
    """An oracle that returns the results of a wrapped oracle. It is also an error theory, which calls the wrapped oracle's theory."""

    oracle: Oracle

    @property
    def rounding(self) -> Rounding:
        """The object that bounds rounding errors: this oracle itself."""
        return self

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """The wrapped oracle's settings."""
        return self.oracle.settings

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the wrapped oracle's decisions."""
        return self.oracle.decisions(x)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the wrapped oracle's results."""
        return self.oracle.vjp(call)

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the wrapped oracle's bounds."""
        return self.oracle.rounding.bounds(self.oracle, call, result, precision)

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the propagated errors of the wrapped oracle's results."""
        return self.oracle.rounding.propagated(self.oracle, call, result, error_x, error_grad_output)


def limited(oracle: Oracle, calls: int) -> Oracle:
    """Return an oracle that refuses all calls after the first ``calls``, so that a search ends at the same point on every machine."""
    return _CallBudget(oracle, iter(range(calls)))


@dataclass(frozen=True)
class _CallBudget(WrappedOracle):
    left: Iterator[int]

    def vjp(self, call: Call) -> dict[str, Array]:
        if next(self.left, None) is None:
            raise RefusedError("no oracle call is left for the search")
        return super().vjp(call)
