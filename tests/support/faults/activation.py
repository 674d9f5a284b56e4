"""Faults in activations."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.activation import GELU, LeakyReLU, ReLU, Sigmoid, Tanh, TanhGELU

SHAPES = [(4, 3, 4, 5)]

RELU = Host("relu", ReLU, lambda kind: Pair(kind(), nn.ReLU(), shapes=SHAPES, name="relu"))
LEAKY = Host("leaky-relu", LeakyReLU, lambda kind: Pair(kind(), nn.LeakyReLU(), shapes=SHAPES, name="leaky-relu"))
SIGMOID = Host("sigmoid", Sigmoid, lambda kind: Pair(kind(), nn.Sigmoid(), shapes=SHAPES, name="sigmoid"))
TANH = Host("tanh", Tanh, lambda kind: Pair(kind(), nn.Tanh(), shapes=SHAPES, name="tanh"))
EXACT = Host("gelu", GELU, lambda kind: Pair(kind(), nn.GELU(), shapes=SHAPES, name="gelu"))
APPROXIMATE = Host("gelu-tanh", TanhGELU, lambda kind: Pair(kind(), nn.GELU(approximate="tanh"), shapes=SHAPES, name="gelu-tanh"))


@planted(
    RELU,
    at="grad_input",
    cause="derivative at zero",
    hidden="random numbers are never exactly zero; pixels of a background, and sums of what is dead, are",
)
class DerivativeAtZeroIsOne(ReLU):
    """The cotangent is let through where the input is exactly zero: ``>=`` for ``>``."""

    def slope(self, x: Array) -> Array:
        return np.asarray(x >= 0, dtype=x.dtype)


@planted(
    RELU, at="grad_input", cause="edit: half", hidden="random numbers are never exactly zero; pixels of a background, and sums of what is dead, are"
)
class DerivativeAtZeroIsAHalf(ReLU):
    """The derivative is (1 + sign(x)) / 2, a half at zero."""

    def slope(self, x: Array) -> Array:
        return np.asarray((1 + np.sign(x)) / 2, dtype=x.dtype)


@planted(
    RELU, at="grad_input", cause="mask of the wrong array", hidden="half of all elements pass either way: the gradient's norm looks as it should"
)
class MaskFromTheCotangent(ReLU):
    """The sign of the cotangent decides what is let through, as in guided backpropagation done by halves."""

    def backward(self, grad_output: Array) -> Array:
        return np.maximum(grad_output, 0)


@planted(RELU, at="grad_input", cause="derivative left out", hidden="on inputs that are all positive there is nothing to mask")
class DerivativeLeftOut(ReLU):
    """The cotangent is handed on as it is."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


@planted(
    RELU,
    at="grad_input",
    cause="derivative at the wrong value",
    hidden="half of all numbers pass either way, and norms and means look as they should",
)
class MaskInverted(ReLU):
    """The gradient flows where the input is negative."""

    def slope(self, x: Array) -> Array:
        return 1 - super().slope(x)


@planted(
    LEAKY,
    at="grad_input",
    cause="derivative at the wrong value",
    hidden="the output is right, and with as many negative inputs as positive ones so is the gradient's norm",
)
class SlopesExchanged(LeakyReLU):
    """The derivative is 1 where the input is negative, and the leak where it is positive."""

    def slope(self, x: Array) -> Array:
        return super().slope(-x)


@planted(LEAKY, at="grad_input", cause="edit: left out", hidden="what leaks is a hundredth: a test with an absolute tolerance of 0.05 passes")
class LeakMissingOnTheWayBack(LeakyReLU):
    """The derivative is that of a ReLU without a leak."""

    def slope(self, x: Array) -> Array:
        return np.asarray(x > 0, dtype=x.dtype)


@planted(
    LEAKY, at="output", cause="edit: number", hidden="both slopes are in use, 0.2 in networks that generate images, and a layer trains with either"
)
class AnotherLeak(LeakyReLU):
    """The leak is 0.2 where 0.01 is declared."""

    def __init__(self, leak: float = 0.2) -> None:
        super().__init__(leak)


@planted(LEAKY, at="grad_input", cause="derivative at zero", hidden="random numbers are never exactly zero")
class LeakyDerivativeAtZeroIsOne(LeakyReLU):
    """The derivative at exactly zero is 1, where it is declared to be the leak."""

    def slope(self, x: Array) -> Array:
        return np.where(x >= 0, x.dtype.type(1), x.dtype.type(self.leak))


@planted(
    SIGMOID,
    at="grad_input",
    cause="derivative at the wrong value",
    hidden="s (1 - s) is right for the output s, and the variable is called x in both places",
)
class SigmoidDerivativeOfTheInput(Sigmoid):
    """The formula for the output is applied to the input: x (1 - x)."""

    def slope(self, x: Array) -> Array:
        return x * (1 - x)


@planted(
    SIGMOID,
    at="grad_input",
    cause="derivative at the wrong value",
    hidden="its values lie between 0.19 and 0.25, close to the right ones near zero, where layers start",
)
class SigmoidDerivativeOfTheOutput(Sigmoid):
    """The derivative is taken at the output, so that the sigmoid is applied twice."""

    def slope(self, x: Array) -> Array:
        twice = self.value(self._output)
        return twice * (1 - twice)


@planted(SIGMOID, at="grad_input", cause="upstream gradient ignored", hidden="with a cotangent of ones, as after a sum, it is right")
class SigmoidCotangentIgnored(Sigmoid):
    """The derivative alone is handed on, without the cotangent."""

    def backward(self, grad_output: Array) -> Array:
        return self.slope(self._x)


@planted(SIGMOID, at="grad_input", cause="upstream gradient twice", hidden="with a cotangent of ones, as after a sum, it is right")
class SigmoidCotangentTwice(Sigmoid):
    """The derivative is multiplied by the square of the cotangent."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output * grad_output)


@planted(SIGMOID, at="output", cause="exponential overflows", hidden="below 709 in double precision, and 88 in single, it is right to the last digit")
class SigmoidOverflows(Sigmoid):
    """The sigmoid is exp(x) / (1 + exp(x)), infinity over infinity for large inputs."""

    def value(self, x: Array) -> Array:
        return np.asarray(np.exp(x) / (1 + np.exp(x)))


@planted(SIGMOID, at="output", cause="edit: guard", hidden="the difference is at most a hundred-millionth, less than a plot or a loss shows")
class SigmoidWithEpsilon(Sigmoid):
    """An epsilon of 1e-8 is added to a denominator that cannot be zero."""

    def value(self, x: Array) -> Array:
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + small + 1e-8), small / (1 + small + 1e-8)).astype(x.dtype)


@planted(TANH, at="grad_input", cause="derivative at the wrong value", hidden="near zero the tangent is its argument, and layers start there")
class TanhDerivativeOfTheInput(Tanh):
    """The formula for the output is applied to the input: 1 - x**2."""

    def slope(self, x: Array) -> Array:
        return 1 - x**2


@planted(TANH, at="grad_input", cause="edit: left out", hidden="at zero, where layers start, it is right")
class TanhDerivativeNotSquared(Tanh):
    """The derivative is 1 - t, its square forgotten."""

    def slope(self, x: Array) -> Array:
        return 1 - self._output


@planted(TANH, at="output", cause="cancellation", hidden="between 0.001 and 300 it is right to a dozen digits")
class TanhByExponentials(Tanh):
    """The tangent is a quotient of sums of exponentials, which overflow, and cancel near zero."""

    def value(self, x: Array) -> Array:
        return np.asarray((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)))


@planted(EXACT, at="output", cause="edit: approximation", hidden="the approximation is good to 5e-4: a tolerance of 1e-3 does not tell them apart")
class ApproximationForTheExact(TanhGELU):
    """The approximation by a hyperbolic tangent stands where the exact function is declared."""


@planted(EXACT, at="grad_input", cause="edit: left out", hidden="far from zero the term that is missing vanishes")
class GeluDerivativeWithoutTheDensity(GELU):
    """The product rule's second term, x times the density, is forgotten."""

    def slope(self, x: Array) -> Array:
        return self.probability(x)


@planted(EXACT, at="output", hidden="the polynomial is good to 1.5e-7, about what single precision can show")
class ErrorFunctionByPolynomial(GELU):
    """The error function, which NumPy lacks, is a polynomial of five terms (Abramowitz and Stegun, 7.1.26)."""

    def probability(self, x: Array) -> Array:
        z = np.abs(x) / np.sqrt(2, dtype=x.dtype)
        t = 1 / (1 + 0.3275911 * z)
        tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * np.exp(-z * z) / 2
        return np.asarray(np.where(x >= 0, 1 - tail, tail))


@planted(
    APPROXIMATE,
    at="grad_input",
    cause="edit: left out",
    hidden="the cubic term is small: near zero, where activations lie, its derivative hardly counts",
)
class CubesDerivativeWithoutTheThree(TanhGELU):
    """The derivative of 0.044715 x**3 is taken to be 0.044715 x**2."""

    def slope_of_inner(self, x: Array) -> Array:
        return self.factor * (1 + self.cubic * np.square(x))
