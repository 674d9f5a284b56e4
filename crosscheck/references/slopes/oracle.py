"""Compares a subject's gradient with the slopes of its own output: for each line, the expected value and its error, or why it is undecided.

At a kink, where the slopes from the left and from the right differ, the gradient may be any value between them: every usual rule gives such a
subgradient. Where several kinks meet in one output, a right gradient may be outside this interval; gradients at nearby points, where no two numbers
tie, show whether it may.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.references.slopes.complex_step import ComplexStep
from crosscheck.references.slopes.differences import Slope
from crosscheck.references.slopes.probe import Line, Point, evenly, point_of, variable

SINGLE = 48
"""The largest number of elements that are compared one by one; of a larger array, a random selection of this size."""

DIRECTIONS = 8
"""The number of directions in which all elements of a larger array move at once."""

_NEIGHBOURS = 32
"""The number of nearby points that are tried when a gradient at a kink is outside of its interval."""

_NEAR = 2.0**-10
"""The distance of nearby points, relative to the numbers; larger than the smallest steps of difference quotients."""

_TRIES = 4
"""The number of gradients at nearby points that are verified."""


@dataclass(frozen=True)
class Compared:
    """A gradient and its expected value along one line."""

    line: Line
    # found, expected: at a kink, ``expected`` is the point of the interval of subgradients that is nearest to ``found``
    found: float
    expected: float
    error: float  # the largest difference that truncation and rounding explain
    kink: bool = False
    undecided: str = ""  # why nothing is known; empty if the values can be compared

    @property
    def excess(self) -> float:
        """The difference divided by the error; more than 1 is a mismatch."""
        difference = abs(self.found - self.expected)
        if not math.isfinite(difference):
            return math.inf
        return 0.0 if not difference else difference / self.error if self.error else math.inf


@dataclass
class Quotients:
    """The slopes of a subject's output at one call, and on how many lines the complex step agrees or disagrees with the difference quotients."""

    point: Point
    agreeing: int = 0
    disagreeing: int = 0
    _slopes: dict[str, list[tuple[Line, Slope, float | None]]] = field(default_factory=dict)

    @cached_property
    def complex(self) -> ComplexStep:
        """The complex step at this point."""
        return ComplexStep(self.point)

    @property
    def refused(self) -> str:
        """Why the complex step is not used; empty if it is used."""
        if self.complex.refused:
            return self.complex.refused
        if self.disagreeing:
            return f"its slopes disagree with the difference quotients on {self.disagreeing} of {self.disagreeing + self.agreeing} lines"
        return "" if self.agreeing else "no difference quotient confirms it"

    def measure(self, quantity: str, lines: Sequence[Line]) -> None:
        """Measure the slopes along some lines by difference quotients and by the complex step, and compare the two."""
        for line in lines:
            slope = self.point.slope(line)
            value = None if self.complex.refused else self.complex.slope(line)
            if not slope.kink and not slope.broken and math.isfinite(slope.error):
                rounding = math.inf if value is None else self._complex_error(line, slope, value)
                agrees = value is not None and math.isfinite(rounding) and abs(value - slope.value) <= slope.error + rounding
                self.disagreeing += not agrees
                self.agreeing += agrees and slope.error < abs(slope.value)
            self._slopes.setdefault(quantity, []).append((line, slope, value))

    def _complex_error(self, line: Line, slope: Slope, value: float) -> float:
        """Return the error of a slope by the complex step plus the rounding error of the subject's gradient."""
        return self.point.rounding(line, slope.terms) + slope.resolution(value) + self.complex.error(line)

    def compared(self, quantity: str) -> list[Compared]:
        """Return a gradient and its expected value along every line that was measured."""
        gradient = np.asarray(self.point.found[quantity])
        return [self._compared(line, slope, value, line.of(gradient)) for line, slope, value in self._slopes.get(quantity, [])]

    def _compared(self, line: Line, slope: Slope, value: float | None, found: float) -> Compared:
        rounding = self.point.rounding(line, slope.terms)
        size = abs(found) if math.isfinite(found) else 0.0
        if slope.broken:
            return Compared(line, found, slope.value, math.inf, undecided="the output itself jumps")
        if slope.kink:
            nearest = min(max(found, slope.low), slope.high) if math.isfinite(found) else slope.value
            result = Compared(line, found, nearest, slope.slack + rounding, True)
            decided = result.error < max(size, abs(slope.low), abs(slope.high))
            if decided and result.excess > 1 and self._kinks_meet(result, slope):
                return replace(result, undecided="several kinks meet")
        else:
            result = Compared(line, found, slope.value, slope.error + rounding)
            decided = result.error < max(size, abs(slope.value)) or (found == 0 and result.error <= slope.size)
            if decided and value is not None and not self.refused:
                result = Compared(line, found, value, min(result.error, self._complex_error(line, slope, value)))
        return result if decided and math.isfinite(result.error) else replace(result, undecided="the error of the quotient exceeds the gradient")

    def _kinks_meet(self, outside: Compared, slope: Slope) -> bool:
        """Return whether a right gradient at a nearby point is outside of the interval, too, by more than the points' distance explains."""
        line = outside.line
        margin = outside.error + math.sqrt(_NEAR) * max(abs(slope.low), abs(slope.high))

        def is_right(point: Point, value: float) -> bool:
            """Return whether the subject's gradient at a point is the slope of its output there, which has no kink."""
            there = point.slope(line)
            return not there.kink and abs(there.value - value) <= there.error + point.rounding(line, there.terms) < margin + abs(value)

        gradients = [(point, line.of(np.asarray(point.found[line.quantity]))) for point in self._neighbours]
        beyond = [(point, value) for point, value in gradients if max(slope.low - value, value - slope.high) > margin]
        return any(is_right(point, value) for point, value in beyond[:_TRIES])

    @cached_property
    def _neighbours(self) -> list[Point]:
        """Nearby points at random, where no two numbers tie."""
        rng, call = np.random.default_rng(0), self.point.call

        def near(array: Array) -> Array:
            size = np.maximum(np.abs(array), evenly(array))
            return np.asarray(array + _NEAR * size * rng.uniform(-1, 1, array.shape))

        results = []
        for _ in range(_NEIGHBOURS):
            beside = replace(call, x=near(call.x), params={name: near(value) for name, value in call.params.items()})
            try:
                results.append(point_of(self.point.layer, beside, self.point.precision))
            except SubjectError:
                continue
        return results

    def wrong_element(self, direction: Line) -> Line | None:
        """Find, by halving, the element that makes a gradient wrong along a direction; None if there is no single such element."""
        left = direction
        while left.index is None:
            places, units = np.array_split(left.places, 2), np.array_split(left.units, 2)
            left = max(map(partial(Line, direction.quantity), places, units), key=self._excess)
        line = Line.of_element(direction.quantity, left.index)
        self.measure(direction.quantity, [line])
        return line if self.compared(direction.quantity)[-1].excess > 1 else None

    def _excess(self, line: Line) -> float:
        result = self._compared(line, self.point.slope(line), None, line.of(np.asarray(self.point.found[line.quantity])))
        return 0.0 if result.undecided else result.excess


def lines(call: Call, quantity: str, gradient: Array, seed: int) -> list[Line]:
    """Return the lines along which a gradient is compared.

    Of a small array, every element; of a large one, some elements and several directions through all elements. Always the direction in which all
    elements grow equally: numbers that tie still tie along it, so that it shows whether the shares of a gradient among tied maxima add up to 1.
    """
    x = variable(call, quantity)
    rng = np.random.default_rng([seed, len(quantity), x.size])
    singles = np.arange(x.size)
    if x.size > SINGLE:
        odd = np.flatnonzero(~np.isfinite(gradient))[:4]
        singles = np.union1d(odd, rng.choice(x.size, SINGLE - len(odd), replace=False))
    result = [Line.of_element(quantity, int(index)) for index in singles]
    if x.size > 1 and np.isfinite(gradient).all():
        size, alike = np.abs(x).ravel(), np.full(x.size, evenly(x))
        by_own_size = np.exp2(np.floor(np.log2(np.where(size > 0, size, alike))))
        result.append(Line(quantity, np.arange(x.size), alike))
        count = DIRECTIONS - 1 if x.size > SINGLE else 0
        for number in range(count):
            units = by_own_size if number % 2 else alike
            result.append(Line(quantity, np.arange(x.size), rng.choice([-1.0, 1.0], x.size) * units))
    return result


@dataclass(frozen=True)
class Elements:
    """The elements of a gradient that can be judged."""

    indices: list[int]  # indices of the elements in the flattened array
    shape: tuple[int, ...]  # shape of the whole array
    # found, expected, error: of the shape of the whole array if all elements can be judged, else ``(elements,)``
    found: Array
    expected: Array
    error: Array

    def bound(self, precision: Precision) -> Bound:
        """Return a bound with one rounding, whose terms are chosen so that the tolerance equals the error."""
        return Bound(self.error / (precision.sides * precision.unit), 1.0)


def elements_of(compared: Sequence[Compared], shape: tuple[int, ...]) -> Elements:
    """Return compared elements as :class:`Elements`."""
    indices = [c.line.index or 0 for c in compared]
    values = np.array([(c.found, c.expected, c.error) for c in compared]).T
    whole = indices == list(range(math.prod(shape)))
    found, expected, error = (part.reshape(shape) if whole else part for part in values)
    return Elements(indices, shape, found, expected, error)


@dataclass(frozen=True)
class QuotientOracle:
    """The slopes of a subject's output as an oracle for fault models; right if the output is right."""

    quotients: Quotients
    quantity: str
    elements: Elements
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def rounding(self) -> Rounding:
        """The error theory: this object itself."""
        return self

    def decisions(self, x: object) -> None:
        """Return None: a subject's decisions at kinks are unknown."""

    def vjp(self, call: Call) -> dict[str, Any]:
        """Return the slopes of the compared elements for another call, NaN if the subject fails; without ``grad_output``, the subject's output.

        A call with other shapes is refused, and one without ``grad_output`` on which the subject fails.
        """
        point = self.quotients.point
        if call.grad_output is None:
            try:
                return dict(point.layer.vjp(call))
            except SubjectError as error:
                raise RefusedError(error.reason) from error
        if call.shapes() != point.call.shapes():
            raise RefusedError("the slopes were measured for other shapes")
        try:
            other = point_of(point.layer, call, point.precision)
            values = [other.slope(Line.of_element(self.quantity, index)).value for index in self.elements.indices]
        except SubjectError:
            values = [math.nan] * len(self.elements.indices)
        return {self.quantity: np.array(values).reshape(self.elements.found.shape)}

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the errors of the compared slopes, for every call because nothing else is known about a subject's rounding."""
        return {self.quantity: self.elements.bound(precision)}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Raise :class:`RefusedError`: how errors pass through a subject is not known."""
        raise RefusedError("how errors pass through a subject is not known")
