"""A subject near one point: how its output changes along lines through the point, and how large its own rounding errors are there.

Without a reference the number of roundings in a subject's output is unknown. So they are observed: input, parameters and cotangent are each scaled
by a factor a few units in the last place off 1, which rounds everything inside afresh and leaves signs, order and ties of the numbers as they are.
A second difference of such results has lost all that is smooth in them; what is left is rounding (as in ECNoise, Moré and Wild, SIAM J. Sci. Comput.
33(3), 2011).
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

INPUT = "grad_input"

_SAMPLES = 8
_AFRESH = 2.0**-46
"""Relative change of a subject's inputs that makes it round afresh: 128 units in the last place, the square of which is far below one."""

_EXACT = 2.0**-32
"""A step smaller than this, relative to the number that it is added to, is changed by rounding in its first twenty bits."""


def variable(call: Call, quantity: str) -> Array:
    """Return the array that a gradient belongs to, by the name of the gradient."""
    return call.x if quantity == INPUT else call.params[quantity.removesuffix(".grad")]


def moved(call: Call, quantity: str, value: npt.NDArray[Any]) -> Call:
    """Return a call without a cotangent in which one array is replaced; the new one has the memory layout of the old one."""
    value = _arranged_as(variable(call, quantity), value)
    if quantity == INPUT:
        return replace(call, x=value, grad_output=None)
    return replace(call, params={**call.params, quantity.removesuffix(".grad"): value}, grad_output=None)


def _arranged_as(array: Array, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy with the strides of another array, for subjects that depend on the memory layout."""
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
    """A line through the point: one element of a variable, or several of them, move.

    Attributes
    ----------
    quantity : str
        The gradient's name.
    places : array of int
        The elements that move, in the flattened variable.
    units : array
        How far each of them moves for a step of 1.
    """

    quantity: str
    places: npt.NDArray[np.intp]
    units: Array

    @classmethod
    def of_element(cls, quantity: str, index: int) -> Line:
        """Return the line along one element."""
        return cls(quantity, np.array([index]), np.ones(1))

    @property
    def index(self) -> int | None:
        """The element that moves; None where several do."""
        return int(self.places[0]) if len(self.places) == 1 else None

    def at(self, x: npt.NDArray[Any], step: complex) -> npt.NDArray[Any]:
        """Return the variable moved along the line."""
        result = np.array(x)
        result.flat[self.places] += step * self.units
        return result

    def of(self, gradient: Array) -> float:
        """Return the slope that a gradient gives."""
        return float(np.sum(gradient.flat[self.places] * self.units))

    def largest_sum(self, errors: Array) -> float:
        """Return the error of the slope when no errors of the gradient's elements cancel."""
        return float(np.sum(np.abs(errors.flat[self.places] * self.units)))

    def spread(self, errors: Array) -> float:
        """Return the error of the slope from independent errors of the gradient's elements."""
        return float(np.hypot.reduce(np.abs(errors.flat[self.places] * self.units)))

    def sizes(self, x: Array) -> Array:
        """Return the sizes of the numbers on the line, in steps."""
        return np.asarray(np.abs(x.flat[self.places] / self.units))


@dataclass(frozen=True)
class Point:
    """A subject at one call.

    Attributes
    ----------
    call : Call
        With a cotangent, in float64.
    found : mapping of str to array
        What the subject computed.
    reading : mapping of str to array
        The error of reading each gradient off the subject.
    """

    layer: SubjectLayer
    call: Call
    precision: Precision
    found: Mapping[str, Array]
    reading: Mapping[str, Array]

    @property
    def output(self) -> Array:
        """The output, flattened."""
        return np.asarray(self.found["output"]).ravel()

    @property
    def cotangent(self) -> Array:
        """The cotangent, flattened."""
        assert self.call.grad_output is not None
        return np.asarray(self.call.grad_output).ravel()

    @property
    def size(self) -> int:
        """How many numbers input, parameters and output hold."""
        return sum(array.size for array in (self.call.x, *self.call.params.values(), self.output))

    def forward(self, call: Call) -> npt.NDArray[Any] | None:
        """Return the output for another call, flattened; None where the subject gives none there."""
        try:
            output = self.layer.vjp(replace(call, grad_output=None))["output"]
        except SubjectError:
            return None
        return output.ravel() if output.size == self.output.size and np.isfinite(output).all() else None

    @cached_property
    def noise(self) -> dict[str, Array]:
        """How much each quantity changes when everything is rounded afresh: the largest of several samples."""
        rng = np.random.default_rng(0)
        largest: dict[str, Array] = {name: np.zeros(value.shape) for name, value in self.found.items()}
        for _ in range(_SAMPLES):
            factors = rng.integers(1, 16, 2 + len(self.call.params)) * rng.choice([-1, 1], 2 + len(self.call.params)) * _AFRESH / 8
            try:
                above, below = self.layer.vjp(_scaled(self.call, factors)), self.layer.vjp(_scaled(self.call, -factors))
            except SubjectError:
                continue
            for name, value in self.found.items():
                if name in above and name in below and above[name].shape == value.shape == below[name].shape:
                    change = np.abs((above[name] - value) - (value - below[name])) / 2
                    largest[name] = np.maximum(largest[name], np.nan_to_num(change, nan=0.0, posinf=0.0))
        return largest

    def slope(self, line: Line) -> Slope:
        """Return the slope of <cotangent, output> along a line, from difference quotients."""
        runs = [values for run in steps(self._scales(line)) for values in self._values(line, run)]
        blur = self.precision.confidence * self.precision.unit
        return weighted_slope(self.output, blurred_where_still(runs, blur), self.cotangent, blur)

    def _scales(self, line: Line) -> list[float]:
        """Return the sizes relative to which steps are taken.

        Those of the number itself, of its array, and 1, the size of what most functions are curved over; then, to see a small number's part in a
        large sum, that of the output, and the step that changes the output by all of its size if the subject's gradient is right.
        """
        x = variable(self.call, line.quantity)
        unit = float(np.abs(line.units).max())
        size = float(np.sqrt(np.mean(np.square(x)))) / unit
        own = size if line.index is None else float(line.sizes(x)[0])
        claimed = abs(line.of(np.asarray(self.found[line.quantity])))
        with np.errstate(all="ignore"):
            whole = np.sum(np.abs(self.cotangent * self.output)) / claimed
        return [own, size, float(np.abs(self.output).max(initial=0.0)) / unit, 1.0 / unit, float(whole)]

    def _values(self, line: Line, run: list[float]) -> Iterator[Values]:
        """Yield the changes of the output at a run of steps; where the output is missing at one of them, the run ends and another begins."""
        x = variable(self.call, line.quantity)
        least = _EXACT * line.sizes(x).max()
        rows = (self._changes(line, x, step) if step >= least else None for step in run)
        for missing, group in groupby(rows, lambda row: row is None):
            if not missing:
                yield Values(*(np.array(part) for part in zip(*group, strict=True)))

    def _changes(self, line: Line, x: Array, step: float) -> tuple[float, float, Array, Array, Array] | None:
        """Return the steps to the right and to the left, the changes of the output there, and the rounding in them."""
        right, left = line.at(x, step), line.at(x, -step)
        above, below = self.forward(moved(self.call, line.quantity, right)), self.forward(moved(self.call, line.quantity, left))
        if above is None or below is None:
            return None
        base = self.output
        largest = np.maximum(np.maximum(np.abs(above), np.abs(below)), np.abs(base))
        # Whole multiples of a 1's last digit, 0 among them, may have been taken from a 1, as in exp(x) - 1 at a small x.
        whole = np.all(np.mod([above, below, base], self.precision.unit) == 0, axis=0)
        size = np.where(whole, np.maximum(largest, 1.0), largest)
        blur = self.precision.confidence * np.maximum(self.noise["output"].ravel(), self.precision.unit * size)
        gone = (step, step) if line.index is None else (line.sizes(right - x)[0], line.sizes(x - left)[0])
        return *gone, above - base, below - base, blur

    def rounding(self, line: Line, terms: float) -> float:
        """Return how far rounding may change the slope that the subject's gradient gives.

        Parameters
        ----------
        terms : float
            T, the sum of the absolute slopes of all outputs: an element of a gradient is a sum of at most as many products as there are numbers.
        """
        gradient = self.found[line.quantity]
        if line.index is None:
            terms += line.largest_sum(gradient)
        count = float(self.precision.grow(float(self.size)))
        observed = self.precision.confidence * line.spread(self.noise[line.quantity])
        reading = line.largest_sum(self.reading[line.quantity])
        flushed = self.precision.smallest_normal * max(1.0, float(np.abs(self.cotangent).sum()))
        return self.precision.sides * (self.precision.unit * count * terms + flushed) + observed + reading


def point_of(layer: SubjectLayer, call: Call, precision: Precision) -> Point:
    """Run a subject on one call, forward and backward.

    Raises
    ------
    SubjectError
        If it computes no output or does not return from its backward pass; what it had computed is attached.
    """
    given = replace(moved(call, INPUT, call.x), grad_output=None if call.grad_output is None else np.array(call.grad_output))
    found = layer.vjp(given)
    reading: dict[str, Array] = {}
    for name, value in found.items():
        bound = layer.reading(name, call, value)
        reading[name] = np.zeros(value.shape) if bound is None else np.broadcast_to(precision.tolerance(bound), value.shape)
    return Point(layer, call, precision, {name: np.array(value) for name, value in found.items()}, reading)


def _scaled(call: Call, off: npt.NDArray[np.float64]) -> Call:
    """Return a call with each array scaled by a factor that is a little off 1."""
    factors = 1 + off
    assert call.grad_output is not None
    params = {name: value * factor for (name, value), factor in zip(call.params.items(), factors[2:], strict=True)}
    return replace(call, x=_arranged_as(call.x, call.x * factors[0]), params=params, grad_output=np.asarray(call.grad_output * factors[1]))


def evenly(x: Array) -> float:
    """Return a power of two about as large as the numbers of an array; 1 where all are 0."""
    size = float(np.sqrt(np.mean(np.square(x))))
    return 2.0 ** math.floor(math.log2(size)) if size > 0 else 1.0
