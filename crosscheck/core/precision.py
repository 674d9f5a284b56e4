r"""How large a rounding error may be. All tolerances are computed here.

A sum of n terms, computed in a precision of unit roundoff u, differs from the exact sum by at most

.. math:: \min(n, \lambda\sqrt{n}) \; u \; T, \qquad T = \sum |\text{terms}|, \qquad \lambda = \sqrt{2 \ln(2N / \delta)}.

The first bound, n u T, is a theorem for any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 3). The second
bound is probabilistic (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019): the probability that it fails for at least one of the N elements of a
run is at most delta. Apart from delta, no tolerance is set by hand.
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
"""The number of roundings that an elementary function (exp, log) counts as. NumPy documents errors of up to 4 units in the last place for its
vectorised float32 functions (3.83 for log), and one unit is up to two roundings."""


@dataclass(frozen=True)
class Bound:
    """The bound of the rounding error of one quantity, element by element.

    Attributes
    ----------
    abs_sum : array or float
        T, the sum of the absolute values of the terms that add up to an element, in the quantity's unit.
    n_roundings : array or float
        n, the number of roundings in each element; 0 if the result must be exact.
    """

    abs_sum: Array | float
    n_roundings: Array | float

    @staticmethod
    def exact(value: Array) -> Bound:
        """Return the bound of an operation that rounds nothing, such as a maximum or a reshape."""
        return Bound(np.abs(value), 0.0)


@dataclass(frozen=True)
class Precision:
    """The precision in which a subject computes, and the accepted probability of a false alarm.

    Attributes
    ----------
    dtype : numpy.dtype
        Floating-point type of the subject.
    elements : int
        N, the number of elements that the whole run compares.
    false_alarms : float
        delta, the accepted probability of at least one false alarm in the whole run.
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
        """The largest error of a product that underflows, in multiples of the unit roundoff: the smallest subnormal number divided by u."""
        return self.smallest / self.unit

    @cached_property
    def smallest_normal(self) -> float:
        """The smallest number with full precision; results of smaller size may be flushed to zero."""
        return float(np.finfo(self.dtype).smallest_normal)

    @cached_property
    def confidence(self) -> float:
        """Lambda in the bound above, about 8."""
        return math.sqrt(2 * math.log(2 * self.elements / self.false_alarms))

    @cached_property
    def sides(self) -> int:
        """The number of computations whose rounding counts: 1 (the subject's), or 2 if the subject computes in float64 as the oracle does."""
        return 2 if self.unit <= float(np.finfo(np.float64).eps) / 2 else 1

    def grow(self, roundings: Array | float) -> Array:
        """Return min(n, lambda * sqrt(n)): the largest total error of n roundings, in units of u T."""
        return np.asarray(np.minimum(roundings, self.confidence * np.sqrt(roundings)))

    def error(self, bound: Bound) -> Array:
        """Return the largest error that rounding explains, divided by the unit roundoff: ``grow(n) * T`` plus the loss by underflow.

        Each product that underflows loses up to the smallest subnormal number, independent of T. This loss is included here and not only in the
        tolerance of the comparison, because it propagates to all later layers.
        """
        return self._error(bound, 1.0)

    def tolerance(self, bound: Bound) -> Array:
        """Return the largest difference between subject and oracle that rounding explains, in the quantity's unit."""
        return self._error(bound, self.sides * self.unit)

    def _error(self, bound: Bound, scale: float) -> Array:
        """Return ``scale * error(bound)``; multiplying the scalar factors first is faster."""
        return np.asarray(scale * self.grow(bound.n_roundings) * bound.abs_sum + scale * self.underflow * bound.n_roundings)


@cache
def student_quantile(probability: float, freedom: int) -> float:
    """Return the t that a Student-distributed variable exceeds in absolute value with this probability; ``freedom`` is even.

    It is found by bisection in the closed form of the distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.4).
    """
    if freedom < 2 or freedom % 2:
        raise ValueError(f"{freedom} perturbed runs: expected an even number of at least 2")

    def exceeded(t: float) -> float:
        # sine is sin(theta) with tan(theta) = t / sqrt(freedom); cosine2 / (1 + sine) is 1 - sine without cancellation.
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
