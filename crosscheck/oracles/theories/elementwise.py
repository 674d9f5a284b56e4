"""Elementwise functions: sigmoid, hyperbolic tangent, GELU, leaky ReLU, and dropout with a given mask.

Each formula computes a function and its derivative on tracked numbers, in all forms that correct implementations use. The largest error among these
forms is the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import ELEMENTARY
from crosscheck.oracles.running_error import Operand, Tracked, constant, erf, erfc, in_range_with, max_error
from crosscheck.oracles.theories.formulas import FormulaTheory

Formula: TypeAlias = Callable[[Operand], tuple[Operand, Operand]]
"""A formula that returns the value of a function and its derivative."""


def sigmoid(x: Operand) -> tuple[Operand, Operand]:
    """Return s = 1 / (1 + exp(-x)) and s (1 - s). Code may also compute s as (1 + tanh(x / 2)) / 2, whose sum cancels far below zero."""
    small = np.exp(-np.abs(x))
    larger, smaller = 1 / (1 + small), small / (1 + small)
    positive = x.value >= 0
    output, rest = max_error(np.where(positive, larger, smaller), 0.5 * (1 + np.tanh(0.5 * x))), np.where(positive, smaller, larger)
    return output, max_error(output * (1 - output), output * rest)


def tanh(x: Operand) -> tuple[Operand, Operand]:
    """Return t = tanh(x) and 1 - t², which is also 1 / cosh(x)²."""
    output = np.tanh(x)
    small, sech2 = np.exp(-2 * np.abs(x)), 1 - np.square(output.value)
    by_cosh = x.made(sech2, 2 * np.abs(output.value) * sech2 * x.error, 2.0 * ELEMENTARY + 2)
    return output, max_error(1 - np.square(output), (1 - output) * (1 + output), 4 * small / np.square(1 + small), by_cosh)


def gelu(x: Operand) -> tuple[Operand, Operand]:
    """Return x p and p + x d, where p is the standard normal distribution function and d its density (Hendrycks and Gimpel, 2016)."""
    z = x * (1 / math.sqrt(2))
    p = max_error(0.5 * (1 + erf(z)), 0.5 * erfc(-z))
    density = np.exp(-0.5 * np.square(x)) * (1 / math.sqrt(2 * math.pi))
    return x * p, p + x * density


def gelu_by_tanh(x: Operand) -> tuple[Operand, Operand]:
    """Return x (1 + t) / 2 with t = tanh(sqrt(2 / pi) (x + 0.044715 x³)), and its derivative."""
    # For larger |x|, tanh is 1 or -1, and the cube of x may be out of range.
    near = np.maximum(np.minimum(x, 64), -64)
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    z = max_error(factor * (near + cubic * near**3), factor * near * (1 + cubic * np.square(near)))
    t, slope_of_z = np.tanh(z), factor * (1 + 3 * constant(cubic, x) * np.square(near))
    # (1 + t) / 2 is the sigmoid of 2 z.
    s, slope_of_s = sigmoid(2 * z)
    slope = max_error(0.5 * (1 + t) + 0.5 * near * (1 - np.square(t)) * slope_of_z, s + near * slope_of_s * 2 * slope_of_z)
    # For large |x|, 1 - t² is zero, and its product with x², which PyTorch computes, is NaN if x² is infinite.
    return max_error(0.5 * x * (1 + t), x * s), in_range_with(slope, np.square(x))


@dataclass(frozen=True)
class Elementwise(FormulaTheory):
    """The error theory of an elementwise function."""

    formula: Formula

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the function's value, and the upstream gradient times its derivative."""
        with np.errstate(all="ignore"):
            output, slope = self.formula(x)
            return {"output": output} if g is None else {"output": output, "grad_input": g * slope}


@dataclass(frozen=True)
class LeakyReLU(FormulaTheory):
    """The error theory of leaky ReLU: x if x is positive, else ``negative_slope * x``. The call may impose the decision between the two."""

    negative_slope: float

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the output and the gradient, linear if decisions are fixed. The slope and its products are rounded; positive elements are exact."""
        positive = np.asarray(call.constants.get("decisions", call.x > 0), dtype=bool)

        def formula(x: Operand) -> tuple[Operand, Operand]:
            slope = constant(self.negative_slope, x)
            return np.where(positive, x, slope * x), np.where(positive, 1, slope + 0 * x)

        return Elementwise(formula).results(call, x, g)


@dataclass(frozen=True)
class Scaling(FormulaTheory):
    """The error theory of dropout, x * mask / (1 - p). The mask is ``call.constants["mask"]``, with true for each element that is kept."""

    p: float

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the scaled elements. 1 - p, its reciprocal and the product are rounded; dropped elements are exactly zero."""
        mask, kept = call.constants["mask"], 1 - constant(self.p, x)
        values = {"output": x} if g is None else {"output": x, "grad_input": g}
        return {name: max_error(value * mask / kept, value * mask * (1 / kept)) for name, value in values.items()}


GELU: dict[str, Elementwise] = {"none": Elementwise(gelu), "tanh": Elementwise(gelu_by_tanh)}
"""The error theories of GELU, by PyTorch's name for the approximation."""
