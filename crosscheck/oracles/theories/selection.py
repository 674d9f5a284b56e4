"""The error theory of operations that select numbers without changing them: ReLU, max pooling, flatten, zero padding.

Their output must agree bit for bit. The input gradient must, too, unless windows overlap, so that the gradients of several windows are added up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array, Bound, Precision


@dataclass(frozen=True)
class Selection:
    """The error theory if each output element is an input element or zero; if ``overlapping``, several outputs may pick the same input element."""

    overlapping: bool = False

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds of zero, except for an input gradient that is a sum of k numbers: it is rounded k - 1 times."""
        bounds = {quantity: Bound.exact(value) for quantity, value in result.items()}
        if self.overlapping and call.grad_output is not None:
            terms = oracle.vjp(call.with_grad_output(np.abs(call.grad_output)))["grad_input"]
            picked = oracle.vjp(call.with_grad_output(np.ones_like(call.grad_output)))["grad_input"]
            bounds["grad_input"] = Bound(terms, np.maximum(picked - 1, 0))
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors of the elements that are picked; with fixed decisions, the operation is linear."""
        fixed = call if "decisions" in call.constants else call.decided(oracle.decisions(call.x))
        return oracle.vjp(fixed.with_x(error_x).with_grad_output(error_grad_output))


@dataclass(frozen=True)
class Keeping(Selection):
    """The error theory of dropout in evaluation, which keeps every element; p is the probability of dropping an element in training."""

    p: float = 0.0
