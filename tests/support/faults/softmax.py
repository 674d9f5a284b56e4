"""Faults in softmax and its logarithm."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.loss import LogSoftmax, Softmax

SOFTMAX = Host("softmax", Softmax, lambda kind: Pair(kind(), nn.Softmax(dim=1), shapes=[(4, 6)], name="softmax"))
# As many samples as classes: axes that are exchanged still fit.
EVEN = Host("softmax-even", Softmax, lambda kind: Pair(kind(), nn.Softmax(dim=1), shapes=[(6, 6)], name="softmax-even"))
LOG_SOFTMAX = Host("log-softmax", LogSoftmax, lambda kind: Pair(kind(), nn.LogSoftmax(dim=1), shapes=[(4, 6)], name="log-softmax"))


@planted(SOFTMAX, at="output", cause="wrong axis", hidden="everything lies between 0 and 1 and adds up to 1, along the other axis")
class OverTheBatch(Softmax):
    """Probabilities are normalised over the samples, where it has to be over the classes."""

    def probabilities(self, x: Array) -> Array:
        return super().probabilities(x.T).T


@planted(
    EVEN,
    at="output",
    cause="wrong axis",
    hidden="shapes fit where a batch has as many samples as there are classes; otherwise an exception is raised",
)
class SumWithoutKeptAxis(Softmax):
    """The sums of the rows are a vector, which NumPy aligns with the columns."""

    def probabilities(self, x: Array) -> Array:
        exponentials = np.exp(self.shifted(x))
        return np.asarray(exponentials / exponentials.sum(axis=1))


@planted(SOFTMAX, at="output", cause="exponential overflows", hidden="logits of usual size are right to the last digit")
class NoShift(Softmax):
    """Exponentials are taken of the logits as they are, without their maximum subtracted."""

    def shifted(self, x: Array) -> Array:
        return x


@planted(
    SOFTMAX, at="output", cause="exponential overflows", hidden="a row whose logits lie far below those of another row is rare among random numbers"
)
class ShiftedByTheBatchsMaximum(Softmax):
    """The maximum of the whole batch is subtracted, so that the exponentials of a row may all vanish: nothing over nothing."""

    def shifted(self, x: Array) -> Array:
        return np.asarray(x - x.max())


@planted(SOFTMAX, at="grad_input", cause="edit: not reduced", hidden="the diagonal is the larger part of the derivative")
class DiagonalOfTheJacobianAlone(Softmax):
    """Each probability is taken to depend on its own logit alone: g p (1 - p), as for a sigmoid."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output * self._p * (1 - self._p)


@planted(SOFTMAX, at="grad_input", cause="derivative left out", hidden="where cross-entropy follows, many write p - y for both, and then it is right")
class SoftmaxDerivativeLeftOut(Softmax):
    """The cotangent is handed on as it is, as if the loss had differentiated both."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


@planted(SOFTMAX, at="grad_input", cause="edit: axes", hidden="with a batch of one both sums are the same")
class ProjectionOverTheBatch(Softmax):
    """The sum of p g is taken over everything, samples included."""

    def projection(self, grad_output: Array) -> Array:
        return np.asarray((self._p * grad_output).sum())


@planted(LOG_SOFTMAX, at="output", cause="logarithm of an underflow", hidden="no probability of a usual row vanishes")
class LogarithmOfAVanishedProbability(LogSoftmax):
    """The logarithm is taken of probabilities, minus infinity where one is too small to be a number."""

    def log_probabilities(self, x: Array) -> Array:
        return np.log(self.probabilities(x))


@planted(LOG_SOFTMAX, at="grad_input", cause="edit: left out", hidden="with a cotangent whose rows add up to 1 it is right")
class GradientWithoutTheTotal(LogSoftmax):
    """The cotangent's sum is forgotten: g - p."""

    def total(self, grad_output: Array) -> Array:
        return np.ones((len(grad_output), 1), grad_output.dtype)
