"""The elementary steps of a computation on tracked numbers: what becomes of the errors that a step starts from, and what its own rounding adds.

Errors are in multiples of the unit roundoff; ``unit`` is 0 where they are but passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from crosscheck.arithmetic import ELEMENTARY, Array

if TYPE_CHECKING:
    from crosscheck.tracked import Tracked

_ERROR_FUNCTION = 2.0 * ELEMENTARY
"""Roundings of the error function: in vectorised code a polynomial times an exponential (Abramowitz and Stegun, 7.1.26), as in PyTorch's GELU."""


def _add(a: Tracked, b: Tracked) -> Tracked:
    return a.made(a.value + b.value, _of_both(a, b), ~(a.zero | b.zero))


def _subtract(a: Tracked, b: Tracked) -> Tracked:
    return a.made(a.value - b.value, _of_both(a, b), ~(a.zero | b.zero))


def _of_both(a: Tracked, b: Tracked) -> Array:
    """Return the errors of two numbers together."""
    return b.error if a.errorless else a.error if b.errorless else np.asarray(a.error + b.error)


def _multiply(a: Tracked, b: Tracked) -> Tracked:
    if a.errorless or b.errorless:
        number, other = (a, b) if a.errorless else (b, a)
        error = np.asarray(0.0 if other.errorless else np.abs(number.value) * other.error)
    else:
        error = np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.unit * a.error * b.error
    # A product that is zero because a factor is exactly so stays zero, whatever the other one is off by.
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
    # sqrt(a) - sqrt(a - d) = d / (sqrt(a) + sqrt(a - d)); where d exceeds a, the root may be off by sqrt(d).
    inner = a.error / (root + np.sqrt(np.maximum(a.value - moved, 0.0)))
    beyond = np.sqrt(a.error / a.unit) if a.unit else np.inf
    error = np.where(a.error == 0, 0.0, np.where(moved <= a.value, inner, beyond))
    return a.made(root, error, ~a.zero)


def _square(a: Tracked) -> Tracked:
    return _multiply(a, a)


def power(a: Tracked, exponent: Any) -> Tracked:
    """Return a power of a whole exponent: as products, or by a function."""
    count = float(exponent)
    if not count.is_integer() or count < 1:
        raise ValueError(f"a power of {exponent}: expected a whole exponent of at least 1")
    if count == 1:
        return a
    if count == 2:
        return _square(a)
    error = count * np.abs(a.value) ** (count - 1) * a.error
    return a.made(a.value**count, error, max(float(ELEMENTARY), count - 1), a.underflow)


def _absolute(a: Tracked) -> Tracked:
    return a.like(np.abs(a.value), a.error)


def _negative(a: Tracked) -> Tracked:
    return a.like(-a.value, a.error)


def _maximum(a: Tracked, b: Tracked) -> Tracked:
    """Return the larger one; where errors may turn which one that is, the larger error."""
    apart = np.abs(a.value - b.value) > a.unit * (a.error + b.error)
    winner = np.where(a.value >= b.value, a.error, b.error)
    return a.like(np.maximum(a.value, b.value), np.where(apart, winner, np.maximum(a.error, b.error)))


def _minimum(a: Tracked, b: Tracked) -> Tracked:
    return _negative(_maximum(_negative(a), _negative(b)))


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
    result = _bent(a, value, _slope_of_tanh)
    # So far nearer to 1 than to the number before it that every implementation gives 1 itself, and 1 - tanh is zero, as whoever computes it expects.
    short = 2 / (1 + np.exp(2 * np.abs(a.value)))
    saturated = (short <= a.unit**2) & (a.unit * a.error < 1)
    return a.like(value, np.where(saturated, 2 * a.unit, result.error)) if a.unit else result


def error_function(a: Tracked) -> Tracked:
    """Return erf."""
    return _bent(a, np.vectorize(math.erf, otypes=[np.float64])(a.value), _slope_of_erf, _ERROR_FUNCTION)


def complementary_error_function(a: Tracked) -> Tracked:
    """Return 1 - erf."""
    return _bent(a, np.vectorize(math.erfc, otypes=[np.float64])(a.value), _slope_of_erf, _ERROR_FUNCTION)


def _bent(a: Tracked, value: Array, slope: Callable[[Array], Array], roundings: float = ELEMENTARY) -> Tracked:
    """Return a function whose slope is the smaller the farther it is from zero."""
    nearest = np.maximum(np.abs(a.value) - a.unit * a.error, 0.0)
    return a.made(value, np.where(a.error == 0, 0.0, a.error * slope(nearest)), roundings, a.flushed)


def _slope_of_erf(x: Array) -> Array:
    return np.asarray(2 / math.sqrt(math.pi) * np.exp(-np.square(x)))


def _slope_of_tanh(x: Array) -> Array:
    return np.asarray(1 - np.square(np.tanh(x)))


STEPS: dict[np.ufunc, Callable[..., Tracked]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.true_divide: _divide,
    np.sqrt: _square_root,
    np.square: _square,
    np.absolute: _absolute,
    np.negative: _negative,
    np.maximum: _maximum,
    np.minimum: _minimum,
    np.exp: _exponential,
    np.log: _logarithm,
    np.tanh: _hyperbolic_tangent,
}
"""The step of each of NumPy's functions."""
