r"""How large a rounding error may be: all tolerances come from this module.

A sum of n terms, computed in a precision of unit roundoff u, differs from the exact sum by at most

.. math:: \min(n, \lambda\sqrt{n}) \; u \; T, \qquad T = \sum |\text{terms}|, \qquad \lambda = \sqrt{2 \ln(2N / \delta)}.

The first bound, n u T, is a theorem for any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3). The second
is probabilistic (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019) and fails for any of the N elements of a run with probability at most delta.
Nothing else is set by hand.
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
"""The error of an elementary function (exp, log) in roundings. NumPy documents up to 4 units in the last place for its vectorised float32 functions
(3.83 for log), and one unit is up to two roundings."""


@dataclass(frozen=True)
class Bound:
    """The bound of the rounding error of one quantity, element by element.

    Attributes
    ----------
    abs_sum : array or float
        T, the sum of the absolute values of the terms, in the quantity's unit.
    n_roundings : array or float
        n, the number of roundings in each element; 0 where the result must be exact.
    """

    abs_sum: Array | float
    n_roundings: Array | float

    @staticmethod
    def exact(value: Array) -> Bound:
        """Return the bound of an operation that rounds nothing, such as a maximum or a reshape."""
        return Bound(np.abs(value), 0.0)


@dataclass(frozen=True)
class Precision:
    """The precision that a subject computes in, and the accepted probability of a false alarm.

    Attributes
    ----------
    dtype : numpy.dtype
        Floating-point type of the subject.
    elements : int
        N, the number of elements that the whole run compares.
    false_alarms : float
        delta, the accepted probability of any false alarm in the whole run.
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
        """The smallest subnormal number in multiples of the unit roundoff: the most that a product may lose if its exact value is subnormal."""
        return self.smallest / self.unit

    @cached_property
    def smallest_normal(self) -> float:
        """The smallest number with full precision; results below it may also be flushed to zero."""
        return float(np.finfo(self.dtype).smallest_normal)

    @cached_property
    def confidence(self) -> float:
        """Lambda, about 8."""
        return math.sqrt(2 * math.log(2 * self.elements / self.false_alarms))

    @cached_property
    def sides(self) -> int:
        """How many sides round: 1 (the subject) if the oracle is more precise, 2 if the subject computes in float64, too."""
        return 2 if self.unit <= float(np.finfo(np.float64).eps) / 2 else 1

    def grow(self, roundings: Array | float) -> Array:
        """Return min(n, lambda * sqrt(n)): the most that the errors of n roundings add up to, in units of u T."""
        return np.asarray(np.minimum(roundings, self.confidence * np.sqrt(roundings)))

    def error(self, bound: Bound) -> Array:
        """Return the largest error that rounding explains, divided by the unit roundoff: ``grow(n) * T`` plus the loss by underflow.

        Each product that underflows loses up to the smallest subnormal number, independent of T. This loss is part of the error and not only of the
        last comparison, because it reaches all later layers.
        """
        return self._error(bound, 1.0)

    def tolerance(self, bound: Bound) -> Array:
        """Return the largest difference between subject and oracle that rounding explains, in the unit of the quantity."""
        return self._error(bound, self.sides * self.unit)

    def _error(self, bound: Bound, scale: float) -> Array:
        """Return ``scale`` times the error; the scalar factors are multiplied first, which is faster."""
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
