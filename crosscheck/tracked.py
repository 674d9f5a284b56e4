r"""Running error analysis: numbers that know how far rounding may have led them away from what they would be exactly.

A formula written once in NumPy's style gives its value on arrays. On :class:`Tracked` it gives the value together with the largest error that
rounding explains, step by step as a computation in the subject's precision takes them (Wilkinson, Error analysis revisited, 1986; Higham, Accuracy
and Stability of Numerical Algorithms, 2002, section 3.3). With :math:`\hat a = a + u\,e_a`, u being the unit roundoff,

.. math:: e_{a \pm b} = e_a + e_b + |a \pm b|, \quad e_{ab} = |a| e_b + |b| e_a + |ab|, \quad e_{a/b} = (e_a + |a/b|\, e_b) / |b| + |a/b|,

and a function adds its own error to :math:`|f'(a)|\, e_a`. Errors are in multiples of the unit roundoff, as everywhere here. They are of first order,
but where an error may be as large as the number itself, as in a denominator or under a root, it is taken as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.repeats import independent
from crosscheck.tracked_steps import STEPS, complementary_error_function, error_function, power

Operand: TypeAlias = Any
"""What a formula is written for: an array of numbers, or a tracked one."""

Axes: TypeAlias = int | tuple[int, ...] | None

_CONVERSION = 2.0
"""Roundings of a division by a whole number that may be a multiplication by its rounded reciprocal."""

_MANTISSA = (1 << 52) - 1
"""The bits of a float64 that are zero in a power of two."""


@dataclass(frozen=True, eq=False)
class Tracked(NDArrayOperatorsMixin):
    """An array with the error of each of its elements.

    NumPy's operators and its functions ``sqrt``, ``square``, ``power`` (whole exponents), ``absolute``, ``maximum``, ``minimum``, ``where``, ``exp``,
    ``log``, ``tanh`` apply; a comparison compares the values. An array that meets a tracked one is exact. A Python number is the code's own, such as
    a learning rate of 0.005, and itself rounded.

    Attributes
    ----------
    value : array
        In float64.
    error : array
        Of the same shape, in multiples of the unit roundoff; infinite where nothing limits it.
    arithmetic : Arithmetic, optional
        Whose steps round; without it none does, and errors are but passed on, to first order.
    errorless : bool
        Whether it is known beforehand that no element has an error, so that none needs to be looked at.
    """

    value: Array
    error: Array
    arithmetic: Arithmetic | None = None
    errorless: bool = False

    @classmethod
    def exact(cls, value: npt.ArrayLike, arithmetic: Arithmetic | None = None) -> Tracked:
        """Return numbers without an error."""
        wide = np.asarray(value, dtype=np.float64)
        return cls(wide, np.zeros_like(wide), arithmetic, errorless=True)

    def constant(self, number: float) -> Tracked:
        """Return a number of the code's own, as the precision of this one holds it.

        One that float32 cannot hold is a decimal number, which is rounded in any precision: ``1 - 0.9`` is not quite 0.1.
        """
        if self.arithmetic is None:
            return Tracked.exact(number)
        with np.errstate(all="ignore"):
            lost = abs(float(self.arithmetic.dtype.type(number)) - number)
            held = not lost and float(np.float32(number)) == number
        error = 0.0 if held else max(abs(number), lost / self.unit)
        return Tracked(np.asarray(float(number)), np.asarray(error), self.arithmetic)

    @property
    def bound(self) -> Bound:
        """The bound of these numbers: their errors, complete."""
        return Bound(self.error, 1.0)

    @property
    def exactly(self) -> Tracked:
        """The same numbers without their errors."""
        return Tracked.exact(self.value, self.arithmetic)

    @property
    def deviation(self) -> Tracked:
        """The errors alone, as numbers that are zero but for them."""
        return Tracked(np.zeros_like(self.value), self.error, self.arithmetic)

    @property
    def unit(self) -> float:
        """The unit roundoff; 0 where errors are but passed on."""
        return 0.0 if self.arithmetic is None else self.arithmetic.unit

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tracked:
        """Return the sum over axes, whatever the order of its terms."""
        value = self.value.sum(axis=axis, keepdims=keepdims)
        error = self.error.sum(axis=axis, keepdims=keepdims)
        if self.arithmetic is not None:
            axes = tuple(range(self.value.ndim)) if axis is None else tuple(np.atleast_1d(axis) % self.value.ndim)
            roundings = independent(self.value, axes, self.arithmetic) - 1
            error = error + self.arithmetic.grow(roundings).reshape(error.shape) * np.abs(self.value).sum(axis=axis, keepdims=keepdims)
        return self.made(value, error, roundings=0.0)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tracked:
        """Return the mean over axes, divided by the number of terms at the end, or term by term, where each of them may underflow."""
        total = self.sum(axis, keepdims)
        terms = self.value.size // max(total.value.size, 1)
        lost = np.where(np.any(self.value, axis=axis, keepdims=keepdims), terms * self.underflow, 0.0)
        return self.made(total.value / terms, total.error / terms, _CONVERSION, lost)

    def reshape(self, *shape: int) -> Tracked:
        """Return the same numbers in another shape."""
        return Tracked(self.value.reshape(*shape), self.error.reshape(*shape), self.arithmetic)

    def made(self, value: Array, error: Array, roundings: npt.ArrayLike = 1.0, lost: npt.ArrayLike = 0.0) -> Tracked:
        """Return the result of a step on these numbers.

        Parameters
        ----------
        value : array
        error : array
            What the errors that the step started from come to.
        roundings : array_like
            How often the step itself rounds each element.
        lost : array_like
            What it may lose besides where the result may have no full precision, absolutely, in multiples of the unit roundoff.
        """
        if self.arithmetic is not None:
            error = self._with_own(self.arithmetic, np.abs(value), error, roundings, lost)
        elif error.shape != value.shape:
            error = np.broadcast_to(error, value.shape)
        # An infinite error times zero is no number: nothing is known about it. The largest of numbers one of which is none is none either.
        unknown = math.isnan(np.max(error, initial=0.0))
        return Tracked(np.asarray(value), np.where(np.isnan(error), np.inf, error) if unknown else np.asarray(error), self.arithmetic)

    @np.errstate(all="ignore")
    def _with_own(self, arithmetic: Arithmetic, size: Array, error: Array, roundings: npt.ArrayLike, lost: npt.ArrayLike) -> Array:
        """Return an error with that of the step itself, of a result of this size; infinite where the result may be out of range."""
        moved = self.unit * error
        own = np.asarray(roundings) * (size + moved)
        if np.any(lost) and (tiny := size < moved + 2 * arithmetic.smallest_normal).any():
            own = own + np.where(tiny, lost, 0.0)
        total = np.asarray(error + own)
        largest = np.finfo(arithmetic.dtype).max
        if np.max(size, initial=0.0) + self.unit * np.max(total, initial=0.0) <= largest:
            return total
        return np.where(size + self.unit * total > largest, np.inf, total)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Carry out one of NumPy's elementwise functions."""
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in _COMPARISONS:
            return ufunc(*(operand.value if isinstance(operand, Tracked) else operand for operand in inputs))
        with np.errstate(all="ignore"):
            if ufunc is np.power:
                return power(inputs[0], inputs[1]) if isinstance(inputs[0], Tracked) else NotImplemented
            return STEPS[ufunc](*map(self._operand, inputs)) if ufunc in STEPS else NotImplemented

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out ``numpy.where``."""
        if function is not np.where or kwargs or len(args) != 3:
            return NotImplemented
        condition, yes, no = args[0], self._operand(args[1]), self._operand(args[2])
        return Tracked(np.where(condition, yes.value, no.value), np.where(condition, yes.error, no.error), self.arithmetic)

    def _operand(self, operand: Any) -> Tracked:
        if isinstance(operand, Tracked):
            return operand
        return self.constant(operand) if isinstance(operand, int | float) else Tracked.exact(operand, self.arithmetic)

    def like(self, value: Array, error: Array) -> Tracked:
        """Return other numbers of the same arithmetic."""
        return Tracked(value, error, self.arithmetic)

    @property
    def zero(self) -> npt.NDArray[np.bool_]:
        """Where these are zero, exactly."""
        zero = np.asarray(self.value == 0)
        return zero if self.errorless else np.asarray(zero & (self.error == 0))

    @property
    def scales(self) -> npt.NDArray[np.bool_]:
        """Where these are exact powers of two or zeros, by which multiplying rounds nothing."""
        power = np.asarray(self.value.view(np.int64) & _MANTISSA == 0)
        return power if self.errorless else np.asarray(power & (self.error == 0))

    @property
    def underflow(self) -> float:
        """What a product loses whose right result is subnormal."""
        return 0.0 if self.arithmetic is None else self.arithmetic.underflow

    @property
    def flushed(self) -> float:
        """What a function may lose that gives 0 where the right result is subnormal."""
        return 0.0 if self.arithmetic is None else self.arithmetic.smallest_normal / self.unit


def constant(number: float, like: Operand) -> Operand:
    """Return a number of the code's own for a formula on arrays or tracked ones, such as a setting from which others are computed: ``1 - beta``."""
    return like.constant(number) if isinstance(like, Tracked) else number


def erf(x: Operand) -> Operand:
    """Return the error function, which NumPy lacks."""
    return error_function(x) if isinstance(x, Tracked) else np.vectorize(math.erf, otypes=[np.float64])(x)


def erfc(x: Operand) -> Operand:
    """Return 1 less the error function, without cancellation."""
    return complementary_error_function(x) if isinstance(x, Tracked) else np.vectorize(math.erfc, otypes=[np.float64])(x)


def widest(*forms: Operand) -> Operand:
    """Return the first of several formulas for one number, tracked with the largest of their errors.

    That is room for whichever of them a right implementation uses.
    """
    if not isinstance(forms[0], Tracked):
        return forms[0]
    return Tracked(forms[0].value, np.maximum.reduce([form.error for form in forms]), forms[0].arithmetic)


def in_range_with(result: Operand, step: Operand) -> Operand:
    """Return a result, nothing being known about it where a number that a usual formula takes on the way is out of range."""
    if not isinstance(result, Tracked):
        return result
    return result.like(result.value, np.where(np.isinf(step.error), np.inf, result.error))


def running_mean(kept: float, old: Operand, new: Operand) -> Operand:
    """Return ``kept old + (1 - kept) new``, or ``old + (1 - kept) (new - old)``.

    The difference of 1 and a factor is taken of the factor as the precision holds it, which is how compiled code may do it.
    """
    share = 1 - constant(kept, new)
    return widest(kept * old + share * new, old + share * (new - old))


_COMPARISONS = frozenset({np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal})
