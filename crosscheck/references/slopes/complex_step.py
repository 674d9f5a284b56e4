"""The complex step: the slope of an output from one evaluation with a complex input, without subtraction, so that no digits cancel.

If code computes an analytic function in complex numbers, Im f(x + ih) / h is the slope, exact to the rounding of one evaluation (Squire and Trapp,
SIAM Rev. 40(1), 1998; Martins, Sturdza and Alonso, ACM Trans. Math. Softw. 29(3), 2003). Code that takes absolute values or real parts, casts to
float or writes to a real array is not analytic. It is recognised by its results, not by a list of functions, and it is not a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.references.slopes.probe import Line, Point, moved, variable

_STEP = 2.0**-100
"""The imaginary step, relative to the smallest number on the line. Its square is far below the unit roundoff; its products do not underflow."""


@dataclass(frozen=True)
class ComplexStep:
    """Slopes of a subject's output by the complex step, for the call of ``point``."""

    point: Point

    @cached_property
    def refused(self) -> str:
        """The reason why the complex step cannot be used; empty if the output for the real input, cast to complex, stays the same."""
        point, precision, real = self.point, self.point.precision, self.point.output
        try:
            output = point.joined(point.layer.vjp(self._call.forward))
        except SubjectError as error:
            return f"on complex numbers {error.reason}"
        if output.dtype.kind != "c":
            return f"its output is {output.dtype} for complex input"
        count = float(precision.grow(float(point.size)))
        blur = precision.confidence * point.joined(point.noise) + precision.sides * precision.unit * count * np.abs(real)
        same = output.shape == real.shape and np.all(np.abs(output.real - real) <= blur)
        return "" if same else "its output for complex input differs from that for real input"

    def slope(self, line: Line) -> float | None:
        """Return the slope of sum(cotangent * output) along a line; None if the subject fails or its output is real, NaN if the slope underflows."""
        step = self.step(line)
        output = self.point.forward(moved(self._call, line.quantity, line.at(variable(self._call, line.quantity), 1j * step)))
        if output is None or output.dtype.kind != "c":
            return None
        terms = np.abs(self.point.cotangent * output.imag)
        # Below this size, an intermediate result may have lost its digits although the output has not.
        lost = np.abs(output.imag) < self.point.precision.smallest_normal / self.point.precision.unit
        if terms[lost].sum() > self.point.precision.unit * terms.sum():
            return math.nan
        return float(np.sum(self.point.cotangent * (output.imag / step)))

    def step(self, line: Line) -> float:
        """Return the size of the imaginary step."""
        sizes = line.sizes(variable(self.point.call, line.quantity))
        return _STEP * float(sizes[sizes > 0].min(initial=1.0))

    def error(self, line: Line) -> float:
        """Return a bound on the error of a slope that underflow causes."""
        return float(self.point.size * self.point.precision.smallest / self.step(line) * np.abs(self.point.cotangent).sum())

    @cached_property
    def _call(self) -> Call:
        """The point's call, with input and parameters cast to complex."""
        call = self.point.call
        inputs, params = ({name: _complex(value) for name, value in arrays.items()} for arrays in (call.inputs, call.params))
        return replace(call, inputs=inputs, params=params)


def _complex(value: Array) -> Any:
    return value.astype(np.complex128)
