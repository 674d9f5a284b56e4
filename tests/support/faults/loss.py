"""Faults in the losses of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.loss import MSE, NLL, CrossEntropy, Labels, one_hot


def squared_error(x: torch.Tensor, labels: torch.Tensor) -> Any:
    """Return the mean square of the difference from 1 at the label and 0 elsewhere."""
    return nn.functional.mse_loss(x, nn.functional.one_hot(labels, x.shape[1]).to(x.dtype))


LOSS = Host("cross-entropy", CrossEntropy, lambda kind: Pair(kind(), nn.CrossEntropyLoss(), shapes=[(4, 10)], name="cross-entropy"))
LIKELIHOOD = Host("nll", NLL, lambda kind: Pair(kind(), nn.NLLLoss(), shapes=[(4, 10)], name="nll"))
SQUARES = Host("mse", MSE, lambda kind: Pair(kind(), squared_error, shapes=[(4, 5)], labels=True, name="mse"))


@planted(LOSS, at="output", cause="exponential overflows", hidden="logits of usual size are right to the last digit")
class NoShift(CrossEntropy):
    """Exponentials are taken of the logits as they are, without their maximum subtracted."""

    def shifted(self, x: Array) -> Array:
        return x


@planted(LOSS, at="output", cause="constant in the logarithm", hidden="1e-9 beside a probability of 0.1 changes the ninth digit of the loss")
class ConstantInTheLogarithm(CrossEntropy):
    """A small number is added to the probability, so that its logarithm exists."""

    def log_probabilities(self, x: Array) -> Array:
        return np.asarray(np.log(self.probabilities(x) + 1e-9))


@planted(LOSS, at="output", cause="constant in the logarithm", hidden="on logits of usual size nothing is clipped")
class ProbabilitiesClipped(CrossEntropy):
    """Probabilities are clipped to at least 1e-12, so that the loss of a confident mistake never exceeds 27.6."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(np.clip(self.probabilities(x), 1e-12, 1))


@planted(LOSS, at="output", cause="label off by one", hidden="a network learns shifted classes as well, and both losses start at log 10")
class LabelsCountedFromOne(CrossEntropy):
    """Labels are read as if they were counted from 1."""

    def targets(self, labels: Labels) -> Labels:
        return labels - 1


@planted(
    LOSS,
    at="grad_input",
    cause="label off by one",
    hidden="the loss itself is right, and its gradient is between -1 and 1 and adds up to zero in each row",
)
class LabelsCountedFromOneInTheGradient(CrossEntropy):
    """The gradient alone reads the labels as if they were counted from 1."""

    def hits(self, labels: Labels) -> Array:
        return one_hot((labels - 1) % self._x.shape[1], self._x)


@planted(LOSS, at="output", cause="softmax twice", hidden="it trains, slowly: probabilities of probabilities are nearly equal")
class SoftmaxTwice(CrossEntropy):
    """The network ends in a softmax, and the loss takes one more."""

    def log_probabilities(self, x: Array) -> Array:
        return super().log_probabilities(self.probabilities(x))


@planted(
    LOSS, at="grad_input", cause="one-hot left out", hidden="the loss is right; all logits fall together, and the gradient's size looks as it should"
)
class OneHotLeftOut(CrossEntropy):
    """The one-hot target is not subtracted in the gradient."""

    def hits(self, labels: Labels) -> Array:
        return np.zeros_like(self._x)


@planted(
    LOSS,
    at="grad_input",
    cause="labels smoothed",
    hidden="it differs from the right one by the smoothing alone, and the loss, which people look at, is right",
)
class LabelsSmoothedInTheGradient(CrossEntropy):
    """Labels are smoothed by 0.1 in the gradient, but not in the loss."""

    def hits(self, labels: Labels) -> Array:
        target = super().hits(labels)
        return np.asarray(0.9 * target + target.dtype.type(0.1) / target.shape[1])


@planted(LOSS, at="grad_input", cause="edit: left out", hidden="it looks like a larger learning rate, as large as the batch")
class GradientNotAveraged(CrossEntropy):
    """The loss is a mean over the batch, its gradient that of a sum."""

    def count(self) -> int:
        return 1


@planted(LOSS, at="grad_input", cause="edit: number", hidden="with a batch of one there is nothing to divide by")
class GradientDividedTwice(CrossEntropy):
    """The gradient is divided by the batch size twice, by the loss and by the one who calls it."""

    def count(self) -> int:
        return len(self._x) ** 2


@planted(LOSS, at="output", cause="edit: left out", hidden="with a batch of one it is the same, and its curve falls like the right one")
class SumForMean(CrossEntropy):
    """The loss is the sum over the batch, where the mean is declared."""

    def mean(self, losses: Array) -> Array:
        return np.asarray(losses.sum())


@planted(LOSS, at="output", cause="edit: mean", hidden="its curve has the right shape, ten times as small")
class AveragedOverClasses(CrossEntropy):
    """The products of target and log p are averaged over samples and classes, most of them zero."""

    def mean(self, losses: Array) -> Array:
        return np.asarray(losses.mean() / self._x.shape[1])


@planted(LOSS, at="output", cause="edit: log", hidden="its curve has the right shape, in bits")
class LogarithmToTheBaseTwo(CrossEntropy):
    """The loss is measured in bits, its gradient is that of nats."""

    def mean(self, losses: Array) -> Array:
        return np.asarray(losses.mean() / np.log(2))


@planted(LOSS, at="output", hidden="with a batch of one it is right, and the mean of many logarithms looks as it should")
class EveryLabelForEverySample(CrossEntropy):
    """Columns are picked for all rows at once, ``p[:, labels]``: each sample is judged by the labels of the whole batch."""

    def own(self, values: Array, labels: Labels) -> Array:
        return values[:, labels]


@planted(
    LOSS,
    at="grad_input",
    cause="upstream gradient ignored",
    hidden="a loss at the end of a network gets a cotangent of 1; one that is weighted, or scaled for half precision, does not",
)
class CotangentIgnored(CrossEntropy):
    """The cotangent is taken to be 1."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(np.ones_like(grad_output))


@planted(LOSS, at="grad_input", cause="upstream gradient twice", hidden="a loss at the end of a network gets a cotangent of 1, whose square is 1")
class CotangentTwice(CrossEntropy):
    """The gradient is multiplied by the cotangent where it is made, and once more where it is handed on."""

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(super().backward(grad_output) * grad_output)


@planted(
    LOSS,
    at="grad_input",
    cause="size in the code",
    hidden="every batch of the size that the code was written with is right; the last one of an epoch is smaller",
)
class BatchSizeInTheGradient(CrossEntropy):
    """The gradient is divided by four, the batch size of the day."""

    def count(self) -> int:
        return 4


@planted(LIKELIHOOD, at="output", cause="edit: sign", hidden="its size is right; a loss that grows while the network learns is noticed late")
class SignForgotten(NLL):
    """The logarithms are averaged without their minus."""

    def losses(self, x: Array, labels: Labels) -> Array:
        return -super().losses(x, labels)


@planted(LIKELIHOOD, at="grad_input", hidden="together with a softmax whose derivative is left out it is right")
class GradientOfSoftmaxIncluded(NLL):
    """The gradient is exp(x) - onehot, that of the logits, although the input is log-probabilities."""

    def gradient(self) -> Array:
        return np.exp(self._x) + super().gradient()


@planted(SQUARES, at="grad_input", cause="edit: left out", hidden="it looks like half the learning rate, and half the square is a loss in use, too")
class TwoForgotten(MSE):
    """The derivative of a square is taken to be the difference, without its 2."""

    def gradient(self) -> Array:
        return super().gradient() / 2


@planted(SQUARES, at="grad_input", cause="edit: number", hidden="it looks like a larger learning rate")
class SquaresAveragedOverSamples(MSE):
    """The gradient is that of a mean over samples, the loss one over samples and classes."""

    def count(self) -> int:
        return len(self._x)


@planted(SQUARES, at="grad_input", cause="edit: sign", hidden="the loss is symmetric: it is right, and its gradient's size is")
class DifferenceReversed(MSE):
    """The derivative is 2 (y - x), of a difference that is written the other way round."""

    def gradient(self) -> Array:
        return -super().gradient()


@planted(SQUARES, at="output", cause="edit: extra", hidden="it has its minimum in the same place, and people report it under the same name")
class RootOfTheMean(MSE):
    """The square root of the mean is returned, with the gradient of the mean."""

    def mean(self, losses: Array) -> Array:
        return np.asarray(np.sqrt(losses.mean()))
