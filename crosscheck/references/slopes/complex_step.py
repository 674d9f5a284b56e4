"""The complex step: the slope of an output from one evaluation off the real axis, without a subtraction and so without cancellation.

Im f(x + ih) / h is the slope, exact to the rounding of one evaluation, where the code is analytic all the way (Squire and Trapp, SIAM Rev. 40(1),
1998; Martins, Sturdza and Alonso, ACM Trans. Math. Softw. 29(3), 2003). Code that takes absolute values or real parts, casts to float or fills a real
array is not, and is refused by what it gives, never by a list of functions: that a subject cannot do this is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.references.slopes.probe import INPUT, Line, Point, moved, variable

_STEP = 2.0**-100
"""Relative to the smallest number on the line: its square is far below the unit roundoff, and its products far above the smallest number."""


@dataclass(frozen=True)
class ComplexStep:
    """A subject that was found to compute with complex numbers, or why it does not.

    Attributes
    ----------
    refused : str
        Empty where it does.
    """

    point: Point
    refused: str = ""

    def slope(self, line: Line) -> float | None:
        """Return the slope of <cotangent, output> along a line; None where the subject gives none."""
        point = self.point
        x = variable(point.call, line.quantity).astype(np.complex128)
        step = self.step(line)
        if line.direction is None:
            x.flat[line.index or 0] += 1j * step
        else:
            x = x + 1j * (step * line.direction)
        output = point.forward(moved(_complex(point), line.quantity, x))
        return None if output is None or output.dtype.kind != "c" else float(np.sum(point.cotangent * (output.imag / step)))

    def step(self, line: Line) -> float:
        """Return how far off the real axis a line is left."""
        return _STEP * line.smallest(variable(self.point.call, line.quantity))

    def error(self, line: Line) -> float:
        """Return what underflow takes from a slope."""
        count = sum(array.size for array in (self.point.call.x, *self.point.call.params.values(), self.point.output))
        return float(count * self.point.precision.smallest / self.step(line) * np.abs(self.point.cotangent).sum())


def complex_step(point: Point) -> ComplexStep:
    """Find out whether a subject computes with complex numbers: from real numbers in complex form it has to make the same output."""
    try:
        output = point.layer.vjp(moved(_complex(point), INPUT, _complex(point).x))["output"].ravel()
    except SubjectError as error:
        return ComplexStep(point, f"on complex numbers {error.reason}")
    if output.dtype.kind != "c":
        return ComplexStep(point, f"its output is {output.dtype} for complex input")
    precision, real = point.precision, point.output
    count = float(precision.grow(float(sum(a.size for a in (point.call.x, *point.call.params.values(), real)))))
    blur = precision.confidence * point.noise["output"].ravel() + precision.sides * precision.unit * count * np.abs(real)
    if output.shape != real.shape or not np.all(np.abs(output.real - real) <= blur):
        return ComplexStep(point, "its output for complex input is another one")
    return ComplexStep(point)


def _complex(point: Point) -> Call:
    call = point.call
    return replace(call, x=call.x.astype(np.complex128), params={name: value.astype(np.complex128) for name, value in call.params.items()})
