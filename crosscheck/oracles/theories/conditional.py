"""An error theory that holds for some calls only, and another for all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crosscheck.core.operation import Arrays, Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.theories.measured import Measured


@dataclass(frozen=True)
class Where:
    """``theory`` for the calls for which ``applies`` returns true, ``otherwise`` for the others."""

    applies: Callable[[Call], bool]
    theory: Rounding
    otherwise: Rounding = field(default_factory=Measured)

    def _of(self, call: Call) -> Rounding:
        return self.theory if self.applies(call) else self.otherwise

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds by the theory that holds for the call."""
        return self._of(call).bounds(oracle, call, result, precision)

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the propagated errors by the theory that holds for the call."""
        return self._of(call).propagated(oracle, call, result, error_x, error_grad_output)
