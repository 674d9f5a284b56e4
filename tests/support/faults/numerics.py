"""Faults of precision and range, and those that are small: a thousandth, a millionth, a billionth, or in one element alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, Kind, planted
from tests.textbook.activation import Tanh
from tests.textbook.convolution import Conv2d
from tests.textbook.root_mean_square import RootMeanSquare

PARAMS = {"weight": "weight", "bias": "bias"}


def _root_mean_square(x: Any) -> Any:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)


CONV = Host(
    "convolution of 10,000", Conv2d, lambda kind: Pair(kind(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(5, 2, 8, 9)], params=PARAMS, name="numerics")
)
TANH = Host("tanh-rows", Tanh, lambda kind: Pair(kind(), nn.Tanh(), shapes=[(5, 7)], name="tanh"))
RMS = Host("root mean square", RootMeanSquare, lambda kind: Pair(kind(), _root_mean_square, shapes=[(5, 8)], name="root mean square"))


def _off_by(size: float, method: str, quantity: str, words: str) -> None:
    """Plant a relative error in what one method of a convolution returns."""

    def slightly_more(self: Any, given: Array) -> Array:
        right: Array = getattr(Conv2d, method)(self, given)
        return right * (1 + size)

    kind: Kind = type(f"{words.title().replace(' ', '')}", (Conv2d,), {method: slightly_more, "__doc__": f"{words.capitalize()}."})
    kind.__module__ = __name__
    hidden = f"a relative tolerance above {size:g} lets it through, and the usual ones of 1e-5 with 1e-8 do so below that"
    planted(CONV, at=quantity, cause="constant factor", hidden=hidden)(kind)


for _method, _quantity, _what in (
    ("forward", "output", "output"),
    ("input_gradient", "grad_input", "input gradient"),
    ("weight_gradient", "weight.grad", "weight gradient"),
):
    for _size, _by in ((1e-3, "a thousandth"), (1e-6, "a millionth"), (1e-9, "a billionth")):
        _off_by(_size, _method, _quantity, f"{_what} too large by {_by}")


@planted(CONV, at="output", cause="lower precision", hidden="a relative tolerance of 1e-5 lets float32 through")
class SingleInsideDouble(Conv2d):
    """The convolution is computed in float32, whatever it is given."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        padded, weight = (value.astype(np.float32) for value in (self.padded(x), self.weight()))
        single = np.einsum("nchwuv,fcuv->nfhw", self.windows(padded), weight) + self.bias().astype(np.float32)
        return np.asarray(single.astype(output.dtype))


@planted(CONV, at="weight.grad", cause="lower precision", hidden="gradient checks are done in float64, which takes another way")
class HalfInsideSingle(Conv2d):
    """The weight's gradient is added up in half precision if it is in single."""

    def weight_gradient(self, grad_output: Array) -> Array:
        right = super().weight_gradient(grad_output)
        if right.dtype != np.float32:
            return right
        with np.errstate(over="ignore", invalid="ignore"):
            return right.astype(np.float16).astype(np.float32)


@planted(CONV, at="output", cause="digits cut off", hidden="the sum of two is as right as each of them, to whoever sees the large one alone")
class OffsetAndBack(Conv2d):
    """A large offset is added before the sum, to keep it positive, and taken off again: the last digits are lost."""

    def forward(self, x: Array) -> Array:
        offset = x.dtype.type(1e6)
        return (super().forward(x) + offset) - offset


@planted(CONV, at="weight.grad", cause="not computed", hidden="a gradient below 1e-8 is below the usual absolute tolerance")
class SmallGradientsDropped(Conv2d):
    """Gradients below 1e-8 count as zero."""

    def weight_gradient(self, grad_output: Array) -> Array:
        right = super().weight_gradient(grad_output)
        return np.where(np.abs(right) < 1e-8, 0, right)


@planted(CONV, at="weight.grad", hidden="terms that small are below the last digit of a sum of ordinary numbers")
class SmallTermsDropped(Conv2d):
    """Terms whose cotangent is below 1e-5 are left out of the sum, to save time."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(np.where(np.abs(grad_output) < 1e-5, 0, grad_output))


@planted(CONV, at="output", cause="digits cut off", hidden="6 digits are what is printed")
class RoundedToSixDigits(Conv2d):
    """The output is rounded to 6 decimals."""

    def forward(self, x: Array) -> Array:
        return np.round(super().forward(x), 6)


@planted(CONV, at="bias.grad", cause="array without dtype", hidden="the numbers are right, and NumPy turns whatever they meet into float64")
class ZerosWithoutDtype(Conv2d):
    """The bias's gradient is added up in an array that was made without a dtype."""

    def bias_gradient(self, grad_output: Array) -> Array:
        total = np.zeros(grad_output.shape[1])
        total += super().bias_gradient(grad_output)
        return total


@planted(CONV, at="bias.grad", cause="digits cut off", hidden="a whole number is close to a large gradient")
class WholeNumbers(Conv2d):
    """The bias's gradient is added up in an array of whole numbers."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.trunc(super().bias_gradient(grad_output))


@planted(CONV, at="grad_input", hidden="one element of 720 changes no norm, no mean and no cosine")
class OneElement(Conv2d):
    """One element of the input's gradient is a ten thousandth too large."""

    def input_gradient(self, grad_output: Array) -> Array:
        right = super().input_gradient(grad_output)
        right[len(right) // 2, 0, 2, 1] *= 1 + 1e-4
        return right


@planted(CONV, at="weight.grad", hidden="one element of 54 changes no norm, no mean and no cosine")
class LastElement(Conv2d):
    """The last element of the weight's gradient lacks the last sample's part."""

    def weight_gradient(self, grad_output: Array) -> Array:
        right = super().weight_gradient(grad_output)
        right[-1, -1, -1, -1] -= self._x[-1, -1, -1, -1] * grad_output[-1, -1, -1, -1]
        return right


@planted(CONV, at="output", hidden="a test of one sample, or of the first sample, passes")
class LastSample(Conv2d):
    """The last sample of a batch gets no bias."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        if len(x) > 1:
            output[-1] -= self.bias()
        return output


@planted(CONV, at="output", cause="edit: extra", hidden="images scaled from 0 to 1 have no negative pixels")
class NegativeInputs(Conv2d):
    """Negative pixels count as zero."""

    def padded(self, x: Array) -> Array:
        return super().padded(np.maximum(x, 0))


@planted(CONV, at="bias.grad", hidden="a test of a small batch passes")
class LargeBatches(Conv2d):
    """Only the first four samples of a batch count for the bias."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output[:4])


@planted(TANH, at="output", hidden="near zero, where networks work, it is right to five digits")
class Pade(Tanh):
    """The function is a quotient of polynomials, ``x (27 + x²) / (27 + 9 x²)``."""

    def value(self, x: Array) -> Array:
        return np.clip(x * (27 + x**2) / (27 + 9 * x**2), -1, 1)


@planted(TANH, at="output", cause="cancellation", hidden="for numbers of an ordinary size the digits that are lost are the last")
class Cancellation(Tanh):
    """The function is ``(e^2x - 1) / (e^2x + 1)``, in which all digits of a small number cancel."""

    def value(self, x: Array) -> Array:
        power = np.exp(2 * np.clip(x, -20, 20))
        return np.asarray((power - 1) / (power + 1))


@planted(TANH, at="output", cause="exponential overflows", hidden="no number of an ordinary size overflows")
class Overflow(Tanh):
    """The function is ``sinh / cosh``, both of which overflow."""

    def value(self, x: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(np.abs(x) < 20, np.tanh(x), np.sinh(x) / np.cosh(x))


@planted(TANH, at="grad_input", hidden="the function itself is right, and for small numbers so is its slope")
class SlopeOfTheInput(Tanh):
    """The slope is taken from the input, ``1 - x²``, where it has to be from the output."""

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(grad_output * (1 - np.arctanh(np.clip(self._output, -1 + 1e-7, 1 - 1e-7)) ** 2))


@planted(RMS, at="output", hidden="it is right to two digits in a thousand, as a game needs it")
class FastInverseRoot(RootMeanSquare):
    """The inverse root is two steps of Newton's method from a guess by the exponent."""

    def inverse_root(self, square: Array) -> Array:
        exponent = np.frexp(square)[1]
        guess = np.ldexp(np.ones_like(square), -exponent // 2)
        for _ in range(3):
            guess = guess * (1.5 - 0.5 * square * guess**2)
        return np.asarray(guess)


@planted(RMS, at="output", cause="edit: order", hidden="rows of an ordinary size hide every epsilon")
class EpsilonOutsideTheRoot(RootMeanSquare):
    """Epsilon is added to the root."""

    def forward(self, x: Array) -> Array:
        self._x, self._inverse = x, 1 / (np.sqrt(self.mean_square(x)) + self.eps)
        return x * self._inverse


@planted(RMS, at="output", cause="edit: number", hidden="rows of an ordinary size hide every epsilon")
class EpsilonOfAnotherSize(RootMeanSquare):
    """Epsilon is 1e-5."""

    eps = 1e-5


@planted(RMS, at="grad_input", cause="edit: left out", hidden="the output is right, and the gradient's larger part, too")
class RootTakenForAConstant(RootMeanSquare):
    """The root counts as a constant on the way back."""

    def along(self, products: Array) -> Array:
        return 0 * super().along(products)


@planted(RMS, at="output", cause="edit: format", hidden="squares of an ordinary size do not overflow in half precision")
class SquaresInHalfPrecision(RootMeanSquare):
    """Rows are reduced in half precision if they are in single."""

    def mean_square(self, x: Array) -> Array:
        right = super().mean_square(x)
        if right.dtype != np.float32:
            return right
        return np.clip(right, 0, 65504).astype(np.float16).astype(np.float32)
