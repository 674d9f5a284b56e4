r"""Measure the rounding errors of an operation that has no error theory.

The reference runs M times in float64. Every elementary result of its forward and backward pass is perturbed at random by a relative error
:math:`\epsilon`, far above float64's own rounding error and small enough for the results to stay linear in it. The deviation of each element, as a
root mean square divided by :math:`\epsilon`, is the standard error :math:`s` of a computation in which every operation rounds at random, in multiples
of the unit roundoff u. The tolerance is

.. math:: t_M(\delta / N) \; u \; s,

where t is Student's quantile for M perturbed runs, because s is itself an estimate. The standard deviation of the perturbations equals the largest
rounding error, at least about twice the standard deviation of rounding errors. This leaves room for a correct implementation that orders its
operations differently, or uses a few more of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, is_output
from crosscheck.core.precision import Array, Bound, Precision, student_quantile

RUNS = 32
"""The number of runs, M. For one false alarm in 1e11 elements, Student's quantile is 17.2 for 16 runs, 10.3 for 32 runs, 8.3 for 64 runs and 6.8 for
infinitely many runs. The tighter tolerance of more runs is not worth their time."""

OWN = 8
"""The number of runs with noise as large as the subject's rounding errors. If results deviate far more in these runs than with small noise, they are
not linear in the noise, and the larger deviation counts. An example is the variance of equal numbers near 1000: it is the square of the mean's error,
which is tiny if the noise is small."""

SCALES = (2.0**-40, 2.0**-46)
"""Epsilon in each half of the runs. If results are linear in the noise, both halves agree; if they differ, the error is unlimited."""

WIDE = 8.0
"""The size of the noise that looks for kinks, in multiples of the subject's unit roundoff."""

_LOST = 4.0
"""The absolute error granted to every element of an array that is rounded, in multiples of the smallest normal number. If exp(-x) overflows,
1 / (1 + exp(-x)) loses up to a quarter of this number; an exponential that is flushed to zero loses all of it. Four leaves room for a few such losses
in one element, and for a slope or an upstream gradient of a few units that multiplies them."""

_NONLINEAR = 10.0
"""If two spreads differ by this factor, it is not chance: two spreads of 16 runs each differ by 8.3 with probability 1e-11 (F test)."""


class NoisyOracle(Oracle, Protocol):
    """An oracle that can run with enlarged rounding errors."""

    def noisy_runs(self, call: Call, scale: float, runs: int, seed: int, underflow: float = 0.0, flushed: float = 0.0) -> dict[str, Array]:
        """Return the results of at least ``runs`` runs, stacked along a new first axis, with every elementary result perturbed at random.

        ``scale`` is the relative size of the perturbations; ``seed`` determines the random numbers. In addition, each result changes by about
        ``underflow``, and each result of an elementary function by about ``flushed``.
        """

    def largest(self, call: Call) -> tuple[float, float]:
        """Return two largest absolute values: in the forward pass, and in both passes together. Infinities caused by infinite inputs do not count."""


@dataclass(frozen=True)
class Measured:
    """The error theory of any differentiable operation; ``seed`` determines the random perturbations."""

    seed: int = 0

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds from the spread of perturbed runs; an array that no run changes is exact.

        If the square of an intermediate result is out of the subject's range, another correct formula for the same function may overflow, so the
        error is unlimited.
        """
        noisy = cast("NoisyOracle", oracle)
        # After scaling from epsilon to u, an underflow is an error of the smallest subnormal number of the subject's precision.
        lost, flushed = precision.underflow, precision.smallest_normal / precision.unit
        halves = [
            noisy.noisy_runs(call, scale, RUNS // len(SCALES), self.seed + RUNS * number, lost * scale, flushed * scale)
            for number, scale in enumerate(SCALES)
        ]
        # If the subject's rounding errors are larger than the noise so far, noise of their size shows which results are not linear in it.
        unit = precision.unit
        own = noisy.noisy_runs(call, unit, OWN, self.seed + RUNS * len(SCALES), lost * unit, flushed * unit) if unit > SCALES[0] else {}
        again = oracle.vjp(call)
        forward, both = noisy.largest(call)
        bounds = {}
        for name, value in result.items():
            terms = terms_of_runs(value, [half[name] for half in halves], precision, own.get(name))
            in_range = (forward if is_output(name) else both) < math.sqrt(float(np.finfo(precision.dtype).max))
            bounds[name] = (Bound(terms, 1.0) if in_range else Bound(np.inf, 1.0)) if terms.any() else Bound.exact(value)
            if not _repeated(value, again[name], terms):
                raise RefusedError(f"the reference gives two results for the same input ({name}): it draws random numbers itself")
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return how far errors of the input and the upstream gradient change the results, by finite differences in the linear regime.

        Each element's error is as large as possible, with a random sign, and the spread of the results is multiplied by the quantile for N elements.
        One more run has equal signs. Only errors whose signs follow the signs of the derivative could change the results more.
        """
        scale, rng = SCALES[0], np.random.default_rng(self.seed)
        signs = (-1.0, 1.0)

        def moved(pick: bool) -> dict[str, Array]:
            by_x = rng.choice(signs, call.x.shape) if pick else np.ones_like(call.x)
            shifted = call.with_x(np.asarray(call.x + scale * by_x * error_x))
            if call.grad_output is not None and error_grad_output is not None:
                by_g = rng.choice(signs, call.grad_output.shape) if pick else np.ones_like(call.grad_output)
                shifted = shifted.with_grad_output(np.asarray(call.grad_output + scale * by_g * error_grad_output))
            after = oracle.vjp(shifted)
            # NaN comes from an infinite error: the propagated error is infinite, too.
            return {name: np.nan_to_num((after[name] - value) / scale, nan=np.inf) for name, value in result.items() if name in after}

        together = moved(pick=False)
        runs = [moved(pick=True) for _ in range(RUNS)]
        factor = student_quantile(Precision.false_alarms / max(value.size for value in result.values()), RUNS)
        return {name: np.maximum(np.abs(value), factor * _rms([run[name] for run in runs])) for name, value in together.items()}


def terms_of_runs(value: Array, halves: Sequence[Array], precision: Precision, own: Array | None = None) -> Array:
    """Return the largest error of each element in multiples of the unit roundoff, from perturbed runs at each of the scales.

    ``own`` are the results of runs with noise of the size of the subject's rounding errors, if there are any.
    """
    unit = precision.unit
    scales = [scale for scale, half in zip(SCALES, halves, strict=True) for _ in half]
    spread = yardstick(value, np.concatenate(halves), scales)
    if own is not None:
        with np.errstate(invalid="ignore", over="ignore"):
            in_own_size = _rms((own - value) / unit)
        spread = np.where(in_own_size > _NONLINEAR * spread, in_own_size, spread)
    factor = student_quantile(precision.false_alarms / precision.elements, len(scales))
    return np.maximum(factor * spread, _LOST * precision.smallest_normal / unit) if spread.any() else spread


def reach_of_kinks(oracle: Oracle, call: Call, result: Arrays, precision: Precision, seed: int = 0) -> dict[str, Array]:
    """Return how far rounding may move each element of the results because it decides at a kink; 0 where results are linear in the noise.

    Noise is here several times as large as the subject's rounding errors, so that hardly any kink is missed.
    """
    noisy, scale = cast("NoisyOracle", oracle), WIDE * precision.unit
    small, large = (noisy.noisy_runs(call, size, RUNS // 2, seed + RUNS * number) for number, size in enumerate((SCALES[0], scale)))
    reach = {}
    with np.errstate(invalid="ignore", over="ignore"):
        for name, value in result.items():
            deviations = large[name] - value
            bent = _rms(deviations / scale) > _NONLINEAR * _rms((small[name] - value) / SCALES[0])
            reach[name] = np.where(bent, 2 * np.abs(deviations).max(axis=0), 0.0)
    return reach


def yardstick(value: Array, runs: Sequence[Array] | Array, scales: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the standard error of each element per unit roundoff; infinite if rounding decides the element's value.

    ``value`` is the unperturbed result, ``runs`` are the perturbed results, and ``scales`` are the sizes of the perturbations.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = [np.asarray((run - value) / scale, dtype=np.float64) for run, scale in zip(runs, scales, strict=True)]
        spread = _rms(deviations)
    if not spread.any():
        return spread
    by_scale = [_rms([deviation for deviation, own in zip(deviations, scales, strict=True) if own == scale]) for scale in SCALES]
    return np.where(_decided_by_rounding(value, by_scale) | ~np.isfinite(spread), np.inf, np.maximum(spread, _least(value, spread)))


def _repeated(value: Array, again: Array, terms: Array) -> bool:
    """Return whether a second result equals the first, up to float64's own rounding errors.

    These may differ each time, as in PyTorch's least squares, which read uninitialised memory. Results that depend on random numbers differ by more.
    An element with infinite ``terms`` must be equal.
    """
    if np.array_equal(value, again, equal_nan=True):
        return True
    near = np.abs(value - again) <= float(np.finfo(np.float64).eps) * np.where(np.isfinite(terms), terms, 0.0)
    return bool(np.all(near | (value == again) | (np.isnan(value) & np.isnan(again))))


def _rms(arrays: Sequence[Array] | Array) -> npt.NDArray[np.float64]:
    """Return the root mean square along the first axis, also if the squares are out of range."""
    sizes = np.abs(np.asarray(arrays, dtype=np.float64))
    largest = sizes.max(axis=0)
    counted = np.isfinite(largest) & (largest > 0)
    shares = np.where(counted, sizes, 0.0) / np.where(counted, largest, 1.0)
    with np.errstate(invalid="ignore"):  # the product is not used if the largest is infinite
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

    Another formula for the same function may round an element that the reference does not round, such as x in ``where(x > 0, x, a * x)``. Such an
    element is granted the median relative deviation of its array, but at most the array's root mean square.
    """
    counted = np.isfinite(spread) & (spread > 0)
    sizes = np.abs(value)
    with np.errstate(over="ignore"):
        relative = spread[counted & (sizes > 0)] / sizes[counted & (sizes > 0)]
        if not relative.size:
            return np.zeros_like(spread)
        # An infinite ratio, that to a subnormal number, leaves a zero at zero.
        return np.asarray(np.minimum(_rms(spread[counted]), min(float(np.median(relative)), np.finfo(np.float64).max) * sizes))
