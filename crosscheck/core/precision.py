r"""How large a rounding error may be: the one place from which every tolerance comes.

A sum of n terms, computed in a precision of unit roundoff u, differs from the exact sum by at most

.. math:: \min(n, \lambda\sqrt{n}) \; u \; T, \qquad T = \sum |\text{terms}|, \qquad \lambda = \sqrt{2 \ln(2N / \delta)}.

The first arm is a theorem for any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3); the second is
probabilistic (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019) and holds for all N elements of a run but with probability delta.
Nothing else is chosen by anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

ELEMENTARY = 8
"""Error of an elementary function (exp, log) in roundings: 4 units in the last place, the most that NumPy documents for its vectorised float32
functions (3.83 for log), each of up to two roundings."""


@dataclass(frozen=True)
class Bound:
    """What limits the rounding error of one quantity, element by element.

    Attributes
    ----------
    abs_sum : array or float
        T, the sum of the absolute values of the terms, in the unit of the quantity.
    n_roundings : array or float
        n, the number of roundings that touch each element; 0 where the result must be exact.
    """

    abs_sum: Array | float
    n_roundings: Array | float

    @staticmethod
    def exact(value: Array) -> Bound:
        """Return the bound of an operation that rounds nothing, such as a maximum or a reshape."""
        return Bound(np.abs(value), 0.0)


@dataclass(frozen=True)
class Precision:
    """The precision that a subject computes in, and how sure its judge must be.

    Attributes
    ----------
    dtype : numpy.dtype
        Floating-point type of the subject.
    elements : int
        N, the number of elements that the whole run compares.
    false_alarms : float
        delta, the probability accepted of one false alarm in the whole run.
    """

    dtype: np.dtype[Any]
    elements: int
    false_alarms: float = 1e-6

    @cached_property
    def unit(self) -> float:
        """The unit roundoff u, half of the machine epsilon: 2^-24 in float32, 2^-53 in float64."""
        return float(np.finfo(self.dtype).eps) / 2

    @cached_property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return float(np.finfo(self.dtype).smallest_subnormal)

    @cached_property
    def underflow(self) -> float:
        """The smallest subnormal number in multiples of the unit roundoff, as errors are: what a product may lose whose right result is subnormal."""
        return self.smallest / self.unit

    @cached_property
    def smallest_normal(self) -> float:
        """The smallest number with all its digits; below it, results may also be flushed to zero."""
        return float(np.finfo(self.dtype).smallest_normal)

    @cached_property
    def confidence(self) -> float:
        """Lambda, about 8."""
        return math.sqrt(2 * math.log(2 * self.elements / self.false_alarms))

    @cached_property
    def sides(self) -> int:
        """How many sides round: the subject alone beside a float64 oracle, or both where the subject is as precise as its oracle."""
        return 2 if self.unit <= float(np.finfo(np.float64).eps) / 2 else 1

    def grow(self, roundings: Array | float) -> Array:
        """Return min(n, lambda * sqrt(n)): how many units of T the errors of n roundings may add up to."""
        return np.asarray(np.minimum(roundings, self.confidence * np.sqrt(roundings)))

    def error(self, bound: Bound) -> Array:
        """Return the largest error that rounding explains, divided by the unit roundoff: ``grow(n) * T``, and what underflow takes.

        Products that underflow lose up to the smallest subnormal number each, whatever T is. It is part of the error, and not of the last comparison
        alone, because what a layer loses reaches all that come after it.
        """
        return self._error(bound, 1.0)

    def tolerance(self, bound: Bound) -> Array:
        """Return the largest difference between subject and oracle that rounding explains, in the unit of the quantity."""
        return self._error(bound, self.sides * self.unit)

    def _error(self, bound: Bound, scale: float) -> Array:
        """Return so many times the error; the factors first, which are often single numbers."""
        return np.asarray(scale * self.grow(bound.n_roundings) * bound.abs_sum + scale * self.underflow * bound.n_roundings)


@cache
def student_quantile(probability: float, freedom: int) -> float:
    """Return t such that a Student variable of an even number of degrees of freedom exceeds t in absolute value with this probability.

    From the closed form of the distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.4), by bisection.
    """
    if freedom < 2 or freedom % 2:
        raise ValueError(f"{freedom} perturbed runs: expected an even number of at least 2")

    def exceeded(t: float) -> float:
        # With s = sin(theta), tan(theta) = t / sqrt(freedom); 1 - s is formed without cancellation.
        cosine2 = freedom / (freedom + t * t)
        sine = math.sqrt(1 - cosine2)
        coefficient, series = 1.0, 0.0
        for k in range(1, freedom // 2):
            coefficient *= (2 * k - 1) / (2 * k) * cosine2
            series += coefficient
        return cosine2 / (1 + sine) - sine * series

    low, high = 0.0, 1.0
    while exceeded(high) > probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeded(middle) > probability else (low, middle)
    return high
