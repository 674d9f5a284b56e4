"""Averages: pooling by the mean of a window, or of a whole image.

An average of ones is 1 and does not say how many numbers it is made of. The sum over the same windows does, and its derivative says of how many
windows a pixel is part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.operation import Arrays, Call, Operation, Oracle


@dataclass(frozen=True)
class Average:
    """Means of an operation's inputs, with weights that are not negative and depend on nothing but shapes.

    Attributes
    ----------
    sums : Operation
        The same windows, added up and divided by nothing.
    """

    sums: Operation

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return T from absolute values, and of k numbers k + 1 roundings.

        k - 1 additions, and two where the implementation multiplies by 1 / k: that number's and the product's. What is made of nothing is exactly 0.
        """
        counts = self.sums.vjp(call.ones())
        return {q: Bound(terms, np.where(counts[q] > 0, counts[q] + 1, 0.0)) for q, terms in oracle.vjp(call.magnitudes()).items()}

    def carried(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact effect: the output is linear in the input alone, the input's gradient in the cotangent alone."""
        return oracle.vjp(replace(call, x=error_x, grad_output=error_grad_output))
