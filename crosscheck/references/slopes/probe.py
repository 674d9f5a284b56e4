"""Evaluate a subject near a point: how its output changes along lines through the point, and how large its rounding errors are.

Without a reference, the number of roundings in a subject's output is unknown, so rounding errors are measured. Input, parameters and cotangent are
each multiplied by a factor that differs from 1 by a few units in the last place. All intermediate results are then rounded differently, but signs,
order and ties of the numbers stay. In a second difference of such results, smooth changes cancel and rounding errors remain (as in ECNoise, Moré and
Wild, SIAM J. Sci. Comput. 33(3), 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.subject import SubjectLayer
from crosscheck.references.slopes.differences import Slope, Values, blurred_where_still, steps, weighted_slope

_SAMPLES = 8
_NUDGE = 2.0**-46
"""A relative change of the inputs after which everything is rounded differently: 128 unit roundoffs. Its square is far below one unit roundoff."""

_EXACT = 2.0**-32
"""The smallest step, relative to the number to which it is added: a smaller step loses some of its first twenty bits to rounding."""


def variable(call: Call, quantity: str) -> Array:
    """Return the input or the parameter whose gradient has the name ``quantity``."""
    return call.variables()[quantity]


def moved(call: Call, quantity: str, value: npt.NDArray[Any]) -> Call:
    """Return a call without cotangents in which one array is replaced; the new array gets the memory layout of the old array."""
    return call.with_variable(quantity, _arranged_as(variable(call, quantity), value)).forward


def _arranged_as(array: Array, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of ``value`` with the strides of ``array``, because a subject's results may depend on the memory layout."""
    if array.dtype != value.dtype or not array.size:
        return value
    owner = array if array.base is None else array.base
    if not isinstance(owner, np.ndarray) or owner.dtype != array.dtype or not (owner.flags.c_contiguous or owner.flags.f_contiguous):
        return value
    buffer = np.array(owner, order="K")
    offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    result = np.ndarray(array.shape, array.dtype, buffer.data if buffer.flags.c_contiguous else buffer.T.data, offset, array.strides)
    result[...] = value
    return result


@dataclass(frozen=True)
class Line:
    """A line through a point, along which one or several elements of the input or of a parameter change."""

    quantity: str  # name of the gradient with respect to the variable, the input or a parameter
    places: npt.NDArray[np.intp]  # indices of the elements that change, in the flattened variable
    units: Array  # the change of each of these elements for a step of 1

    @classmethod
    def of_element(cls, quantity: str, index: int) -> Line:
        """Return the line along which only one element changes."""
        return cls(quantity, np.array([index]), np.ones(1))

    @property
    def index(self) -> int | None:
        """The index of the element that changes; None if several elements change."""
        return int(self.places[0]) if len(self.places) == 1 else None

    def at(self, x: npt.NDArray[Any], step: complex) -> npt.NDArray[Any]:
        """Return the variable after a step along the line."""
        result = np.array(x)
        result.flat[self.places] += step * self.units
        return result

    def of(self, gradient: Array) -> float:
        """Return the slope along the line that a gradient gives."""
        return float(np.sum(gradient.flat[self.places] * self.units))

    def largest_sum(self, errors: Array) -> float:
        """Return the slope's error if the errors of the gradient's elements do not cancel."""
        return float(np.sum(np.abs(errors.flat[self.places] * self.units)))

    def spread(self, errors: Array) -> float:
        """Return the slope's error if the errors of the gradient's elements are independent."""
        return float(np.hypot.reduce(np.abs(errors.flat[self.places] * self.units)))

    def sizes(self, x: Array) -> Array:
        """Return the absolute values of the elements that change, divided by their change for a step of 1."""
        return np.asarray(np.abs(x.flat[self.places] / self.units))


@dataclass(frozen=True)
class Point:
    """A subject, one call, and the subject's results for this call."""

    layer: SubjectLayer
    call: Call  # the call, with ``grad_output``, in float64
    precision: Precision
    found: Mapping[str, Array]  # the subject's results for the call
    reading: Mapping[str, Array]  # a bound on the error of inferring each gradient; zero if the subject returns the gradient itself

    @property
    def output(self) -> Array:
        """The subject's outputs that have a cotangent, flattened into one row."""
        return self.joined(self.found)

    def joined(self, results: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the values of all outputs that have a cotangent as one row."""
        return np.concatenate([np.asarray(results[name]).ravel() for name in self.call.cotangents])

    @property
    def cotangent(self) -> Array:
        """The cotangents, flattened into one row."""
        return self.joined(self.call.cotangents)

    @property
    def size(self) -> int:
        """The total number of elements in the inputs, the parameters and the outputs."""
        return sum(array.size for array in (*self.call.variables().values(), self.output))

    @cached_property
    def largest(self) -> float:
        """The largest absolute value in the inputs and the parameters."""
        return max((float(np.abs(value).max(initial=0.0)) for value in self.call.variables().values()), default=0.0)

    def forward(self, call: Call) -> npt.NDArray[Any] | None:
        """Return the flattened output for another call; None if the subject fails, or if the output has another size or is not finite."""
        try:
            output = self.joined(self.layer.vjp(call.forward))
        except SubjectError:
            return None
        return output if output.size == self.output.size and np.isfinite(output).all() else None

    @cached_property
    def noise(self) -> dict[str, Array]:
        """The largest change of each quantity when everything is rounded differently, over several samples."""
        rng = np.random.default_rng(0)
        largest: dict[str, Array] = {name: np.zeros(value.shape) for name, value in self.found.items()}
        for _ in range(_SAMPLES):
            count = len(self.call.inputs) + len(self.call.cotangents) + len(self.call.params)
            factors = rng.integers(1, 16, count) * rng.choice([-1, 1], count) * _NUDGE / 8
            try:
                above, below = self.layer.vjp(_scaled(self.call, factors)), self.layer.vjp(_scaled(self.call, -2 * factors))
            except SubjectError:
                continue
            for name, value in self.found.items():
                if name in above and name in below and above[name].shape == value.shape == below[name].shape:
                    # Twice as far to the left: a number times 1 + e and the same times 1 - e are rounded alike, so errors would cancel.
                    change = np.abs(2 * (above[name] - value) - (value - below[name])) / 3
                    largest[name] = np.maximum(largest[name], np.nan_to_num(change, nan=0.0, posinf=0.0))
        return largest

    def slope(self, line: Line) -> Slope:
        """Return the slope of sum(cotangent * output) along a line, from difference quotients."""
        scales = self._scales(line)
        runs = [values for run in steps(scales) for values in self._values(line, run)]
        blur = self.precision.confidence * self.precision.unit
        runs = blurred_where_still(runs, blur, self.largest / float(np.abs(line.units).max()))
        return weighted_slope(self.output, runs, self.cotangent, blur, max(scales[:3]))

    def _scales(self, line: Line) -> list[float]:
        """Return the scales of a variable to which the steps are relative.

        These are the size of the element, the size of its array, and 1, because most functions are curved on this scale. A small element of a large
        sum needs two more, the last: the size of the output, and the step that doubles the output if the subject's gradient is correct. A gradient
        that is only rounding noise, because its terms cancel, says nothing of such a step.
        """
        x = variable(self.call, line.quantity)
        unit = float(np.abs(line.units).max())
        size = float(np.sqrt(np.mean(np.square(x)))) / unit
        own = size if line.index is None else float(line.sizes(x)[0])
        claimed = abs(line.of(np.asarray(self.found[line.quantity])))
        with np.errstate(all="ignore"):
            whole = np.sum(np.abs(self.cotangent * self.output)) / (claimed if claimed > self.observed(line) else 0.0)
        return [own, size, 1.0 / unit, float(np.abs(self.output).max(initial=0.0)) / unit, float(whole)]

    def _values(self, line: Line, run: list[float]) -> Iterator[Values]:
        """Yield the changes of the output at a run of steps; a step at which the subject fails splits the run."""
        x = variable(self.call, line.quantity)
        least = _EXACT * line.sizes(x).max()
        rows = (self._changes(line, x, step) if step >= least else None for step in run)
        for missing, group in groupby(rows, lambda row: row is None):
            if not missing:
                yield Values(*(np.array(part) for part in zip(*group, strict=True)))

    def _changes(self, line: Line, x: Array, step: float) -> tuple[float, float, Array, Array, Array] | None:
        """Return the actual right and left steps, the output's changes, and the changes' rounding error; None if the subject fails."""
        right, left = line.at(x, step), line.at(x, -step)
        above, below = self.forward(moved(self.call, line.quantity, right)), self.forward(moved(self.call, line.quantity, left))
        if above is None or below is None:
            return None
        base = self.output
        largest = np.maximum(np.maximum(np.abs(above), np.abs(below)), np.abs(base))
        # If all values are multiples of the last digit of 1, they may be differences of numbers of size 1, as in exp(x) - 1 for small x.
        whole = np.all(np.mod([above, below, base], self.precision.unit) == 0, axis=0)
        size = np.where(whole, np.maximum(largest, 1.0), largest)
        blur = self.precision.confidence * np.maximum(self.joined(self.noise), self.precision.unit * size)
        actual = (step, step) if line.index is None else (line.sizes(right - x)[0], line.sizes(x - left)[0])
        return *actual, above - base, below - base, blur

    def observed(self, line: Line) -> float:
        """Return a bound on the rounding error of the gradient along a line, from how much it changes when everything is rounded differently."""
        return self.precision.confidence * line.spread(self.noise[line.quantity])

    def rounding(self, line: Line, terms: float) -> float:
        """Return a bound on the rounding error of the gradient's slope along a line; ``terms`` is the sum of all outputs' absolute slopes.

        The number of roundings is at most :attr:`size`: an element of a gradient is a sum of at most that many products.
        """
        gradient = self.found[line.quantity]
        if line.index is None:
            terms += line.largest_sum(gradient)
        count = float(self.precision.grow(float(self.size)))
        reading = line.largest_sum(self.reading[line.quantity])
        flushed = self.precision.smallest_normal * max(1.0, float(np.abs(self.cotangent).sum()))
        return self.precision.sides * (self.precision.unit * count * terms + flushed) + self.observed(line) + reading


def point_of(layer: SubjectLayer, call: Call, precision: Precision) -> Point:
    """Run a subject forward and backward on a call; a :class:`SubjectError` has the results up to the failure."""
    inputs = {name: _arranged_as(value, value) for name, value in call.inputs.items()}
    found = layer.vjp(replace(call, inputs=inputs, cotangents={name: np.array(value) for name, value in call.cotangents.items()}))
    reading: dict[str, Array] = {}
    for name, value in found.items():
        bound = layer.reading(name, call, value)
        reading[name] = np.zeros(value.shape) if bound is None else np.broadcast_to(precision.tolerance(bound), value.shape)
    return Point(layer, call, precision, {name: np.array(value) for name, value in found.items()}, reading)


def _scaled(call: Call, off: npt.NDArray[np.float64]) -> Call:
    """Return a call with each input, cotangent and parameter multiplied by 1 plus one element of ``off``."""
    factors = iter(1 + off)
    inputs = {name: _arranged_as(value, value * next(factors)) for name, value in call.inputs.items()}
    cotangents = {name: np.asarray(value * next(factors)) for name, value in call.cotangents.items()}
    params = {name: value * next(factors) for name, value in call.params.items()}
    return replace(call, inputs=inputs, cotangents=cotangents, params=params)


def evenly(x: Array) -> float:
    """Return the largest power of two up to the root mean square of an array; 1 if all elements are 0."""
    size = float(np.sqrt(np.mean(np.square(x))))
    return 2.0 ** math.floor(math.log2(size)) if size > 0 else 1.0
