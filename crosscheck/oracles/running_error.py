r"""Running error analysis: each number carries a bound on its rounding error.

A formula is written once with NumPy's functions. Applied to arrays, it returns the value. Applied to :class:`Tracked` numbers, it returns the value
and the largest error that rounding explains in the subject's precision, computed operation by operation (Wilkinson, Error analysis revisited, 1986;
Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.3). With :math:`\hat a = a + u\,e_a`, where u is the unit roundoff,

.. math:: e_{a \pm b} = e_a + e_b + |a \pm b|, \quad e_{ab} = |a| e_b + |b| e_a + |ab|, \quad e_{a/b} = (e_a + |a/b|\, e_b) / |b| + |a/b|,

and a function f adds its own error to :math:`|f'(a)|\, e_a`. Errors are in multiples of the unit roundoff, as everywhere in this package. They are
first-order bounds, but denominators and arguments of roots, whose error may be as large as the number itself, are not linearised.

A sum of n different terms counts as n independent roundings. Equal terms may all be rounded in the same direction, so they count as more roundings
(:func:`independent`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from crosscheck.core.precision import ELEMENTARY, Array, Bound, Precision

Operand: TypeAlias = Any
"""The argument of a formula: an array or a :class:`Tracked` array."""

Axes: TypeAlias = int | tuple[int, ...] | None

_CONVERSION = 2.0
"""Number of roundings in a division by a whole number, which may be computed as a multiplication by the rounded reciprocal."""

_ERROR_FUNCTION = 2.0 * ELEMENTARY
"""Number of roundings in erf: vectorised code, as in PyTorch's GELU, multiplies a polynomial by exp (Abramowitz and Stegun, 7.1.26)."""

_SAMPLE = 1024
"""Number of terms of each sum that are searched for repetitions first. A term that occurs sqrt(n) times among n, enough to matter, is found twice."""

_COMPARISONS = frozenset({np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal})

_MANTISSA = (1 << 52) - 1
"""The mantissa bits of a float64, which are zero in a power of two."""


@dataclass(frozen=True, eq=False)
class Tracked(NDArrayOperatorsMixin):
    """An array with a bound on the rounding error of each element.

    It supports NumPy's operators and ``sqrt``, ``square``, ``power`` (whole exponents), ``absolute``, ``maximum``, ``minimum``, ``where``, ``exp``,
    ``log`` and ``tanh``; a comparison compares the values. An ordinary array in a formula counts as exact. A Python number is a constant in the code,
    such as a learning rate of 0.005, and is itself rounded.

    Attributes
    ----------
    value : array
        The numbers, in float64.
    error : array
        The error bound of each number, in multiples of the unit roundoff; infinite if nothing limits the error.
    precision : Precision, optional
        The precision whose rounding is tracked. If it is None, operations do not round, and errors are only propagated, to first order.
    errorless : bool
        Whether all errors are known to be zero, so that they need not be computed.
    """

    value: Array
    error: Array
    precision: Precision | None = None
    errorless: bool = False

    @classmethod
    def exact(cls, value: npt.ArrayLike, precision: Precision | None = None) -> Tracked:
        """Return numbers without error."""
        wide = np.asarray(value, dtype=np.float64)
        return cls(wide, np.zeros_like(wide), precision, errorless=True)

    @classmethod
    def of(cls, value: Array, error: Array | None, precision: Precision | None = None) -> Tracked:
        """Return numbers with the given error, or without error if ``error`` is None."""
        return cls.exact(value, precision) if error is None else cls(value, error, precision)

    def constant(self, number: float) -> Tracked:
        """Return a constant in the code, rounded to the precision of these numbers.

        A constant that float32 cannot hold exactly counts as a decimal number that is rounded in any precision: ``1 - 0.9`` is not exactly 0.1.
        """
        if self.precision is None:
            return Tracked.exact(number)
        with np.errstate(all="ignore"):
            lost = abs(float(self.precision.dtype.type(number)) - number)
            held = not lost and float(np.float32(number)) == number
        error = 0.0 if held else max(abs(number), lost / self.unit)
        return Tracked(np.asarray(float(number)), np.asarray(error), self.precision)

    @property
    def bound(self) -> Bound:
        """The errors of these numbers as a bound."""
        return Bound(self.error, 1.0)

    @property
    def exactly(self) -> Tracked:
        """These numbers with errors of zero."""
        return Tracked.exact(self.value, self.precision)

    @property
    def deviation(self) -> Tracked:
        """Zeros with the errors of these numbers."""
        return Tracked(np.zeros_like(self.value), self.error, self.precision)

    @property
    def unit(self) -> float:
        """The unit roundoff; 0 if errors are only propagated."""
        return 0.0 if self.precision is None else self.precision.unit

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tracked:
        """Return the sum over axes, with an error that holds for every order of summation."""
        value = self.value.sum(axis=axis, keepdims=keepdims)
        error = self.error.sum(axis=axis, keepdims=keepdims)
        if self.precision is not None:
            axes = tuple(range(self.value.ndim)) if axis is None else tuple(np.atleast_1d(axis) % self.value.ndim)
            roundings = independent(self.value, axes, self.precision) - 1
            error = error + self.precision.grow(roundings).reshape(error.shape) * np.abs(self.value).sum(axis=axis, keepdims=keepdims)
        return self.made(value, error, roundings=0.0)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tracked:
        """Return the mean over axes. Its error holds if the sum is divided, and if each term is divided first, so that terms may underflow."""
        total = self.sum(axis, keepdims)
        terms = self.value.size // max(total.value.size, 1)
        lost = np.where(np.any(self.value, axis=axis, keepdims=keepdims), terms * self.underflow, 0.0)
        return self.made(total.value / terms, total.error / terms, _CONVERSION, lost)

    def reshape(self, *shape: int) -> Tracked:
        """Return the same numbers in another shape."""
        return Tracked(self.value.reshape(*shape), self.error.reshape(*shape), self.precision)

    def made(self, value: Array, error: Array, roundings: npt.ArrayLike = 1.0, lost: npt.ArrayLike = 0.0) -> Tracked:
        """Return the result of an operation on these numbers.

        ``error`` is the propagated error of the operands. ``roundings`` is how often the operation itself rounds each element. ``lost`` is an
        additional absolute error of results that may be subnormal, in multiples of the unit roundoff.
        """
        if self.precision is not None:
            error = self._with_own(self.precision, np.abs(value), error, roundings, lost)
        elif error.shape != value.shape:
            error = np.broadcast_to(error, value.shape)
        # NaN is an infinite error times zero: nothing is known about this number. The maximum is NaN if any error is NaN.
        unknown = math.isnan(np.max(error, initial=0.0))
        return Tracked(np.asarray(value), np.where(np.isnan(error), np.inf, error) if unknown else np.asarray(error), self.precision)

    @np.errstate(all="ignore")
    def _with_own(self, precision: Precision, size: Array, error: Array, roundings: npt.ArrayLike, lost: npt.ArrayLike) -> Array:
        """Return ``error`` plus the operation's own error for a result of the given size; infinite for a result that may be out of range."""
        moved = self.unit * error
        own = np.asarray(roundings) * (size + moved)
        if np.any(lost) and (tiny := size < moved + 2 * precision.smallest_normal).any():
            own = own + np.where(tiny, lost, 0.0)
        total = np.asarray(error + own)
        largest = np.finfo(precision.dtype).max
        if np.max(size, initial=0.0) + self.unit * np.max(total, initial=0.0) <= largest:
            return total
        return np.where(size + self.unit * total > largest, np.inf, total)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply one of NumPy's elementwise functions."""
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*(operand.value if isinstance(operand, Tracked) else operand for operand in inputs))
        with np.errstate(all="ignore"):
            if ufunc is np.power:
                return power(inputs[0], inputs[1]) if isinstance(inputs[0], Tracked) else NotImplemented
            return STEPS[ufunc](*map(self._operand, inputs)) if ufunc in STEPS else NotImplemented

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply ``numpy.where``."""
        if function is not np.where or kwargs or len(args) != 3:
            return NotImplemented
        condition, yes, no = args[0], self._operand(args[1]), self._operand(args[2])
        return Tracked(np.where(condition, yes.value, no.value), np.where(condition, yes.error, no.error), self.precision)

    def _operand(self, operand: Any) -> Tracked:
        if isinstance(operand, Tracked):
            return operand
        return self.constant(operand) if isinstance(operand, int | float) else Tracked.exact(operand, self.precision)

    def like(self, value: Array, error: Array) -> Tracked:
        """Return other numbers with the precision of these."""
        return Tracked(value, error, self.precision)

    @property
    def zero(self) -> npt.NDArray[np.bool_]:
        """Mask of the numbers that are exactly zero."""
        zero = np.asarray(self.value == 0)
        return zero if self.errorless else np.asarray(zero & (self.error == 0))

    @property
    def scales(self) -> npt.NDArray[np.bool_]:
        """Mask of the numbers that are exactly a power of two or zero: multiplying by them does not round."""
        power = np.asarray(self.value.view(np.int64) & _MANTISSA == 0)
        return power if self.errorless else np.asarray(power & (self.error == 0))

    @property
    def underflow(self) -> float:
        """The absolute error of a product whose exact result is subnormal."""
        return 0.0 if self.precision is None else self.precision.underflow

    @property
    def flushed(self) -> float:
        """The absolute error of a function that may return 0 if the exact result is subnormal."""
        return 0.0 if self.precision is None else self.precision.smallest_normal / self.unit


def constant(number: float, like: Operand) -> Operand:
    """Return a constant in the code, such as beta in ``1 - beta``, for use in a formula; it is tracked if ``like`` is tracked."""
    return like.constant(number) if isinstance(like, Tracked) else number


def erf(x: Operand) -> Operand:
    """Return the error function erf(x), which NumPy lacks."""
    exact = np.vectorize(math.erf, otypes=[np.float64])
    return _bent(x, exact(x.value), _slope_of_erf, _ERROR_FUNCTION) if isinstance(x, Tracked) else exact(x)


def erfc(x: Operand) -> Operand:
    """Return erfc(x) = 1 - erf(x), without cancellation."""
    exact = np.vectorize(math.erfc, otypes=[np.float64])
    return _bent(x, exact(x.value), _slope_of_erf, _ERROR_FUNCTION) if isinstance(x, Tracked) else exact(x)


def max_error(*forms: Operand) -> Operand:
    """Return the first of several formulas for the same number, with the largest of their errors, because code may use any of the formulas."""
    if not isinstance(forms[0], Tracked):
        return forms[0]
    return Tracked(forms[0].value, np.maximum.reduce([form.error for form in forms]), forms[0].precision)


def in_range_with(result: Operand, step: Operand) -> Operand:
    """Return ``result``, with an infinite error if ``step``, an intermediate result of a usual formula, may be out of range."""
    if not isinstance(result, Tracked):
        return result
    return result.like(result.value, np.where(np.isinf(step.error), np.inf, result.error))


def running_mean(kept: float, old: Operand, new: Operand) -> Operand:
    """Return ``kept old + (1 - kept) new``, or ``old + (1 - kept) (new - old)``.

    ``1 - kept`` is computed from ``kept`` after rounding to the precision, because compiled code may do so.
    """
    share = 1 - constant(kept, new)
    return max_error(kept * old + share * new, old + share * (new - old))


def _add(a: Tracked, b: Tracked) -> Tracked:
    return a.made(a.value + b.value, _of_both(a, b), ~(a.zero | b.zero))


def _subtract(a: Tracked, b: Tracked) -> Tracked:
    return a.made(a.value - b.value, _of_both(a, b), ~(a.zero | b.zero))


def _of_both(a: Tracked, b: Tracked) -> Array:
    """Return the sum of the errors of two numbers."""
    return b.error if a.errorless else a.error if b.errorless else np.asarray(a.error + b.error)


def _multiply(a: Tracked, b: Tracked) -> Tracked:
    if a.errorless or b.errorless:
        number, other = (a, b) if a.errorless else (b, a)
        error = np.asarray(0.0 if other.errorless else np.abs(number.value) * other.error)
    else:
        error = np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.unit * a.error * b.error
    # If one factor is exactly zero, so is the product, even if the error of the other factor is large.
    zero, lost = a.zero | b.zero, np.asarray(a.underflow)
    if zero.any():
        error, lost = np.where(zero, 0.0, error), np.where(zero, 0.0, lost)
    return a.made(a.value * b.value, error, ~(a.scales | b.scales), lost)


def _divide(a: Tracked, b: Tracked) -> Tracked:
    quotient = a.value / b.value
    least = np.abs(b.value) - b.unit * b.error
    error = np.where(least > 0, (a.error + np.abs(quotient) * b.error) / least, np.inf)
    return a.made(quotient, error, ~(a.zero | b.scales), np.where(a.zero, 0.0, a.underflow))


def _square_root(a: Tracked) -> Tracked:
    root, moved = np.sqrt(a.value), a.unit * a.error
    # sqrt(a) - sqrt(a - d) = d / (sqrt(a) + sqrt(a - d)); if d exceeds a, the root may be off by sqrt(d).
    inner = a.error / (root + np.sqrt(np.maximum(a.value - moved, 0.0)))
    beyond = np.sqrt(a.error / a.unit) if a.unit else np.inf
    error = np.where(a.error == 0, 0.0, np.where(moved <= a.value, inner, beyond))
    return a.made(root, error, ~a.zero)


def power(a: Tracked, exponent: Any) -> Tracked:
    """Return a power with a whole exponent; its error holds for repeated products and for a library function."""
    count = float(exponent)
    if not count.is_integer() or count < 1:
        raise ValueError(f"a power of {exponent}: expected a whole exponent of at least 1")
    if count == 1:
        return a
    if count == 2:
        return _multiply(a, a)
    error = count * np.abs(a.value) ** (count - 1) * a.error
    return a.made(a.value**count, error, max(float(ELEMENTARY), count - 1), a.underflow)


def _maximum(a: Tracked, b: Tracked) -> Tracked:
    """Return the larger of two numbers with its error, or with the larger error if errors may change which number is larger."""
    apart = np.abs(a.value - b.value) > a.unit * (a.error + b.error)
    winner = np.where(a.value >= b.value, a.error, b.error)
    return a.like(np.maximum(a.value, b.value), np.where(apart, winner, np.maximum(a.error, b.error)))


def _exponential(a: Tracked) -> Tracked:
    value, moved = np.exp(a.value), a.unit * a.error
    error = value * a.error
    if a.unit:
        error = np.where(moved < 1, value * np.expm1(moved), np.exp(a.value + moved) - value) / a.unit
    return a.made(value, error, float(ELEMENTARY), a.flushed)


def _logarithm(a: Tracked) -> Tracked:
    least = a.value - a.unit * a.error
    return a.made(np.log(a.value), np.where(least > 0, a.error / least, np.inf), float(ELEMENTARY))


def _hyperbolic_tangent(a: Tracked) -> Tracked:
    value = np.tanh(a.value)
    result = _bent(a, value, lambda x: 1 - np.square(np.tanh(x)))
    # If tanh is this close to 1, every implementation returns exactly 1, and 1 - tanh is zero.
    short = 2 / (1 + np.exp(2 * np.abs(a.value)))
    saturated = (short <= a.unit**2) & (a.unit * a.error < 1)
    return a.like(value, np.where(saturated, 2 * a.unit, result.error)) if a.unit else result


def _bent(a: Tracked, value: Array, slope: Callable[[Array], Array], roundings: float = ELEMENTARY) -> Tracked:
    """Return the tracked ``value`` of a function of ``a`` whose slope decreases with the distance from zero."""
    nearest = np.maximum(np.abs(a.value) - a.unit * a.error, 0.0)
    return a.made(value, np.where(a.error == 0, 0.0, a.error * slope(nearest)), roundings, a.flushed)


def _slope_of_erf(x: Array) -> Array:
    return np.asarray(2 / math.sqrt(math.pi) * np.exp(-np.square(x)))


STEPS: dict[np.ufunc, Callable[..., Tracked]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.true_divide: _divide,
    np.sqrt: _square_root,
    np.square: lambda a: _multiply(a, a),
    np.absolute: lambda a: a.like(np.abs(a.value), a.error),
    np.negative: lambda a: a.like(-a.value, a.error),
    np.maximum: _maximum,
    np.minimum: lambda a, b: -_maximum(-a, -b),
    np.exp: _exponential,
    np.log: _logarithm,
    np.tanh: _hyperbolic_tangent,
}
"""For each supported NumPy function, its version for tracked numbers."""


def independent(terms: Array, axes: tuple[int, ...], precision: Precision) -> Array:
    """Return how many independent roundings each sum over ``axes`` counts as: one for each term, more if terms repeat. The axes are kept."""
    others = tuple(place for place in range(terms.ndim) if place not in axes)
    count = math.prod(terms.shape[place] for place in axes)
    shape = [1 if place in axes else size for place, size in enumerate(terms.shape)]
    most = (count / precision.confidence) ** 2  # the worst case, for any order and any repeated terms
    if most <= count:
        return np.full(shape, float(count))
    sums = terms.transpose(*others, *axes).reshape(-1, count)
    sample = np.sort(sums[:, :: max(1, count // _SAMPLE)], axis=1)
    if not ((sample[:, 1:] == sample[:, :-1]) & (sample[:, 1:] != 0)).any():
        return np.full(shape, float(count))
    # How often each number occurs, except zero: adding zero does not round.
    counts = [np.unique(own[own != 0], return_counts=True)[1].astype(np.float64) for own in sums]
    squares = np.array([np.square(own).sum() for own in counts])
    return np.asarray(np.clip(squares, count, most).reshape(shape))
