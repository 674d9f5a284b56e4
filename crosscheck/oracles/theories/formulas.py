"""The error theory of an operation whose formulas are written on tracked numbers, which carry their errors along."""

from __future__ import annotations

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.running_error import Tracked


class FormulaTheory:
    """An error theory that a subclass makes of its formulas."""

    def tracked(
        self, call: Call, precision: Precision | None, error_x: Array | None = None, error_grad_output: Array | None = None
    ) -> dict[str, Tracked]:
        """Return what the formulas give for a call; a quantity that is not among it is only read, and so exact.

        Its errors are those of rounding, if a precision is given, and those that the given errors of input and cotangent come to.
        """
        raise NotImplementedError

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the errors of the formulas in their usual orders."""
        tracked = self.tracked(call, precision)
        return {name: tracked[name].bound if name in tracked else Bound.exact(value) for name, value in result.items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors of the formulas when those of input and cotangent are all there are."""
        tracked = self.tracked(call, None, error_x, error_grad_output)
        return {name: tracked[name].error if name in tracked else np.zeros_like(value) for name, value in result.items()}
