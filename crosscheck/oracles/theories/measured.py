r"""Operations without an error theory of their own: their rounding errors are measured.

The reference runs in float64, M times. Every elementary result of its forward and backward pass is perturbed at random by a relative
:math:`\epsilon`, far above float64's own rounding error and small enough for the results to stay linear in it. The deviation of an element, as a root
mean square :math:`s` divided by :math:`\epsilon`, is the standard error of a computation whose every operation rounds at random with
:math:`\epsilon = u`. The tolerance is

.. math:: t_M(\delta / N) \; u \; s,

where t is Student's quantile for M perturbed runs, because s is itself an estimate. The standard deviation of the perturbations is the largest size
of a rounding error, about twice the standard deviation of rounding errors or more. This leaves room for a right implementation that uses another
order of operations, or a few more of them.
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
"""The number of runs, M. For one false alarm in 1e11 elements, Student's quantile is 10.3 for 32 runs, 17.2 for half as many and 8.3 for twice as
many; for infinitely many it is the normal distribution's, 6.8. More runs would cost more time than the sharper tolerance is worth."""

OWN = 8
"""The number of runs with noise as large as the subject's own rounding errors. If results deviate far more in these runs than with small noise, they
are not linear in the noise, and this deviation counts. An example is the variance of equal numbers near 1000: it is the square of the mean's error,
which small noise hardly changes."""

SCALES = (2.0**-40, 2.0**-46)
"""Epsilon of the two halves of the runs. If the result is linear, both give the same; if they differ, no error theory applies."""

_LOST = 4.0
"""The absolute error granted to every element of an array that is rounded, in smallest normal numbers. If exp(-x) leaves the range, 1 / (1 + exp(-x))
is 0 instead of up to a quarter of such a number; an exponential that is flushed to zero loses a whole one. Four leave room for a few of these in one
element, and for a slope or an upstream gradient of a few units that multiplies them."""

_NONLINEAR = 10.0
"""A ratio of two spreads that chance does not produce: two spreads of 16 runs each differ by a factor of 8.3 with probability 1e-11 (F test)."""


class NoisyOracle(Oracle, Protocol):
    """An oracle that can run with enlarged rounding errors."""

    def noisy_runs(self, call: Call, scale: float, runs: int, seed: int, underflow: float = 0.0, flushed: float = 0.0) -> dict[str, Array]:
        """Return the results of at least ``runs`` runs, stacked along a new first axis, with every elementary result perturbed at random.

        ``scale`` is the relative size; the seed determines the directions. In addition, each result changes by up to ``underflow``, and each result
        of an elementary function by up to ``flushed``.
        """

    def largest(self, call: Call) -> tuple[float, float]:
        """Return the largest absolute number in the forward pass, and in both passes; infinities that follow from infinite inputs do not count."""


@dataclass(frozen=True)
class Measured:
    """The error theory of any differentiable operation; ``seed`` is that of the perturbations."""

    seed: int = 0

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds from the spread of perturbed runs; an array that no run changes is exact.

        If the square of an intermediate result leaves the subject's range, another right formula for the same function may leave it, too, so the
        error is then unlimited.
        """
        noisy = cast("NoisyOracle", oracle)
        # Scaled from epsilon to u, an underflow is an error of the smallest subnormal number of the subject's precision.
        lost, flushed = precision.underflow, precision.smallest_normal / precision.unit
        halves = [
            noisy.noisy_runs(call, scale, RUNS // len(SCALES), self.seed + RUNS * number, lost * scale, flushed * scale)
            for number, scale in enumerate(SCALES)
        ]
        # If the subject's rounding errors are far larger, noise of their size shows where results are not linear in it.
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
                raise RefusedError(f"the reference gives two results for the same input ({name}): it draws random numbers itself")
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return how far the results change if input and upstream gradient do, by finite differences in the linear regime.

        The errors of different elements are assumed to be independent, each as large as possible, and the spread is multiplied by the quantile for N
        elements. One more run changes all elements in the same direction. Only errors whose signs follow those of the derivative could do more.
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
            # An infinite error gives NaN here: the propagated error is infinite, too.
            return {name: np.nan_to_num((after[name] - value) / scale, nan=np.inf) for name, value in result.items() if name in after}

        together = moved(pick=False)
        runs = [moved(pick=True) for _ in range(RUNS)]
        factor = student_quantile(Precision.false_alarms / max(value.size for value in result.values()), RUNS)
        return {name: np.maximum(np.abs(value), factor * _rms([run[name] for run in runs])) for name, value in together.items()}


def yardstick(value: Array, runs: Sequence[Array] | Array, scales: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the standard error of each element per unit roundoff; infinite where rounding decides the value.

    ``value`` is the unperturbed result, ``runs`` are the perturbed ones, and ``scales`` the sizes of their perturbations.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = [np.asarray((run - value) / scale, dtype=np.float64) for run, scale in zip(runs, scales, strict=True)]
        spread = _rms(deviations)
    if not spread.any():
        return spread
    by_scale = [_rms([deviation for deviation, own in zip(deviations, scales, strict=True) if own == scale]) for scale in SCALES]
    return np.where(_decided_by_rounding(value, by_scale) | ~np.isfinite(spread), np.inf, np.maximum(spread, _least(value, spread)))


def _repeated(value: Array, again: Array, terms: Array) -> bool:
    """Return whether a second result equals the first, up to float64's own rounding errors, which may differ each time.

    They do in PyTorch's least squares, which read uninitialised memory. Results with random numbers differ by more, and in perturbed runs by an
    unlimited number of roundings.
    """
    if np.array_equal(value, again, equal_nan=True):
        return True
    near = np.abs(value - again) <= float(np.finfo(np.float64).eps) * np.where(np.isfinite(terms), terms, 0.0)
    return bool(np.all(near | (value == again) | (np.isnan(value) & np.isnan(again))))


def _rms(arrays: Sequence[Array] | Array) -> npt.NDArray[np.float64]:
    """Return the root mean square along the first axis, even if the squares themselves are out of range."""
    sizes = np.abs(np.asarray(arrays, dtype=np.float64))
    largest = sizes.max(axis=0)
    counted = np.isfinite(largest) & (largest > 0)
    shares = np.where(counted, sizes, 0.0) / np.where(counted, largest, 1.0)
    with np.errstate(invalid="ignore"):  # where the largest is infinite, the product is not used
        return np.asarray(np.where(counted, largest * np.sqrt(np.mean(np.square(shares), axis=0)), largest))


def _decided_by_rounding(value: Array, by_scale: Sequence[Array]) -> npt.NDArray[np.bool_]:
    """Return a mask of the elements whose deviations do not shrink with the perturbation as expected, beyond float64's own rounding errors.

    Such an element depends on a comparison of numbers that differ only by rounding errors, or is itself only a rounding error.
    """
    small, large = np.minimum(*by_scale), np.maximum(*by_scale)
    own = 64 * float(np.finfo(np.float64).eps) * np.abs(value)
    beyond = np.any([spread * scale > own for spread, scale in zip(by_scale, SCALES, strict=True)], axis=0)
    return np.asarray((large > _NONLINEAR * small) & beyond)


def _least(value: Array, spread: Array) -> Array:
    """Return the smallest deviation that is granted to each element of an array that is not exact.

    An element that the reference happens not to round, such as the positive side of ``where(x > 0, x, a * x)``, may be rounded in another formula of
    the same function. It is granted the median relative deviation of its array, but at most the array's root mean square.
    """
    counted = np.isfinite(spread) & (spread > 0)
    sizes = np.abs(value)
    with np.errstate(over="ignore"):
        relative = spread[counted & (sizes > 0)] / sizes[counted & (sizes > 0)]
        if not relative.size:
            return np.zeros_like(spread)
        return np.asarray(np.minimum(_rms(spread[counted]), np.median(relative) * sizes))
