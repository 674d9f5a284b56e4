"""Faults in batch normalisation."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.normalisation import BatchNorm

ROWS = Host("batch norm of rows", BatchNorm, lambda kind: Pair(kind(4), nn.BatchNorm1d(4), shapes=[(6, 4)], name="batchnorm1d"))
IMAGES = Host("batch norm of images", BatchNorm, lambda kind: Pair(kind(3), nn.BatchNorm2d(3), shapes=[(4, 3, 5, 6)], name="batchnorm2d"))


@planted(IMAGES, at="running_var", cause="biased variance", hidden="of 120 numbers a channel the two variances differ by 0.8 %, a tenth of it a step")
class RunningVarianceBiased(BatchNorm):
    """The running variance is that of the biased variance of the batch."""

    def unbiased(self, variance: Array) -> Array:
        return variance


@planted(ROWS, at="running_mean", cause="momentum the other way round", hidden="training never reads running statistics, and its output is right")
class MomentumReversed(BatchNorm):
    """Momentum is the share of what was there before: Keras' convention with PyTorch's number."""

    def moved(self, old: Array, new: Array) -> Array:
        return super().moved(new, old)


@planted(ROWS, at="running_mean", cause="running statistics not updated", hidden="training never reads running statistics, and its output is right")
class RunningStatisticsStay(BatchNorm):
    """The running statistics are never moved: evaluation normalises by mean 0 and variance 1."""

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        """Do nothing."""


@planted(ROWS, at="running_mean", cause="running statistics not decayed", hidden="training never reads running statistics, and its output is right")
class RunningStatisticsPileUp(BatchNorm):
    """The share of a batch is added to the running statistics, which are not made smaller before."""

    def moved(self, old: Array, new: Array) -> Array:
        return np.asarray(old + self.momentum * new)


@planted(ROWS, at="running_var", cause="standard deviation for variance", hidden="near a variance of 1 the deviation hardly differs from it")
class RunningDeviation(BatchNorm):
    """The standard deviation is averaged where the variance is due."""

    def unbiased(self, variance: Array) -> Array:
        return np.sqrt(super().unbiased(variance))


@planted(IMAGES, at="output", cause="epsilon outside the root", hidden="where the variance is 1 it changes 5e-6 of the output")
class EpsilonOutsideTheRoot(BatchNorm):
    """Epsilon is added to the standard deviation, not to the variance under the root."""

    def deviation(self, variance: Array) -> Array:
        return np.asarray(np.sqrt(variance) + self.eps)


@planted(IMAGES, at="output", cause="epsilon", hidden="where the variance is 1 it changes 5e-4 of the output: within 1e-3")
class EpsilonOfKeras(BatchNorm):
    """Epsilon is 1e-3, Keras' default."""

    def deviation(self, variance: Array) -> Array:
        return np.asarray(np.sqrt(variance + 1e-3))


@planted(IMAGES, at="output", cause="epsilon", hidden="where the variance is 1 it changes 5e-6 of the output: within float32's usual 1e-5")
class EpsilonTooSmall(BatchNorm):
    """Epsilon is 1e-8, as in Adam."""

    def deviation(self, variance: Array) -> Array:
        return np.asarray(np.sqrt(variance + 1e-8))


@planted(IMAGES, at="output", cause="epsilon", hidden="where the variance is 1 it changes 5e-6 of the output; few channels are constant")
class EpsilonMissing(BatchNorm):
    """No epsilon: a constant channel is divided by zero."""

    def deviation(self, variance: Array) -> Array:
        return np.asarray(np.sqrt(variance))


@planted(ROWS, at="output", cause="unbiased variance", hidden="in a batch of 128 images of 28x28 the variances differ by 1e-5")
class NormalisedByUnbiasedVariance(BatchNorm):
    """The batch is normalised by the unbiased variance (ddof=1)."""

    def deviation(self, variance: Array) -> Array:
        return super().deviation(self.unbiased(variance)) if self.training else super().deviation(variance)


@planted(IMAGES, at="output", cause="one-pass variance", hidden="without a common offset nothing cancels; in float64 twelve digits are left")
class OnePassVariance(BatchNorm):
    """The variance is the mean of squares less the square of the mean, which cancels."""

    def variance(self, x: Array, mean: Array) -> Array:
        return np.asarray(np.maximum(np.square(x).mean(axis=self.axes(), keepdims=True) - np.square(mean), 0))


@planted(IMAGES, at="output", cause="statistics over the wrong axes", hidden="the shapes fit, and each number is normalised by something")
class StatisticsPerElement(BatchNorm):
    """Statistics are over the batch alone, one for each pixel: normalisation of rows applied to images."""

    def batch_statistics(self, x: Array) -> tuple[Array, Array]:
        return x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        if self.training:
            super().keep(x, *super().batch_statistics(x))


@planted(IMAGES, at="output", cause="statistics over the wrong axes", hidden="every sample comes out with mean 0 and variance 1, as does the batch")
class StatisticsPerSample(BatchNorm):
    """Statistics are over the positions of each sample: instance normalisation."""

    def batch_statistics(self, x: Array) -> tuple[Array, Array]:
        return x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True)

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        if self.training:
            super().keep(x, *super().batch_statistics(x))


@planted(ROWS, at="output", cause="statistics over the wrong axes", hidden="each row comes out with mean 0 and variance 1")
class StatisticsPerRow(BatchNorm):
    """Statistics are over the features of each sample: layer normalisation."""

    def batch_statistics(self, x: Array) -> tuple[Array, Array]:
        return x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        if self.training:
            super().keep(x, *super().batch_statistics(x))


@planted(ROWS, at="output", cause="running statistics in training", hidden="at the first step they are 0 and 1, as those of normal numbers are")
class RunningStatisticsInTraining(BatchNorm):
    """Training normalises by the running statistics."""

    def statistics(self, x: Array) -> tuple[Array, Array]:
        return self.by_channel(self.running_mean), self.by_channel(self.running_var)

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        super().keep(x, *self.batch_statistics(x))


@planted(
    ROWS,
    at="output",
    cause="batch statistics in evaluation",
    hidden="training is right, and evaluation on large batches hardly differs",
)
class BatchStatisticsInEvaluation(BatchNorm):
    """Evaluation normalises by the statistics of the batch."""

    def statistics(self, x: Array) -> tuple[Array, Array]:
        return self.batch_statistics(x)


@planted(
    ROWS,
    at="running_mean",
    cause="running statistics updated in evaluation",
    hidden="training is right, and so is the output of the first evaluation",
)
class RunningStatisticsMoveInEvaluation(BatchNorm):
    """Evaluation moves the running statistics, so that test data leak into the model."""

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        mode, self.training = self.training, True
        super().keep(x, *self.batch_statistics(x))
        self.training = mode


@planted(ROWS, at="output", cause="scale left out", hidden="gamma begins as 1")
class ScaleForgotten(BatchNorm):
    """Gamma is not applied."""

    def forward(self, x: Array) -> Array:
        super().forward(x)
        return np.asarray(self._normalised + self.by_channel(self.params["bias"]))


@planted(ROWS, at="grad_input", cause="scale left out", hidden="gamma begins as 1")
class ScaleForgottenInGradient(BatchNorm):
    """Gamma is left out of the input's gradient."""

    def input_gradient(self, grad_output: Array) -> Array:
        weight, self.params = self.params, {**self.params, "weight": np.ones_like(self.params["weight"])}
        gradient = super().input_gradient(grad_output)
        self.params = weight
        return gradient


@planted(ROWS, at="grad_input", cause="mean term left out", hidden="the other two terms are right, and training goes on")
class MeanTermLeftOut(BatchNorm):
    """Nothing reaches the input through the mean."""

    def through_mean(self, h: Array) -> Array:
        return np.zeros_like(h)


@planted(ROWS, at="grad_input", cause="variance term left out", hidden="with a cotangent of ones that term is zero")
class VarianceTermLeftOut(BatchNorm):
    """Nothing reaches the input through the variance."""

    def through_variance(self, h: Array) -> Array:
        return np.zeros_like(h)


@planted(ROWS, at="grad_input", cause="statistics treated as constants", hidden="training goes on, and the loss falls")
class StatisticsTakenForConstants(BatchNorm):
    """Mean and variance are taken for constants: the gradient of evaluation in training."""

    def through_statistics(self) -> bool:
        return False


@planted(
    ROWS,
    at="grad_input",
    cause="training gradient in evaluation",
    hidden="gradients in evaluation are used only in fine-tuning with frozen statistics",
)
class GradientOfTrainingInEvaluation(BatchNorm):
    """The gradient in evaluation passes through statistics that are constants there."""

    def through_statistics(self) -> bool:
        return True


@planted(IMAGES, at="grad_input", cause="samples counted, not elements", hidden="of rows the number of samples is the number of elements")
class SamplesCounted(BatchNorm):
    """The sums in the input's gradient are divided by the number of samples, where there are as many terms as samples times pixels."""

    def averaged(self, values: Array) -> Array:
        return np.asarray(values.sum(axis=self.axes(), keepdims=True) / values.dtype.type(len(values)))


@planted(ROWS, at="weight.grad", cause="input not normalised", hidden="of normal numbers the input is nearly the normalised one")
class ScaleGradientOfInput(BatchNorm):
    """Gamma's gradient is formed with the input, not with the normalised input."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return np.asarray((grad_output * self._x).sum(axis=self.axes()))


@planted(ROWS, at="weight.grad", cause="gradients exchanged", hidden="both have the same shape, and training goes on")
class GradientsExchanged(BatchNorm):
    """Gamma and beta have each other's gradient."""

    def backward(self, grad_output: Array) -> Array:
        gradient = super().backward(grad_output)
        self.grads = {"weight": self.grads["bias"], "bias": self.grads["weight"]}
        return gradient


@planted(IMAGES, at="bias.grad", cause="edit: divided", hidden="with a batch of one the mean is the sum")
class BiasGradientAveraged(BatchNorm):
    """Beta's gradient is averaged over the batch, where it has to be summed."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output) / grad_output.dtype.type(len(grad_output))
