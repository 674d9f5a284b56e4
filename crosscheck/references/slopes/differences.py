r"""Compute the slope of a function, and an error bound of the slope, from function values alone.

A central difference quotient with step h has two errors: a truncation error, which is a series in even powers of h, and the rounding of two function
values, divided by h. Quotients at many steps are extrapolated to h = 0 (Richardson 1911; the table of Ridders, Adv. Eng. Softw. 4(2), 1982). The
error of a table entry is bounded by its difference from the two entries from which it was computed, plus their propagated rounding errors. The result
is the entry with the smallest bound.

There are two precautions. An entry that contradicts an entry from smaller steps is dropped, because its steps reached across a kink. The jump of the
slope, which is the right quotient minus the left quotient, is extrapolated like a slope (with odd powers of h); if it is not 0, there is a kink.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array

_RATIO = 8.0
_LEVELS = 7
"""The number of steps for each scale of a variable, from 1/4 to 2^-20 of the scale. For smaller steps, rounding errors exceed truncation errors (the
best step of a central difference quotient is the cube root of the unit roundoff, 2^-18)."""

_DEPTH = 3
_EVEN = (2, 4, 6)
_ODD = (1, 3, 5)


def steps(scales: Iterable[float]) -> list[list[float]]:
    """Return steps, relative to each scale of a variable, as runs of powers of two, from large to small; neighbours differ by a factor of 8."""
    tops = {math.floor((math.log2(scale) - 2) / 3) for scale in scales if 0 < scale < math.inf}
    exponents = sorted({top - level for top in tops for level in range(_LEVELS)}, reverse=True)
    runs: list[list[float]] = []
    for before, exponent in zip([math.inf, *exponents], exponents, strict=False):
        if before != exponent + 1:
            runs.append([])
        runs[-1].append(2.0 ** (3 * exponent))
    return runs


@dataclass(frozen=True)
class Values:
    """The changes of several functions of one variable near a point x, for a run of steps; each function is a column."""

    # right, left: the actual steps to the right and to the left, ``(steps,)``, because x + h is rounded
    right: Array
    left: Array
    # above, below: the function values at x + right and x - left, minus the value at x, ``(steps, columns)``
    above: Array
    below: Array
    blur: Array  # a bound on the rounding error of each change, ``(steps, columns)``

    def only(self, columns: npt.NDArray[np.bool_]) -> Values:
        """Return the values of some of the columns."""
        return Values(self.right, self.left, self.above[:, columns], self.below[:, columns], self.blur[:, columns])

    def times(self, weight: Array) -> Values:
        """Return the values with each column multiplied by its weight."""
        return Values(self.right, self.left, self.above * weight, self.below * weight, self.blur * np.abs(weight))

    def quotients(self) -> Iterator[tuple[float, float, float]]:
        """For the single column, yield the step, the central difference quotient and its rounding error."""
        for right, left, above, below, blur in zip(self.right, self.left, self.above[:, 0], self.below[:, 0], self.blur[:, 0], strict=True):
            yield float(right), float((above - below) / (right + left)), float(blur / right)

    def added(self) -> Values:
        """Return the sum of all columns as a single column; squares of ``blur`` are added, because the rounding errors are independent."""
        blur = np.hypot.reduce(self.blur, axis=1, keepdims=True)
        return Values(self.right, self.left, self.above.sum(axis=1, keepdims=True), self.below.sum(axis=1, keepdims=True), blur)


def blurred_where_still(runs: Sequence[Values], blur: float, largest: float) -> list[Values]:
    """Return the values, with larger rounding errors for functions that strangely stand still at some steps.

    Such a function may be constant at these steps. Or it saturates, and its changes are smaller than the last digit of a 1 to which they are added:
    its rounding error is at least ``blur``, that of a number of size 1. Or its variable was added to a number of up to the size ``largest``, which
    absorbs small steps: the steps themselves then have a rounding error.

    It is not strange if a function stands still where its change, in proportion to the change at the next larger step, is below its own last digit.
    """
    if not runs:
        return []
    right, blurs = (np.concatenate([getattr(run, part) for run in runs]) for part in ("right", "blur"))
    change = np.concatenate([np.maximum(np.abs(run.above), np.abs(run.below)) for run in runs])
    strange, absorbed = np.zeros(change.shape[1], bool), np.zeros(change.shape[1])
    rate = np.full(change.shape[1], np.inf)
    for step in np.argsort(-right, kind="stable"):
        still = change[step] == 0
        with np.errstate(over="ignore"):
            here = still & (rate * right[step] > blurs[step])
            absorbed = np.where(here & np.isfinite(rate), np.maximum(absorbed, rate * blur * largest), absorbed)
            rate = np.where(still, rate, change[step] / right[step])
        strange |= here
    return [replace(run, blur=np.where(strange, np.maximum(np.maximum(run.blur, blur), absorbed), run.blur)) for run in runs]


@dataclass(frozen=True)
class Slopes:
    """The slopes of several functions of one variable, and bounds on their errors."""

    # slope, error: the mean of the left and the right slope, and a bound on its error; infinite if nothing is known
    slope: Array
    error: Array
    # jump, jump_error: the slope from the right minus the slope from the left, and a bound on its error
    jump: Array
    jump_error: Array
    broken: npt.NDArray[np.bool_]  # whether the function itself is discontinuous

    @property
    def kinked(self) -> npt.NDArray[np.bool_]:
        """Whether the left and the right slope differ by more than their error."""
        return np.asarray(np.isfinite(self.jump_error) & (np.abs(self.jump) > self.jump_error))


def slopes(runs: Sequence[Values]) -> Slopes:
    """Return the slopes of functions from their changes at several steps."""
    columns = runs[0].above.shape[1]
    middle: list[Entry] = []
    jumps: list[Entry] = []
    broken = np.zeros(columns, bool)
    for run in runs:
        right, left = run.right[:, None], run.left[:, None]
        across = run.above - run.below
        # A central quotient has two values' errors, over two steps; a jump has these and twice the error of the value at x, over one step.
        middle += _table(across / (right + left), math.sqrt(0.5) * run.blur / right, right, _EVEN)
        jumps += _table(run.above / right + run.below / left, math.sqrt(6) * run.blur / right, right, _ODD)
        if run is runs[-1] and len(run.right) > 1:
            # If the step is eight times smaller, the change of a continuous function is about eight times smaller; a discontinuity stays.
            smallest = np.abs(across[-1])
            broken = (2 * smallest > np.abs(across[-2])) & (smallest > 4 * run.blur[-1])
    slope, error = _settled(middle, columns)
    jump, jump_error = _settled(jumps, columns)
    return Slopes(slope, np.where(broken, np.inf, error), jump, jump_error, broken)


Entry = tuple[float, Array, Array]
"""An entry of an extrapolation table: its smallest step and, for each column, its value and its error."""


def _table(values: Array, noise: Array, step: Array, powers: Sequence[int]) -> list[Entry]:
    """Return the entries of the extrapolation table of ``values``."""
    entries: list[Entry] = []
    row: list[tuple[Array, Array]] = []
    for level in range(len(values)):
        # Quotients that grow as the steps shrink do not converge; a saturating function has such quotients.
        drift = np.abs(np.diff(values[max(level - 2, 0) : level + 1], axis=0))
        astray = 2 * drift.max(axis=0, initial=0.0) > np.abs(values[level])
        if level > 1:
            astray &= drift[1] > drift[0] + noise[level] + noise[level - 1]
        before, row = row, [(values[level], noise[level])]
        for order in range(min(level, _DEPTH)):
            (coarse, coarse_noise), (fine, fine_noise) = before[order], row[order]
            factor = _RATIO ** powers[order]
            value = fine + (fine - coarse) / (factor - 1)
            rounding = (factor * fine_noise + coarse_noise) / (factor - 1)
            truncation = np.maximum(np.abs(value - fine), np.abs(value - coarse))
            entries.append((float(step[level, 0]), value, np.where(astray, np.inf, truncation + rounding)))
            row.append((value, rounding))
    return entries


def _settled(entries: Sequence[Entry], columns: int) -> tuple[Array, Array]:
    """Return, for each column, the value with the smallest error among those that agree with all values from smaller steps."""
    best, smallest = np.zeros(columns), np.full(columns, np.inf)
    low, high = np.full(columns, -np.inf), np.full(columns, np.inf)
    for _, value, error in sorted(entries, key=lambda entry: entry[0]):
        holds = (value - error <= high) & (value + error >= low)
        better = holds & (error < smallest)
        best, smallest = np.where(better, value, best), np.where(better, error, smallest)
        low, high = np.where(holds, np.maximum(low, value - error), low), np.where(holds, np.minimum(high, value + error), high)
    return best, smallest


@dataclass(frozen=True)
class Slope:
    """The slope of sum(cotangent * output) along one line through a point."""

    # value, error: the slope if there is no kink, and a bound on its error
    value: float = 0.0
    error: float = 0.0
    # low, high, slack: the ends of the interval of subgradients at a kink, and a bound on their error
    low: float = 0.0
    high: float = 0.0
    slack: float = 0.0
    # kink, broken: whether the left and the right slope differ; whether the output itself is discontinuous
    kink: bool = False
    broken: bool = False
    terms: float = 0.0  # the sum of the absolute slopes of all outputs, each times its cotangent
    size: float = 0.0  # the absolute value of the output, divided by the largest step
    quotients: tuple[tuple[float, float, float], ...] = ()  # each central difference quotient: the step, the value and the rounding error
    # The rounding error of outputs that did not change, divided by the largest step; a backward pass may still add their terms.
    unseen: float = 0.0

    def resolution(self, slope: float) -> float:
        """Return the output's rounding error divided by the largest step up to which all quotients are within half of ``slope``.

        Code that computes the gradient from the output, such as s (1 - s), cannot resolve slopes below this number.
        """
        return min((rounding for _, _, rounding in _alike(self.quotients, slope)), default=math.inf) + self.unseen


def _alike(quotients: Iterable[tuple[float, float, float]], slope: float) -> Iterator[tuple[float, float, float]]:
    """Yield the quotients within half of ``slope``, by step, up to the first that is not."""
    for step, quotient, rounding in sorted(quotients):
        if abs(quotient - slope) > abs(slope) / 2 + rounding:
            break
        yield step, quotient, rounding


def weighted_slope(base: Array, runs: Sequence[Values], cotangent: Array, blur: float, reach: float) -> Slope:
    """Return the slope of sum(cotangent * output) along a line.

    Kinks are found in each output separately, because in the sum a convex and a concave kink may cancel, and the interval of subgradients would be
    too small. ``base`` is the output at the point, ``runs`` have a column for each output, ``blur`` bounds the rounding error of a number of size 1.
    ``reach`` is the largest step over which an output that does not change at all is taken for constant; over larger ones it may have saturated.
    """
    if not runs:
        return Slope(error=math.inf, slack=math.inf)
    moved = np.any([(run.above != 0).any(axis=0) | (run.below != 0).any(axis=0) for run in runs], axis=0)
    top = float(runs[0].right[0])
    if not moved.any():
        # The output does not depend on the variable, or changes by less than the last digit of itself or of a 1 to which it was added.
        top = min(top, reach)
        error = float(max(runs[-1].times(cotangent).added().blur[-1, 0], blur * np.hypot.reduce(cotangent)) / top)
        size = max(error, float(np.sum(np.abs(cotangent * base)) / top))
        return Slope(error=error, size=size, quotients=((top, 0.0, error),))
    weighted = [run.only(moved).times(cotangent[moved]) for run in runs]
    with np.errstate(over="ignore", invalid="ignore"):
        together = [run.added() for run in weighted]
        each, whole = slopes(weighted), slopes(together)
    half = np.where(each.kinked, np.abs(each.jump) / 2, 0.0)
    # A kink that is too small to be detected adds half of its jump to the error.
    value, error = float(whole.slope[0]), float(whole.error[0] + whole.jump_error[0] / 2)
    apart, apart_error = float(np.sum(each.slope)), float(np.sum(each.error + each.jump_error / 2))
    # The slope of the sum of all outputs is more precise, the sum of the outputs' slopes is more reliable: if one output has a kink nearby and
    # another changes only at large steps, no step is right for the sum.
    if whole.kinked[0] or abs(value - apart) > error + apart_error or apart_error < error:
        value, error = apart, apart_error
    quotients = tuple(quotient for run in together for quotient in run.quotients())
    # What holds of the slope of the outputs that change is taken to hold of the others, too.
    reach = max(reach, max((step for step, _, _ in _alike(quotients, value)), default=0.0))
    unseen = float(blur * np.hypot.reduce((cotangent * base)[~moved], initial=0.0) / min(top, reach))
    return Slope(
        value=value,
        error=error + unseen,
        low=float(np.sum(each.slope - half)),
        high=float(np.sum(each.slope + half)),
        slack=float(np.sum(each.error + np.where(each.kinked, each.jump_error / 2, 0.0))) + unseen,
        kink=bool(each.kinked.any()),
        broken=bool(each.broken.any() or whole.broken.any()),
        terms=float(np.sum(np.abs(each.slope) + half)),
        size=float(np.sum(np.abs(cotangent * base)[moved]) / top),
        quotients=quotients,
        unseen=unseen,
    )
