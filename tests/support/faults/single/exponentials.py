"""Exponentials and logarithms that are right in double precision and overflow, vanish or cancel in single."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.activation import SIGMOID
from tests.support.faults.fault import Host, planted
from tests.support.faults.loss import LOSS
from tests.support.faults.single.precision import half, single
from tests.support.faults.single.sums import ATTENTION
from tests.support.faults.softmax import LOG_SOFTMAX, SOFTMAX
from tests.support.right_ways.modules.alone import beside, numbers
from tests.textbook.activation import Sigmoid
from tests.textbook.attention import SelfAttention
from tests.textbook.curves import LogSigmoid, Mish, SiLU
from tests.textbook.distances import BinaryCrossEntropy
from tests.textbook.loss import CrossEntropy, LogSoftmax, LogSumExp, Softmax

SHARE = numbers(5, 7).sigmoid()


def _curve(name: str, right: Any, module: nn.Module) -> Host:
    return Host(name, right, lambda kind: Pair(kind(), module, shapes=[(5, 7)], name=name))


SILU = _curve("silu", SiLU, nn.SiLU())
MISH = _curve("mish", Mish, nn.Mish())
LOG_SIGMOID = _curve("log-sigmoid", LogSigmoid, nn.LogSigmoid())
LOG_SUM = Host(
    "log-sum-exp", LogSumExp, lambda kind: Pair(kind(), lambda x: torch.logsumexp(x, 1), shapes=[(4, 6)], framework="torch", name="log-sum-exp")
)
BINARY = Host(
    "binary cross-entropy",
    BinaryCrossEntropy,
    lambda kind: Pair(kind(SHARE.numpy()), beside(nn.BCEWithLogitsLoss(), SHARE), shapes=[(5, 7)], name="binary cross-entropy"),
)


@planted(
    SOFTMAX,
    at="output",
    cause="exponential overflows",
    hidden="the exponential of 88 is still a number of single precision, that of 709 one of double",
)
class SoftmaxUnshifted(Softmax):
    """In single precision exponentials are taken of the logits as they are."""

    def shifted(self, x: Array) -> Array:
        return x if single(x) else super().shifted(x)

    def probabilities(self, x: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return super().probabilities(x)


@planted(SOFTMAX, at="output", cause="exponential overflows", hidden="for logits of an ordinary size the mean is as good as the maximum")
class SoftmaxShiftedByTheMean(Softmax):
    """In single precision the mean of the row is subtracted, above which a logit may still be too large."""

    def shifted(self, x: Array) -> Array:
        return np.asarray(x - x.mean(axis=1, keepdims=True)) if single(x) else super().shifted(x)

    def probabilities(self, x: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return super().probabilities(x)


@planted(SOFTMAX, at="output", cause="edit: format", hidden="everything lies between 0 and 1 and adds up to 1, to three digits")
class ExponentialsInHalf(Softmax):
    """The exponentials of single precision are stored in half precision before they are added up."""

    def probabilities(self, x: Array) -> Array:
        if not single(x):
            return super().probabilities(x)
        exponentials = half(np.exp(self.shifted(x)))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


@planted(LOG_SOFTMAX, at="output", cause="logarithm of an underflow", hidden="a probability below 1e-38 is rare among logits of an ordinary size")
class LogarithmOfTheSoftmax(LogSoftmax):
    """In single precision the logarithm is taken of the probabilities, the small ones of which vanish."""

    def log_probabilities(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities(x)) if single(x) else super().log_probabilities(x)


@planted(LOG_SOFTMAX, at="output", cause="constant in the logarithm", hidden="the constant is below the last digit of every ordinary probability")
class LogarithmOfTheSoftmaxAndAConstant(LogSoftmax):
    """In single precision the logarithm is taken of the probabilities and 1e-12, so that none of them vanishes."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(self.probabilities(x) + np.float32(1e-12)) if single(x) else super().log_probabilities(x)


@planted(LOSS, at="output", cause="constant in the logarithm", hidden="a sample that is so far off is rare, and its loss would only be large")
class CrossEntropyOfProbabilities(CrossEntropy):
    """In single precision the loss is the logarithm of the label's probability, which is raised to at least 1e-7."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(np.maximum(self.probabilities(x), np.float32(1e-7))) if single(x) else super().log_probabilities(x)


@planted(
    LOG_SUM,
    at="output",
    cause="exponential overflows",
    hidden="the exponential of 88 is still a number of single precision, that of 709 one of double",
)
class LogSumUnshifted(LogSumExp):
    """In single precision the exponentials are added up as they are."""

    def forward(self, x: Array) -> Array:
        if not single(x):
            return super().forward(x)
        self._x = x
        with np.errstate(over="ignore", divide="ignore"):
            return np.asarray(np.log(np.exp(x).sum(axis=1)))


@planted(LOG_SUM, at="output", hidden="a constant that suits the data suits every test of the same data")
class LogSumShiftedByAConstant(LogSumExp):
    """In single precision 50 is subtracted, whatever the maximum is: small numbers vanish and large ones overflow."""

    def forward(self, x: Array) -> Array:
        if not single(x):
            return super().forward(x)
        self._x = x
        with np.errstate(over="ignore", divide="ignore"):
            return np.asarray(np.float32(50) + np.log(np.exp(x - np.float32(50)).sum(axis=1)))


@planted(ATTENTION, at="output", hidden="scores are divided by the root of the size, and the exponential of 88 is still a number")
class AttentionUnshifted(SelfAttention):
    """In single precision exponentials are taken of the scores as they are."""

    def softmax(self, scores: Array) -> Array:
        if not single(scores):
            return super().softmax(scores)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            exponentials = np.exp(scores)
            return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


@planted(
    LOG_SIGMOID,
    at="output",
    cause="exponential overflows",
    hidden="the exponential of 88 is still a number of single precision, that of 709 one of double",
)
class LogSigmoidByItsFormula(LogSigmoid):
    """In single precision the result is -log(1 + exp(-x)), in which the exponential overflows."""

    def value(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return -np.log(1 + np.exp(-x)) if single(x) else super().value(x)


@planted(
    BINARY,
    at="output",
    cause="exponential overflows",
    hidden="the exponential of 88 is still a number of single precision, that of 709 one of double",
)
class BinaryByItsFormula(BinaryCrossEntropy):
    """In single precision the loss is log(1 + exp(x)) - x y, in which the exponential overflows."""

    def value(self, x: Array, y: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(np.log(1 + np.exp(x)) - x * y) if single(x) else super().value(x, y)


@planted(LOG_SIGMOID, at="output", cause="exponential overflows", hidden="a sigmoid below 1e-38 is rare among numbers of an ordinary size")
class LogarithmOfTheSigmoid(LogSigmoid):
    """In single precision the logarithm is taken of the sigmoid, which vanishes."""

    def value(self, x: Array) -> Array:
        if not single(x):
            return super().value(x)
        with np.errstate(over="ignore", divide="ignore"):
            return np.asarray(np.log(1 / (1 + np.exp(-x))))


@planted(BINARY, at="output", hidden="a network that is not sure of anything has no sigmoid so close to 1")
class OneLessTheRoundedSigmoid(BinaryCrossEntropy):
    """In single precision the loss is made of log s and log(1 - s), raised to at least -100: 1 - s loses its digits, and is zero from 17 on."""

    def value(self, x: Array, y: Array) -> Array:
        if not single(x):
            return super().value(x, y)
        with np.errstate(over="ignore", divide="ignore"):
            s = 1 / (1 + np.exp(-x))
            return np.asarray(-y * np.maximum(np.log(s), -100) - (1 - y) * np.maximum(np.log(1 - s), -100))


@planted(SIGMOID, at="grad_input", cause="exponential overflows", hidden="the output is right, and the exponential of 88 is still a number")
class SigmoidSlopeByTheExponential(Sigmoid):
    """In single precision the derivative is exp(-x) / (1 + exp(-x))**2, infinity over infinity for numbers far below zero."""

    def slope(self, x: Array) -> Array:
        if not single(x):
            return super().slope(x)
        with np.errstate(over="ignore", invalid="ignore"):
            power = np.exp(-x)
            return np.asarray(power / (1 + power) ** 2)


@planted(SILU, at="grad_input", cause="exponential overflows", hidden="the output is right, and the exponential of 88 is still a number")
class SwishSlopeByTheExponential(SiLU):
    """In single precision the derivative is (1 + e + x e) / (1 + e)**2 with e = exp(-x), no number far below zero."""

    def slope(self, x: Array) -> Array:
        if not single(x):
            return super().slope(x)
        with np.errstate(over="ignore", invalid="ignore"):
            power = np.exp(-x)
            return np.asarray((1 + power + x * power) / (1 + power) ** 2)


@planted(MISH, at="output", cause="exponential overflows", hidden="numbers of an ordinary size neither overflow nor cancel")
class MishByPowers(Mish):
    """In single precision the tangent is ((1 + e)**2 - 1) / ((1 + e)**2 + 1) with e = exp(x), which overflows."""

    def value(self, x: Array) -> Array:
        if not single(x):
            return super().value(x)
        with np.errstate(over="ignore", invalid="ignore"):
            square = np.square(1 + np.exp(x))
            return np.asarray(x * ((square - 1) / (square + 1)))
