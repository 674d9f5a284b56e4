r"""Operations without an error theory of their own: their rounding is measured.

The reference runs in float64, M times, every elementary result of its forward and of its backward pass perturbed at random by a relative
:math:`\epsilon`, far above float64's own rounding and small enough for the answers to stay linear in it. How far an element then strays, as a root
mean square :math:`s` and divided by :math:`\epsilon`, is the standard error of a computation in which every step rounds at random with
:math:`\epsilon = u`. It tolerates

.. math:: t_M(\delta / N) \; u \; s,

t being Student's quantile for M perturbed runs, because s is itself an estimate. The perturbations have the largest size that rounding has, as their
standard deviation, which a rounding error has half of or less: room for a right implementation that takes its steps in another order, or a few more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Bound, Precision, student_quantile

RUNS = 32
"""M. At one false alarm in 1e11 elements Student's quantile is 10.3 for 32 runs, 17.2 for half as many, 8.3 for twice as many; the normal
distribution's, for infinitely many, is 6.8. More runs would cost more time than the sharper tolerance is worth."""

OWN = 8
"""Runs with noise of the size of the subject's own rounding. Where it strays far more than small noise does, it is what rounding in the subject's
precision does: the variance of equal numbers about a thousand is the square of the mean's own error, which small noise hardly moves."""

SCALES = (2.0**-40, 2.0**-46)
"""Epsilon of every other run. Where the answer is linear both show the same; where they do not, it is no error theory that decides."""

_LOST = 4.0
"""Smallest normal numbers that every element of an array that rounds may be off by, absolutely. Where exp(-x) leaves the range, 1 / (1 + exp(-x)) is
0 in place of up to a quarter of one; an exponential that is flushed to zero loses a whole one. There is room for the few of them that meet in one
element, and for a slope or a cotangent of a few units that multiplies them."""

_NONLINEAR = 10.0
"""A ratio of two spreads that chance does not produce: two spreads of 16 runs each differ 8.3 times with probability 1e-11 (F test)."""


class NoisyOracle(Oracle, Protocol):
    """An oracle that can be run with its rounding enlarged."""

    def noisy_runs(self, call: Call, scale: float, runs: int, seed: int, underflow: float = 0.0, flushed: float = 0.0) -> dict[str, Array]:
        """Return what :meth:`vjp` does in at least so many runs, stacked along a new first axis, every elementary result perturbed at random.

        ``scale`` is the relative size, the seed decides which way. Besides, each result loses up to ``underflow``, and what an elementary function
        gives up to ``flushed``.
        """

    def largest(self, call: Call) -> tuple[float, float]:
        """Return the largest absolute number on the way forward, and on both ways; what a given infinity makes infinite does not count."""


@dataclass(frozen=True)
class Measured:
    """Any differentiable operation; the seed is that of its perturbations."""

    seed: int = 0

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds from the spread of perturbed runs; an array that none of them moves is exact.

        Where a square of what occurs on the way leaves the subject's range, another formula for the same function, right otherwise, may do so, and
        no error is limited.
        """
        noisy = cast("NoisyOracle", oracle)
        # What underflows loses the smallest subnormal number of the subject's precision, once the spread is scaled from epsilon to u.
        lost, flushed = precision.underflow, precision.smallest_normal / precision.unit
        halves = [
            noisy.noisy_runs(call, scale, RUNS // len(SCALES), self.seed + RUNS * number, lost * scale, flushed * scale)
            for number, scale in enumerate(SCALES)
        ]
        # Noise of the subject's own size, where that is far larger, shows what is not linear in it.
        unit = precision.unit
        own = noisy.noisy_runs(call, unit, OWN, self.seed + RUNS * len(SCALES), lost * unit, flushed * unit) if unit > SCALES[0] else {}
        again = oracle.vjp(call)
        forward, both = noisy.largest(call)
        scales = [scale for scale, half in zip(SCALES, halves, strict=True) for _ in half["output"]]
        factor = student_quantile(precision.false_alarms / precision.elements, len(scales))
        bounds = {}
        for name, value in result.items():
            spread = yardstick(value, np.concatenate([half[name] for half in halves]), scales)
            if own:
                with np.errstate(invalid="ignore", over="ignore"):
                    in_own_size = _rms((own[name] - value) / unit)
                spread = np.where(in_own_size > _NONLINEAR * spread, in_own_size, spread)
            terms = np.maximum(factor * spread, _LOST * precision.smallest_normal / precision.unit) if spread.any() else spread
            in_range = (forward if name == "output" else both) < math.sqrt(float(np.finfo(precision.dtype).max))
            bounds[name] = (Bound(terms, 1.0) if in_range else Bound(np.inf, 1.0)) if terms.any() else Bound.exact(value)
            if not _repeated(value, again[name], terms):
                raise RefusedError(f"asked twice for one input, the reference gives two results ({name}): it draws random numbers itself")
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return how far the results move when input and cotangent do, by the linear regime's finite differences.

        The errors of different elements are taken to be independent, each as large as it may be, and the quantile for N elements is put on top; one
        more run moves them all in the same direction. Errors with just the signs of the derivative could do more.
        """
        scale, rng = SCALES[0], np.random.default_rng(self.seed)
        signs = (-1.0, 1.0)

        def moved(pick: bool) -> dict[str, Array]:
            by_x = rng.choice(signs, call.x.shape) if pick else np.ones_like(call.x)
            shifted = replace(call, x=np.asarray(call.x + scale * by_x * error_x))
            if call.grad_output is not None and error_grad_output is not None:
                by_g = rng.choice(signs, call.grad_output.shape) if pick else np.ones_like(call.grad_output)
                shifted = replace(shifted, grad_output=np.asarray(call.grad_output + scale * by_g * error_grad_output))
            after = oracle.vjp(shifted)
            # An infinite error moves to nowhere: it stays infinite.
            return {name: np.nan_to_num((after[name] - value) / scale, nan=np.inf) for name, value in result.items() if name in after}

        together = moved(pick=False)
        runs = [moved(pick=True) for _ in range(RUNS)]
        factor = student_quantile(Precision.false_alarms / max(value.size for value in result.values()), RUNS)
        return {name: np.maximum(np.abs(value), factor * _rms([run[name] for run in runs])) for name, value in together.items()}


def yardstick(value: Array, runs: Sequence[Array] | Array, scales: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the standard error of each element per unit roundoff; infinite where rounding decides what it is.

    Parameters
    ----------
    value : array
        The unperturbed result.
    runs : sequence of array, or an array with the runs as its first axis
        The perturbed results.
    scales : sequence of float
        Of each run's perturbation.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        strays = [np.asarray((run - value) / scale, dtype=np.float64) for run, scale in zip(runs, scales, strict=True)]
        spread = _rms(strays)
    if not spread.any():
        return spread
    by_scale = [_rms([stray for stray, own in zip(strays, scales, strict=True) if own == scale]) for scale in SCALES]
    return np.where(_decided_by_rounding(value, by_scale) | ~np.isfinite(spread), np.inf, np.maximum(spread, _least(value, spread)))


def _repeated(value: Array, again: Array, terms: Array) -> bool:
    """Return whether a second result is the first one: equal, or as near as float64's own rounding is, which need not be the same each time.

    PyTorch's least squares start from whatever is in memory. Random numbers differ by more, and in perturbed runs by no limited number of roundings.
    """
    if np.array_equal(value, again, equal_nan=True):
        return True
    near = np.abs(value - again) <= float(np.finfo(np.float64).eps) * np.where(np.isfinite(terms), terms, 0.0)
    return bool(np.all(near | (value == again) | (np.isnan(value) & np.isnan(again))))


def _rms(arrays: Sequence[Array] | Array) -> npt.NDArray[np.float64]:
    """Return the root mean square along the first axis; the squares themselves may be out of range."""
    sizes = np.abs(np.asarray(arrays, dtype=np.float64))
    largest = sizes.max(axis=0)
    counted = np.isfinite(largest) & (largest > 0)
    shares = np.where(counted, sizes, 0.0) / np.where(counted, largest, 1.0)
    with np.errstate(invalid="ignore"):  # where it is infinite the product is not used
        return np.asarray(np.where(counted, largest * np.sqrt(np.mean(np.square(shares), axis=0)), largest))


def _decided_by_rounding(value: Array, by_scale: Sequence[Array]) -> npt.NDArray[np.bool_]:
    """Return where the strays do not shrink with the perturbation as they should, other than by float64's own rounding.

    Such an element depends on a decision between numbers that differ by nothing but rounding errors, or is itself made of nothing else.
    """
    small, large = np.minimum(*by_scale), np.maximum(*by_scale)
    own = 64 * float(np.finfo(np.float64).eps) * np.abs(value)
    beyond = np.any([spread * scale > own for spread, scale in zip(by_scale, SCALES, strict=True)], axis=0)
    return np.asarray((large > _NONLINEAR * small) & beyond)


def _least(value: Array, spread: Array) -> Array:
    """Return the least that an element of an array that is not exact may stray.

    An element that happens to round nowhere in the reference, such as the positive side of ``where(x > 0, x, a * x)``, may round in another formula
    of the same function. It is granted what is usual in its array relative to its own size, but no more than the array's root mean square.
    """
    counted = np.isfinite(spread) & (spread > 0)
    sizes = np.abs(value)
    with np.errstate(over="ignore"):
        relative = spread[counted & (sizes > 0)] / sizes[counted & (sizes > 0)]
        if not relative.size:
            return np.zeros_like(spread)
        return np.asarray(np.minimum(_rms(spread[counted]), np.median(relative) * sizes))
