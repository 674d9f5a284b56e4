"""Compare a subject's gradient with the slopes of its own output, along lines through the input or the parameters.

At a kink, where the left and the right slope differ, the gradient may be any value between the two: every usual rule returns such a subgradient. If
several kinks meet in one output, a correct gradient may be outside this interval. Gradients at nearby points without ties show whether this is so.
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
"""The largest number of elements that are compared one by one; in a larger array, this many elements are selected at random."""

DIRECTIONS = 8
"""The number of directions in which all elements of a larger array change at once."""

_NEIGHBOURS = 32
"""The number of nearby points that are tried if the gradient at a kink is outside the interval of subgradients."""

_NEAR = 2.0**-10
"""How far apart nearby points are, relative to the size of their elements; larger than the smallest finite-difference steps."""

_TRIES = 4
"""The largest number of nearby points at which the gradient is verified."""


UNRESOLVED = "the error of the quotient exceeds the gradient"
"""The reason if a slope is lost in the rounding of the output."""


@dataclass(frozen=True)
class Compared:
    """The slope that a gradient gives along a line, and the expected slope."""

    line: Line
    # At a kink, ``expected`` is the subgradient that is nearest to ``found``.
    found: float
    expected: float
    error: float  # the largest difference that truncation and rounding explain
    kink: bool = False
    undecided: str = ""  # the reason why the two cannot be compared; empty if they can

    @property
    def excess(self) -> float:
        """The difference of the two slopes divided by the error; more than 1 is a mismatch."""
        difference = abs(self.found - self.expected)
        if not math.isfinite(difference):
            return math.inf
        return 0.0 if not difference else difference / self.error if self.error else math.inf


@dataclass
class Quotients:
    """The slopes of a subject's output at one call, and on how many lines the complex step agrees or disagrees with difference quotients."""

    point: Point
    agreeing: int = 0
    disagreeing: int = 0
    _slopes: dict[str, list[tuple[Line, Slope, float | None]]] = field(default_factory=dict)

    @cached_property
    def complex(self) -> ComplexStep:
        """Slopes by the complex step at this point."""
        return ComplexStep(self.point)

    @property
    def refused(self) -> str:
        """The reason why the complex step is not used; empty if it is used."""
        if self.complex.refused:
            return self.complex.refused
        if self.disagreeing:
            return f"its slopes disagree with the difference quotients on {self.disagreeing} of {self.disagreeing + self.agreeing} lines"
        return "" if self.agreeing else "no difference quotient confirms it"

    def measure(self, quantity: str, lines: Sequence[Line]) -> None:
        """Measure the slope along each line by difference quotients and by the complex step, and compare the two."""
        for line in lines:
            slope = self.point.slope(line)
            value = None if self.complex.refused else self.complex.slope(line)
            underflows = value is not None and math.isnan(value)
            value = None if underflows else value
            if not underflows and not slope.kink and not slope.broken and math.isfinite(slope.error):
                rounding = math.inf if value is None else self._complex_error(line, slope, value)
                agrees = value is not None and math.isfinite(rounding) and abs(value - slope.value) <= slope.error + rounding
                self.disagreeing += not agrees
                self.agreeing += agrees and slope.error < abs(slope.value)
            self._slopes.setdefault(quantity, []).append((line, slope, value))

    def _complex_error(self, line: Line, slope: Slope, value: float) -> float:
        """Return a bound on the error of a complex-step slope plus the rounding error of the subject's gradient."""
        return self.point.rounding(line, slope.terms) + slope.resolution(value) + self.complex.error(line)

    def compared(self, quantity: str) -> list[Compared]:
        """Return a gradient's slope and the expected slope along every measured line."""
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
            # A gradient whose terms cancel is 0, or only rounding noise.
            nothing = abs(found) <= self.point.observed(line)
            decided = result.error < max(size, abs(slope.value)) or (nothing and result.error <= slope.size)
            # Where a small slope almost underflows with a complex step, the difference quotient is the better one.
            if decided and value is not None and not self.refused and (error := self._complex_error(line, slope, value)) < result.error:
                result = Compared(line, found, value, error)
        return result if decided and math.isfinite(result.error) else replace(result, undecided=UNRESOLVED)

    def _kinks_meet(self, outside: Compared, slope: Slope) -> bool:
        """Return whether a correct gradient at a nearby point is also outside the interval, by more than the distance of the points explains."""
        line = outside.line
        margin = outside.error + math.sqrt(_NEAR) * max(abs(slope.low), abs(slope.high))

        def is_right(point: Point, value: float) -> bool:
            """Return whether ``value``, from the subject's gradient at a point, is the output's slope at this point, without a kink."""
            there = point.slope(line)
            return not there.kink and abs(there.value - value) <= there.error + point.rounding(line, there.terms) < margin + abs(value)

        gradients = [(point, line.of(np.asarray(point.found[line.quantity]))) for point in self._neighbours]
        beyond = [(point, value) for point, value in gradients if max(slope.low - value, value - slope.high) > margin]
        return any(is_right(point, value) for point, value in beyond[:_TRIES])

    @cached_property
    def _neighbours(self) -> list[Point]:
        """Random nearby points, without ties."""
        rng, call = np.random.default_rng(0), self.point.call

        def near(array: Array) -> Array:
            size = np.maximum(np.abs(array), evenly(array))
            return np.asarray(array + _NEAR * size * rng.uniform(-1, 1, array.shape))

        results = []
        for _ in range(_NEIGHBOURS):
            inputs, params = ({name: near(value) for name, value in arrays.items()} for arrays in (call.inputs, call.params))
            beside = replace(call, inputs=inputs, params=params)
            try:
                results.append(point_of(self.point.layer, beside, self.point.precision))
            except SubjectError:
                continue
        return results

    def most_wrong_element(self, direction: Line) -> Compared:
        """Bisect a direction along which the gradient is wrong, and return the element where this leads; no single element may be wrong."""
        left = direction
        while left.index is None:
            places, units = np.array_split(left.places, 2), np.array_split(left.units, 2)
            left = max(map(partial(Line, direction.quantity), places, units), key=self._excess)
        self.measure(direction.quantity, [Line.of_element(direction.quantity, left.index)])
        return self.compared(direction.quantity)[-1]

    def _excess(self, line: Line) -> float:
        result = self._compared(line, self.point.slope(line), None, line.of(np.asarray(self.point.found[line.quantity])))
        return 0.0 if result.undecided else result.excess


def lines(call: Call, quantity: str, gradient: Array, seed: int) -> list[Line]:
    """Return the lines along which a gradient is compared.

    These are all elements of a small array, or some elements of a large array and several directions in which all elements change. They include the
    direction in which all elements grow equally. It preserves ties, so it shows whether the shares of a gradient among tied maxima add up to 1.
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
    """The elements of a gradient that were compared with expected slopes."""

    indices: list[int]  # indices of the elements in the flattened array
    shape: tuple[int, ...]  # shape of the whole array
    # found, expected, error: in the shape of the whole array if all elements were compared, else ``(elements,)``
    found: Array
    expected: Array
    error: Array

    def bound(self, precision: Precision) -> Bound:
        """Return the bound for which the tolerance equals ``error``."""
        return Bound(self.error / (precision.sides * precision.unit), 1.0)


def elements_of(compared: Sequence[Compared], shape: tuple[int, ...]) -> Elements:
    """Collect the comparisons of single elements."""
    indices = [c.line.index or 0 for c in compared]
    values = np.array([(c.found, c.expected, c.error) for c in compared]).T
    whole = indices == list(range(math.prod(shape)))
    found, expected, error = (part.reshape(shape) if whole else part for part in values)
    return Elements(indices, shape, found, expected, error)


@dataclass(frozen=True)
class QuotientOracle:
    """An oracle for fault models that returns slopes of the subject's output; the slopes are correct if the output is."""

    quotients: Quotients
    quantity: str
    elements: Elements
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def rounding(self) -> Rounding:
        """The object that bounds rounding errors: this oracle itself."""
        return self

    def decisions(self, x: object) -> None:
        """Return None: a subject's decisions at kinks are unknown."""

    def vjp(self, call: Call) -> dict[str, Any]:
        """Return the slopes of the compared elements for another call, or the subject's output if the call has no ``grad_output``.

        If the subject fails, the slopes are NaN and a call without ``grad_output`` is refused. A call with other shapes is refused, too.
        """
        point = self.quotients.point
        if not call.cotangents:
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
        """Return bounds with the errors of the compared slopes, for every call, because the subject's rounding errors are otherwise unknown."""
        return {self.quantity: self.elements.bound(precision)}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Raise :class:`RefusedError`: how errors pass through a subject is not known."""
        raise RefusedError("how errors pass through a subject is not known")
