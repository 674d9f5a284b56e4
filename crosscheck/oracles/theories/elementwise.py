"""Functions of each number by itself: sigmoid, hyperbolic tangent, GELU, leaky ReLU, and dropout by a mask that is given.

Each is a formula that returns the function and its derivative for tracked numbers, in the forms in which right implementations are written: the
largest of their errors is what rounding explains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import ELEMENTARY, Array, Bound, Precision
from crosscheck.oracles.running_error import Operand, Tracked, constant, erf, erfc, in_range_with, max_error

Formula: TypeAlias = Callable[[Operand], tuple[Operand, Operand]]
"""Returns a function's value and its derivative."""


def sigmoid(x: Operand) -> tuple[Operand, Operand]:
    """Return s = 1 / (1 + exp(-x)) and s (1 - s); s is (1 + tanh(x / 2)) / 2, too, in which the sum cancels far below zero."""
    small = np.exp(-np.abs(x))
    larger, smaller = 1 / (1 + small), small / (1 + small)
    positive = x.value >= 0
    output, rest = max_error(np.where(positive, larger, smaller), 0.5 * (1 + np.tanh(0.5 * x))), np.where(positive, smaller, larger)
    return output, max_error(output * (1 - output), output * rest)


def tanh(x: Operand) -> tuple[Operand, Operand]:
    """Return t = tanh(x) and 1 - t², which is 1 / cosh(x)², too."""
    output = np.tanh(x)
    small = np.exp(-2 * np.abs(x))
    return output, max_error(1 - np.square(output), (1 - output) * (1 + output), 4 * small / np.square(1 + small), _by_cosh(x))


def _by_cosh(x: Tracked) -> Tracked:
    sech2 = 1 - np.square(np.tanh(x.value))
    return x.made(sech2, 2 * np.abs(np.tanh(x.value)) * sech2 * x.error, 2.0 * ELEMENTARY + 2)


def gelu(x: Operand) -> tuple[Operand, Operand]:
    """Return x p and p + x d, p and d being the standard normal distribution and its density (Hendrycks and Gimpel, 2016)."""
    z = x * (1 / math.sqrt(2))
    p = max_error(0.5 * (1 + erf(z)), 0.5 * erfc(-z))
    density = np.exp(-0.5 * np.square(x)) * (1 / math.sqrt(2 * math.pi))
    return x * p, p + x * density


def gelu_by_tanh(x: Operand) -> tuple[Operand, Operand]:
    """Return x (1 + t) / 2 with t = tanh(sqrt(2 / pi) (x + 0.044715 x³)), and its derivative."""
    # Farther out the tangent is 1, and its cube need not be in range.
    near = np.maximum(np.minimum(x, 64), -64)
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    z = max_error(factor * (near + cubic * near**3), factor * near * (1 + cubic * np.square(near)))
    t, slope_of_z = np.tanh(z), factor * (1 + 3 * constant(cubic, x) * np.square(near))
    # (1 + t) / 2 is the sigmoid of 2 z.
    s, slope_of_s = sigmoid(2 * z)
    slope = max_error(0.5 * (1 + t) + 0.5 * near * (1 - np.square(t)) * slope_of_z, s + near * slope_of_s * 2 * slope_of_z)
    # Whoever multiplies 1 - t², which is zero far out, by x² gets no number where that is infinite, as PyTorch does.
    return max_error(0.5 * x * (1 + t), x * s), in_range_with(slope, np.square(x))


@dataclass(frozen=True)
class Elementwise:
    """A function of each number by itself.

    Attributes
    ----------
    formula : callable
        Returns value and derivative.
    """

    formula: Formula

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the errors of the function, and of the cotangent times its derivative."""
        return {name: value.bound for name, value in self._tracked(call, np.zeros_like(call.x), None, precision).items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors that those of the input come to through function and derivative, with those of the cotangent."""
        return {name: value.error for name, value in self._tracked(call, error_x, error_grad_output, None).items()}

    def _tracked(self, call: Call, error_x: Array, error_grad_output: Array | None, precision: Precision | None) -> dict[str, Tracked]:
        with np.errstate(all="ignore"):
            output, slope = self.formula(Tracked(call.x, error_x, precision))
            if call.grad_output is None:
                return {"output": output}
            errors = np.zeros_like(call.grad_output) if error_grad_output is None else error_grad_output
            return {"output": output, "grad_input": Tracked(call.grad_output, errors, precision) * slope}


@dataclass(frozen=True)
class LeakyReLU:
    """x where it is positive, ``negative_slope * x`` elsewhere; which of them is a decision at a kink, and may be imposed."""

    negative_slope: float

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the rounding of the slope and of the product; what is positive is exact."""
        return self._decided(call).bounds(oracle, call, result, precision)

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors, multiplied by the slope where it applies: with its decisions held fixed, the operation is linear."""
        return self._decided(call).propagated(oracle, call, result, error_x, error_grad_output)

    def _decided(self, call: Call) -> Elementwise:
        positive = np.asarray(call.constants.get("decisions", call.x > 0), dtype=bool)

        def formula(x: Operand) -> tuple[Operand, Operand]:
            slope = constant(self.negative_slope, x)
            return np.where(positive, x, slope * x), np.where(positive, 1, slope + 0 * x)

        return Elementwise(formula)


@dataclass(frozen=True)
class Scaling:
    """Dropout by the mask ``call.constants["mask"]``, true where a number is kept: x * mask / (1 - p)."""

    p: float

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the roundings of 1 - p, of its reciprocal and of the product; what is dropped is exactly zero."""
        return {name: self._scaled(Tracked.exact(value, precision), call).bound for name, value in self._given(call).items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors of what is kept, scaled as it is."""
        errors = {"output": error_x, "grad_input": np.zeros_like(error_x) if error_grad_output is None else error_grad_output}
        return {name: self._scaled(Tracked(value, errors[name]), call).error for name, value in self._given(call).items()}

    @staticmethod
    def _given(call: Call) -> dict[str, Array]:
        return {"output": call.x} if call.grad_output is None else {"output": call.x, "grad_input": call.grad_output}

    def _scaled(self, value: Tracked, call: Call) -> Tracked:
        mask, kept = call.constants["mask"], 1 - constant(self.p, value)
        scaled: Tracked = max_error(value * mask / kept, value * mask * (1 / kept))
        return scaled


GELU: dict[str, Elementwise] = {"none": Elementwise(gelu), "tanh": Elementwise(gelu_by_tanh)}
"""By what PyTorch calls the approximation."""
