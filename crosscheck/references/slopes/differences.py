r"""A slope from values of a function alone, with a bound on its error that follows from the same values.

A central quotient at step h is off by a truncation error, a series in even powers of h, and by the rounding of two values, divided by h. Quotients at
many steps are extrapolated to h = 0 (Richardson 1911; the table of Ridders, Adv. Eng. Softw. 4(2), 1982); an entry of the table is off by no more
than it differs from the two that it was made from, and by the rounding that is carried into it. The entry with the smallest bound is the answer.

Two things make this safe. An entry that contradicts one made of smaller steps is no answer: its steps reached across a kink. And the jump of the
slope, the right-hand quotient less the left-hand one, is extrapolated in the same way (odd powers of h); where it is not 0 the function has a kink.
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
"""Steps for one scale of a variable: from a quarter of it down to 2^-20 of it, below which rounding costs more than truncation (the cube root of the
unit roundoff, the best step of a plain central quotient, is 2^-18)."""

_DEPTH = 3
_EVEN = (2, 4, 6)
_ODD = (1, 3, 5)


def steps(scales: Iterable[float]) -> list[list[float]]:
    """Return the powers of two to step by, the largest first, in runs whose neighbours differ by a factor of 8.

    Parameters
    ----------
    scales : iterable of float
        Sizes that the variable or its surroundings have: steps are taken relative to each of them.
    """
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
    """How several functions of one variable change near a point, at steps whose neighbours differ by a factor of 8.

    Attributes
    ----------
    right, left : array
        The steps as they were really taken, ``(steps,)``: x + h is rounded.
    above, below : array
        The values there less the value at the point, ``(steps, columns)``.
    blur : array
        How far rounding may change each of them.
    """

    right: Array
    left: Array
    above: Array
    below: Array
    blur: Array

    def only(self, columns: npt.NDArray[np.bool_]) -> Values:
        """Return some of the columns."""
        return Values(self.right, self.left, self.above[:, columns], self.below[:, columns], self.blur[:, columns])

    def times(self, weight: Array) -> Values:
        """Return the values times a number for each column."""
        return Values(self.right, self.left, self.above * weight, self.below * weight, self.blur * np.abs(weight))

    def quotients(self) -> Iterator[tuple[float, float, float]]:
        """Yield the step, the central quotient and the rounding in it of the only column."""
        for right, left, above, below, blur in zip(self.right, self.left, self.above[:, 0], self.below[:, 0], self.blur[:, 0], strict=True):
            yield float(right), float((above - below) / (right + left)), float(blur / right)

    def added(self) -> Values:
        """Return the sum of all columns as the only one; the blur of independent roundings adds up as its squares do."""
        blur = np.hypot.reduce(self.blur, axis=1, keepdims=True)
        return Values(self.right, self.left, self.above.sum(axis=1, keepdims=True), self.below.sum(axis=1, keepdims=True), blur)


def blurred_where_still(runs: Sequence[Values], blur: float) -> list[Values]:
    """Return the values with the blur of a number of size 1 where a function moves over some steps and not over others.

    It may be flat there, or its changes may be less than the last digit of a 1 that they were added to, like those of a function that saturates.
    """
    if not runs:
        return []
    still = np.any([((run.above == 0) & (run.below == 0)).any(axis=0) for run in runs], axis=0)
    return [replace(run, blur=np.where(still, np.maximum(run.blur, blur), run.blur)) for run in runs]


@dataclass(frozen=True)
class Slopes:
    """The slopes of several functions of one variable.

    Attributes
    ----------
    slope, error : array
        The mean of the slopes from both sides, and how far it may be off; infinite where nothing is known.
    jump, jump_error : array
        The slope from the right less the one from the left.
    broken : array of bool
        Where the function itself jumps.
    """

    slope: Array
    error: Array
    jump: Array
    jump_error: Array
    broken: npt.NDArray[np.bool_]

    @property
    def kinked(self) -> npt.NDArray[np.bool_]:
        """Where the slopes from both sides differ by more than error explains."""
        return np.asarray(np.isfinite(self.jump_error) & (np.abs(self.jump) > self.jump_error))


def slopes(runs: Sequence[Values]) -> Slopes:
    """Return the slopes of functions from how they change."""
    columns = runs[0].above.shape[1]
    middle: list[Entry] = []
    jumps: list[Entry] = []
    broken = np.zeros(columns, bool)
    for run in runs:
        right, left = run.right[:, None], run.left[:, None]
        across = run.above - run.below
        # Two roundings are in a quotient over two steps; in a jump they are two and twice a third, over one.
        middle += _table(across / (right + left), math.sqrt(0.5) * run.blur / right, right, _EVEN)
        jumps += _table(run.above / right + run.below / left, math.sqrt(6) * run.blur / right, right, _ODD)
        if run is runs[-1] and len(run.right) > 1:
            # A slope makes the change over a step eight times as small, a jump leaves it as it is.
            smallest = np.abs(across[-1])
            broken = (2 * smallest > np.abs(across[-2])) & (smallest > 4 * run.blur[-1])
    slope, error = _settled(middle, columns)
    jump, jump_error = _settled(jumps, columns)
    return Slopes(slope, np.where(broken, np.inf, error), jump, jump_error, broken)


Entry = tuple[float, Array, Array]
"""Of an extrapolation table: the smallest step in it, the value and its error for each column."""


def _table(values: Array, noise: Array, step: Array, powers: Sequence[int]) -> list[Entry]:
    """Return the entries of an extrapolation table."""
    entries: list[Entry] = []
    row: list[tuple[Array, Array]] = []
    for level in range(len(values)):
        # Quotients that grow as steps shrink, such as those across a function that saturates, converge to nothing.
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
    """Return, for each column, the value with the smallest error among those that contradict no value made of smaller steps."""
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
    """The slope of <cotangent, output> along one line through a point.

    Attributes
    ----------
    value, error : float
        Where both sides have the same slope.
    low, high, slack : float
        The interval of the subgradients at a kink, and how far its ends may be off.
    kink, broken : bool
        Whether the slopes from both sides differ; whether the output itself jumps.
    terms : float
        The sum of the absolute slopes of all outputs, each times its cotangent.
    size : float
        The output itself, as a slope over the largest step.
    quotients : tuple of (float, float, float)
        The step of each plain central quotient, its value, and the rounding in it.
    unseen : float
        The rounding of outputs that did not move, as a slope over the largest step: a backward pass may still add up their terms.
    """

    value: float = 0.0
    error: float = 0.0
    low: float = 0.0
    high: float = 0.0
    slack: float = 0.0
    kink: bool = False
    broken: bool = False
    terms: float = 0.0
    size: float = 0.0
    quotients: tuple[tuple[float, float, float], ...] = ()
    unseen: float = 0.0

    def resolution(self, slope: float) -> float:
        """Return the rounding of the output as a slope, over the largest step up to which quotients stay within half of the slope.

        Code whose backward pass starts from the output, such as s (1 - s), cannot resolve smaller slopes.
        """
        result = math.inf
        for _, quotient, rounding in sorted(self.quotients):
            if abs(quotient - slope) > abs(slope) / 2 + rounding:
                break
            result = min(result, rounding)
        return result + self.unseen


def weighted_slope(base: Array, runs: Sequence[Values], cotangent: Array, blur: float) -> Slope:
    """Return the slope of <cotangent, output> along a line.

    Kinks are looked for in each output by itself: in the sum a kink upwards and one downwards may cancel, which hides both ends of the interval of
    subgradients.

    Parameters
    ----------
    base : array
        The output at the point, ``(outputs,)``.
    runs : sequence of Values
        With a column for each output.
    blur : float
        How far rounding may change a number of size 1.
    """
    if not runs:
        return Slope(error=math.inf, slack=math.inf)
    moved = np.any([(run.above != 0).any(axis=0) | (run.below != 0).any(axis=0) for run in runs], axis=0)
    top = runs[0].right[0]
    if not moved.any():
        # The output may not depend on this at all, or by less than the last digit, of itself or of a 1 that it was added to.
        error = float(max(runs[-1].times(cotangent).added().blur[-1, 0], blur * np.hypot.reduce(cotangent)) / top)
        size = max(error, float(np.sum(np.abs(cotangent * base)) / top))
        return Slope(error=error, size=size, quotients=((float(top), 0.0, error),))
    weighted = [run.only(moved).times(cotangent[moved]) for run in runs]
    with np.errstate(over="ignore", invalid="ignore"):
        together = [run.added() for run in weighted]
        each, whole = slopes(weighted), slopes(together)
    half = np.where(each.kinked, np.abs(each.jump) / 2, 0.0)
    # A kink that is too small to be seen makes the slope uncertain by half of it.
    value, error = float(whole.slope[0]), float(whole.error[0] + whole.jump_error[0] / 2)
    apart, apart_error = float(np.sum(each.slope)), float(np.sum(each.error + each.jump_error / 2))
    # The sum of all outputs at one step is the more precise, each output at its own best step the more certain: where one of them has a kink close by
    # and another cannot be seen but over large steps, no step suits the sum.
    if whole.kinked[0] or abs(value - apart) > error + apart_error or apart_error < error:
        value, error = apart, apart_error
    unseen = float(blur * np.hypot.reduce((cotangent * base)[~moved], initial=0.0) / top)
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
        quotients=tuple(quotient for run in together for quotient in run.quotients()),
        unseen=unseen,
    )
