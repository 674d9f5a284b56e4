"""The error theory of operations whose formulas are evaluated on tracked numbers, which carry error bounds."""

from __future__ import annotations

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.running_error import Tracked


class FormulaTheory:
    """A base class for error theories that evaluate formulas on tracked numbers."""

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the results for a tracked input and upstream gradient. A quantity without a result is not computed but only read, so it is exact."""
        raise NotImplementedError

    def tracked(
        self, call: Call, precision: Precision | None, error_x: Array | None = None, error_grad_output: Array | None = None
    ) -> dict[str, Tracked]:
        """Return the results with errors propagated from the input and the upstream gradient, plus rounding errors if a precision is given."""
        g = None if call.grad_output is None else Tracked.of(call.grad_output, error_grad_output, precision)
        return self.results(call, Tracked.of(call.x, error_x, precision), g)

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds of the formulas' rounding errors, for all usual orders of the operations."""
        tracked = self.tracked(call, precision)
        return {name: tracked[name].bound if name in tracked else Bound.exact(value) for name, value in result.items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors of the results that follow from errors of the input and the upstream gradient, without rounding."""
        tracked = self.tracked(call, None, error_x, error_grad_output)
        return {name: tracked[name].error if name in tracked else np.zeros_like(value) for name, value in result.items()}
