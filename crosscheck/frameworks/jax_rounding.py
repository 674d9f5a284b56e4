"""What XLA does to the smallest numbers: on CPUs it takes subnormal ones for zero, and gives zero where the right result is one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.operation import Arrays, Call, Oracle, Rounding

_NORMAL = float(np.finfo(np.float64).smallest_normal)
"""The smallest number that an oracle in float64 knows besides zero."""


@dataclass(frozen=True)
class Flushing:
    """An error theory for an oracle that flushes: whatever may underflow may lose a whole normal number.

    Attributes
    ----------
    theory : Rounding
        As it holds where subnormal numbers are computed with.
    """

    theory: Rounding

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return the theory's bounds; beside a subject in float64 with what the oracle loses added."""
        if arithmetic.smallest >= _NORMAL:
            return self.theory.bounds(oracle, call, result, arithmetic)
        coarse = _Coarse(arithmetic.dtype, arithmetic.elements, arithmetic.false_alarms)
        bounds = self.theory.bounds(oracle, call, result, coarse)
        picked = not _subnormal(call)
        return {name: bound if picked and not np.any(bound.roundings) else _widened(bound, arithmetic) for name, bound in bounds.items()}

    def carried(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return what the theory does: errors are in units of the roundoff, far from the smallest numbers."""
        return self.theory.carried(oracle, call, result, error_x, error_grad_output)


@dataclass(frozen=True)
class _Coarse(Arithmetic):
    """A precision without subnormal numbers."""

    @cached_property
    def smallest(self) -> float:
        """The smallest number besides zero."""
        return _NORMAL


def _widened(bound: Bound, arithmetic: Arithmetic) -> Bound:
    lost = np.maximum(bound.roundings, 1.0) * _NORMAL / arithmetic.unit
    return Bound(arithmetic.error(bound) + lost, 1.0)


def _subnormal(call: Call) -> bool:
    """Return whether an oracle takes a number that it is given for zero."""
    given = [call.x, *call.params.values(), *([] if call.grad_output is None else [call.grad_output])]
    return any(bool(((array != 0) & (np.abs(array) < _NORMAL)).any()) for array in given)
