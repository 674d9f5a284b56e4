"""Faults of numerics: right formulas in too low a precision, cut off, clipped, or out of range."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.activation import APPROXIMATE, RELU
from tests.support.faults.convolution import CONV
from tests.support.faults.fault import Host, planted
from tests.support.faults.linear import LINEAR
from tests.support.faults.loss import LOSS
from tests.textbook.activation import ReLU, TanhGELU
from tests.textbook.convolution import Conv2d
from tests.textbook.linear import Linear
from tests.textbook.loss import CrossEntropy, Softmax
from tests.textbook.scale import Scale

# So many classes that the largest logit is always far from zero, and often one of several where they tie.
MANY = Host("cross-entropy-40", CrossEntropy, lambda kind: Pair(kind(), nn.CrossEntropyLoss(), shapes=[(4, 40)], name="cross-entropy-40"))
SOFTMAX_MANY = Host("softmax-100", Softmax, lambda kind: Pair(kind(), nn.Softmax(dim=1), shapes=[(4, 100)], name="softmax-100"))


@planted(
    LINEAR, at="output", cause="lower precision", hidden="in single precision nothing is wrong, and in double precision a tolerance of 1e-6 passes"
)
class OutputInSinglePrecision(Linear):
    """The output passes through single precision, whatever the input's precision is."""

    def forward(self, x: Array) -> Array:
        return super().forward(x).astype(np.float32).astype(x.dtype)


@planted(
    CONV, at="grad_input", cause="lower precision", hidden="in single precision nothing is wrong, and in double precision a tolerance of 1e-6 passes"
)
class GradientInSinglePrecision(Conv2d):
    """The input's gradient passes through single precision, from a buffer of that type."""

    def cropped(self, grad: Array) -> Array:
        return super().cropped(grad).astype(np.float32).astype(grad.dtype)


SCALE = Host(
    "scale",
    Scale,
    lambda kind: Pair(kind(8), lambda x, weight: x * weight, shapes=[(4, 8)], params={"weight": "weight"}, framework="torch", name="scale"),
)


@planted(LINEAR, at="output", cause="lower precision", hidden="a test in double precision never gets there, and a tolerance of 1e-3 passes")
class SinglePrecisionByHalves(Linear):
    """In single precision the output passes through half precision, as from a fast kernel."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        return output.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else output


@planted(LINEAR, at="output", cause="array without dtype", hidden="in double precision it is right, and in single precision so are the numbers")
class OutputInDoublePrecision(Linear):
    """The output is collected in an array of NumPy's default type, so that all that follows is in double precision."""

    def product(self, x: Array) -> Array:
        output = np.zeros((len(x), len(self.params["bias"])))
        output[:] = super().product(x)
        return output


@planted(
    LINEAR,
    at="bias.grad",
    cause="array without dtype",
    hidden="in double precision it is right, and in single precision so are the numbers: the parameter turns double with the first step",
)
class BiasGradientInDoublePrecision(Linear):
    """The bias's gradient is summed into an array of NumPy's default type."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(grad_output.sum(axis=0, dtype=np.float64))


@planted(LOSS, at="grad_input", cause="constant factor", hidden="it is right to eight digits: every usual tolerance, and single precision, hide it")
class EpsilonInTheMean(CrossEntropy):
    """The sum is divided by the batch size plus 1e-8, although no batch is empty."""

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(super().backward(grad_output) * (len(self._x) / (len(self._x) + 1e-8)), dtype=self._x.dtype)


@planted(APPROXIMATE, at="output", cause="edit: number", hidden="it is right to seven digits: every usual tolerance, and single precision, hide it")
class ConstantOfSevenDigits(TanhGELU):
    """The square root of 2 / pi stands in the code as 0.7978846."""

    factor = 0.7978846


@planted(CONV, at="output", hidden="where all pixels are of a size, every output is right to the last digits")
class ConvolvedByFourierTransform(Conv2d):
    """The sums are made by a Fourier transform of the whole image, whose rounding is that of the largest pixel: what is small beside it is lost."""

    def forward(self, x: Array) -> Array:
        self._x = x
        weight = self.weight()
        rows, columns = (size - side + 1 for size, side in zip(x.shape[2:], weight.shape[2:], strict=True))
        spectrum = np.einsum("nchw,fchw->nfhw", np.fft.rfft2(x), np.fft.rfft2(weight, x.shape[2:]).conj())
        product = np.fft.irfft2(spectrum, x.shape[2:])[:, :, :rows, :columns]
        return np.asarray(product + self.bias(), dtype=x.dtype)


@planted(LINEAR, at="grad_input", hidden="cotangents of one size have no element so far below the largest")
class SmallBesideTheLargestCutOff(Linear):
    """Elements of the cotangent below a millionth of the largest are set to zero, to send sparse gradients."""

    def input_gradient(self, grad_output: Array) -> Array:
        size = np.abs(grad_output)
        return super().input_gradient(np.where(size < 1e-6 * size.max(), 0, grad_output))


@planted(SOFTMAX_MANY, at="output", hidden="logits of usual size give no such probability, and enormous ones give zeros by themselves")
class SmallProbabilitiesCutOff(Softmax):
    """Probabilities below 1e-15 are set to zero, to be rid of denormal numbers."""

    def probabilities(self, x: Array) -> Array:
        p = super().probabilities(x)
        return np.where(p < 1e-15, 0, p)


@planted(MANY, at="output", hidden="random logits have one maximum; logits from a small set, or of saturated units, have several")
class TiesOfTheMaximumLeftOut(CrossEntropy):
    """The logarithm of the sum is log1p of what is not the maximum, for precision, and leaves out what ties with it."""

    def log_sums(self, shifted: Array) -> Array:
        return np.asarray(np.log1p(np.where(shifted < 0, np.exp(shifted), 0).sum(axis=1, keepdims=True)))


@planted(
    RELU,
    at="output",
    hidden="in double precision, and for all numbers above 1e-19 in single precision, the root of a square is the size to the last digit",
)
class SizeByTheRootOfASquare(ReLU):
    """The positive part is (x + sqrt(x**2)) / 2, where a square may vanish."""

    def value(self, x: Array) -> Array:
        return (x + np.sqrt(x * x)) / 2


@planted(
    LINEAR,
    at="grad_input",
    cause="not computed",
    hidden="a cotangent of usual size is not close to zero; one that is scaled down, as behind many saturated layers, is",
)
class NothingToDoForSmallCotangents(Linear):
    """A cotangent that is close to zero is passed over, by the absolute tolerance of 1e-8 that NumPy's own comparisons have."""

    def input_gradient(self, grad_output: Array) -> Array:
        if np.abs(grad_output).max() <= 1e-8:
            return np.zeros_like(self._x)
        return super().input_gradient(grad_output)


@planted(CONV, at="grad_input", hidden="a number so small is nothing beside gradients of usual size")
class EpsilonAdded(Conv2d):
    """An epsilon of 1e-30 is added to the input's gradient, lest it be zero."""

    def cropped(self, grad: Array) -> Array:
        return super().cropped(grad) + grad.dtype.type(1e-30)


@planted(LINEAR, at="grad_input", hidden="gradients of usual size are not clipped, and those that are were about to diverge")
class CotangentClipped(Linear):
    """The cotangent is clipped at 1e8, inside the layer."""

    def input_gradient(self, grad_output: Array) -> Array:
        return super().input_gradient(np.clip(grad_output, -1e8, 1e8))


@planted(APPROXIMATE, at="grad_input", hidden="cubes of numbers below 1e12 are in range in single precision, too")
class CubeOverflows(TanhGELU):
    """The derivative's second term is a cubic polynomial times 1 / cosh(z)**2: infinity times nothing, where the cube leaves the range."""

    def slope(self, x: Array) -> Array:
        z = self.inner(x)
        return np.asarray((1 + np.tanh(z)) / 2 + self.factor / 2 * (x + 3 * self.cubic * x**3) / np.cosh(z) ** 2)


@planted(RELU, at="output", hidden="no pixel is as small; what a long chain of small factors leaves may be")
class SmallestNumberTakenForZero(ReLU):
    """Denormal numbers are flushed to zero, and with them the smallest normal one of single precision: ``>`` for ``>=``."""

    def value(self, x: Array) -> Array:
        return np.where(x > np.finfo(np.float32).tiny, x, 0)


@planted(
    SCALE,
    at="weight.grad",
    hidden="scales start at one; those that start at zero, as at the end of a residual branch, or were pruned, give nothing over nothing",
)
class InputRecoveredFromTheOutput(Scale):
    """The input is not kept but recovered from the output, to save memory, by a division by the weight."""

    def forward(self, x: Array) -> Array:
        self._output = super().forward(x)
        return self._output

    def input(self) -> Array:
        return self._output / self.params["weight"]
