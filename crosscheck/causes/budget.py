"""A bounded search, the same on every machine: an oracle that answers so many calls and refuses from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision


def limited(oracle: Oracle, calls: int) -> Oracle:
    """Return an oracle that answers so many calls."""
    return _Frugal(oracle, _Purse(calls))


@dataclass
class _Purse:
    """How many calls are left."""

    calls: int


@dataclass(frozen=True)
class _Frugal:
    """An oracle that answers so many calls and refuses from then on."""

    right: Oracle
    purse: _Purse

    @property
    def rounding(self) -> Rounding:
        """The oracle's own."""
        return _OwnRounding(self.right)

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """The oracle's own."""
        return self.right.settings

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the oracle's answer.

        Raises
        ------
        RefusedError
            If it was asked too often.
        """
        if not self.purse.calls:
            raise RefusedError("the oracle was asked too often")
        self.purse.calls -= 1
        return self.right.vjp(call)

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the oracle's own."""
        return self.right.decisions(x)


@dataclass(frozen=True)
class _OwnRounding:
    """The error theory of an oracle, which may want that very oracle."""

    right: Oracle

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        return self.right.rounding.bounds(self.right, call, result, precision)

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        return self.right.rounding.propagated(self.right, call, result, error_x, error_grad_output)
