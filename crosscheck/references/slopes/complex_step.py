"""The complex step: the slope of an output from one evaluation off the real axis, without a subtraction and so without cancellation.

Im f(x + ih) / h is the slope, exact to the rounding of one evaluation, where the code is analytic all the way (Squire and Trapp, SIAM Rev. 40(1),
1998; Martins, Sturdza and Alonso, ACM Trans. Math. Softw. 29(3), 2003). Code that takes absolute values or real parts, casts to float or fills a real
array is not. It is recognised by its results, not by a list of functions, and is no fault of the subject.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.references.slopes.probe import INPUT, Line, Point, moved, variable

_STEP = 2.0**-100
"""Relative to the smallest number on the line: its square is far below the unit roundoff, and its products far above the smallest number."""


@dataclass(frozen=True)
class ComplexStep:
    """The complex step at a point."""

    point: Point

    @cached_property
    def refused(self) -> str:
        """Why the subject does not compute with complex numbers: from real ones in complex form it has to make the same output; empty if it does."""
        point, precision, real = self.point, self.point.precision, self.point.output
        try:
            output = point.layer.vjp(moved(self._call, INPUT, self._call.x))["output"].ravel()
        except SubjectError as error:
            return f"on complex numbers {error.reason}"
        if output.dtype.kind != "c":
            return f"its output is {output.dtype} for complex input"
        count = float(precision.grow(float(point.size)))
        blur = precision.confidence * point.noise["output"].ravel() + precision.sides * precision.unit * count * np.abs(real)
        same = output.shape == real.shape and np.all(np.abs(output.real - real) <= blur)
        return "" if same else "its output for complex input is another one"

    def slope(self, line: Line) -> float | None:
        """Return the slope of <cotangent, output> along a line; None where the subject gives none."""
        step = self.step(line)
        output = self.point.forward(moved(self._call, line.quantity, line.at(variable(self._call, line.quantity), 1j * step)))
        return None if output is None or output.dtype.kind != "c" else float(np.sum(self.point.cotangent * (output.imag / step)))

    def step(self, line: Line) -> float:
        """Return the size of the imaginary step."""
        sizes = line.sizes(variable(self.point.call, line.quantity))
        return _STEP * float(sizes[sizes > 0].min(initial=1.0))

    def error(self, line: Line) -> float:
        """Return how much of a slope underflow may lose."""
        return float(self.point.size * self.point.precision.smallest / self.step(line) * np.abs(self.point.cotangent).sum())

    @cached_property
    def _call(self) -> Call:
        """The point's call in complex numbers."""
        call = self.point.call
        return replace(call, x=call.x.astype(np.complex128), params={name: value.astype(np.complex128) for name, value in call.params.items()})
