"""Sums, means and variances that are right in double precision and lose digits in single."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.convolution import CONV
from tests.support.faults.fault import Host, planted
from tests.support.faults.linear import LINEAR
from tests.support.faults.normalisation import IMAGES
from tests.support.faults.single.precision import brain, half, single, tensor_float
from tests.support.right_ways.modules.alone import Alone, beside, between, everything, numbers
from tests.textbook.attention import SelfAttention
from tests.textbook.convolution import Conv2d
from tests.textbook.distances import Beside, PairwiseDistance, SquaredDifference
from tests.textbook.linear import Linear
from tests.textbook.normalisation import BatchNorm
from tests.textbook.recurrent import LSTM
from tests.textbook.standardised import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, RMSNorm, RowMean

SAME = {"weight": "weight", "bias": "bias"}
TARGET = numbers(5, 7)

LAYER = Host("layer norm", LayerNorm, lambda kind: Pair(kind((16,)), nn.LayerNorm(16), shapes=[(4, 3, 16)], params=SAME, name="layer norm"))
GROUP = Host("group norm", GroupNorm, lambda kind: Pair(kind(2, 4), nn.GroupNorm(2, 4), shapes=[(3, 4, 5)], params=SAME, name="group norm"))
INSTANCE = Host("instance norm", InstanceNorm, lambda kind: Pair(kind(3), nn.InstanceNorm2d(3), shapes=[(3, 3, 4, 5)], name="instance norm"))
ROOT = Host(
    "rms norm",
    RMSNorm,
    lambda kind: Pair(kind(16, 1e-5), nn.RMSNorm(16, 1e-5), shapes=[(4, 3, 16)], params={"weight": "weight"}, name="rms norm"),
)
RESPONSE = Host("local response", LocalResponseNorm, lambda kind: Pair(kind(3), nn.LocalResponseNorm(3), shapes=[(3, 6, 4)], name="local response"))
MEAN = Host(
    "mean of rows", RowMean, lambda kind: Pair(kind(), lambda x: torch.mean(x, 1), shapes=[(3, 2500)], framework="torch", name="mean of rows")
)
SQUARES = Host(
    "squared error", SquaredDifference, lambda kind: Pair(kind(TARGET.numpy()), beside(nn.MSELoss(), TARGET), shapes=[(5, 7)], name="squared error")
)
DISTANCE = Host("distance", PairwiseDistance, lambda kind: Pair(kind(), between(nn.PairwiseDistance()), shapes=[(4, 2, 6)], name="distance"))


def _prefixed(module: nn.Module) -> dict[str, str]:
    return {name.removeprefix("own."): name for name, _ in module.named_parameters()}


def _lstm(kind: Any) -> Pair:
    module = Alone(nn.LSTM(4, 3, batch_first=True), lambda own, x: everything(own(x)))
    return Pair(kind(4, 3), module, shapes=[(3, 4, 4)], params=_prefixed(module), name="lstm")


def _attention(kind: Any) -> Pair:
    module = Alone(nn.MultiheadAttention(8, 2, batch_first=True), lambda own, x: own(x, x, x, need_weights=False)[0])
    return Pair(kind(8, 2), module, shapes=[(3, 5, 8)], params=_prefixed(module), name="attention")


MEMORY = Host("lstm", LSTM, _lstm)
ATTENTION = Host("attention", SelfAttention, _attention)


def _one_pass(groups: Array, mean: Array) -> Array:
    return np.asarray(np.square(groups).mean(axis=-1, keepdims=True) - np.square(mean))


@planted(LAYER, at="output", hidden="rows whose mean is near zero lose nothing, and a test in double precision never gets there")
class LayerOnePass(LayerNorm):
    """In single precision the variance of a row is the mean of squares less the square of the mean, which cancels."""

    def variance(self, groups: Array, mean: Array) -> Array:
        return _one_pass(groups, mean) if single(groups) else super().variance(groups, mean)


@planted(LAYER, at="output", hidden="no root of a negative number is taken any more, and rows whose mean is near zero lose nothing")
class LayerOnePassCutOff(LayerNorm):
    """In single precision the variance is the mean of squares less the square of the mean, cut off at zero."""

    def variance(self, groups: Array, mean: Array) -> Array:
        return np.maximum(_one_pass(groups, mean), 0) if single(groups) else super().variance(groups, mean)


@planted(GROUP, at="output", hidden="channels whose mean is near zero lose nothing, and a test in double precision never gets there")
class GroupOnePass(GroupNorm):
    """In single precision the variance of a group is the mean of squares less the square of the mean, which cancels."""

    def variance(self, groups: Array, mean: Array) -> Array:
        return np.maximum(_one_pass(groups, mean), 0) if single(groups) else super().variance(groups, mean)


@planted(LAYER, at="output", hidden="the mean is right to three digits, and a tolerance of 1e-2 passes")
class LayerMeanInHalf(LayerNorm):
    """The mean of a row of single precision is kept in half precision."""

    def forward(self, x: Array) -> Array:
        self._rounds = single(x)
        return super().forward(x)

    def mean(self, groups: Array) -> Array:
        right = super().mean(groups)
        return half(right) if self._rounds else right


@planted(INSTANCE, at="output", cause="edit: format", hidden="the variance is right to three digits, and a tolerance of 1e-2 passes")
class InstanceSquaresInHalf(InstanceNorm):
    """The squares of single precision are stored in half precision before they are averaged."""

    def variance(self, groups: Array, mean: Array) -> Array:
        return self.mean(half(np.square(groups - mean))) if single(groups) else super().variance(groups, mean)


@planted(ROOT, at="output", hidden="a root is right to three digits, and a tolerance of 1e-2 passes")
class RootInHalf(RMSNorm):
    """The inverse root of single precision is kept in half precision."""

    def inverse_root(self, square: Array) -> Array:
        right = super().inverse_root(square)
        return half(right) if single(right) else right


@planted(ROOT, at="output", hidden="what is added up is right to three digits, and a tolerance of 1e-2 passes")
class SquaresAddedUpInHalf(RMSNorm):
    """The squares of single precision are added up one after another in half precision."""

    def mean_square(self, x: Array) -> Array:
        if not single(x):
            return super().mean_square(x)
        with np.errstate(over="ignore"):
            total = np.add.accumulate(half(np.square(x)).astype(np.float16), axis=-1, dtype=np.float16)[..., -1:]
        return np.asarray(np.minimum(total.astype(np.float32), 65504) / np.float32(x.shape[-1]))


@planted(IMAGES, at="output", hidden="a statistic is right to three digits, and a tolerance of 1e-2 passes")
class BatchStatisticsInHalf(BatchNorm):
    """Mean and variance of a batch of single precision are kept in half precision."""

    def batch_statistics(self, x: Array) -> tuple[Array, Array]:
        mean, variance = super().batch_statistics(x)
        return (half(mean), half(variance)) if single(x) else (mean, variance)


@planted(RESPONSE, at="output", hidden="channels of one size lose nothing; beside a large one all that is small is lost")
class WindowsByRunningSums(LocalResponseNorm):
    """In single precision the sum of a window is the difference of two running sums, which cancels beside a large channel."""

    def sums(self, padded: Array) -> Array:
        if not single(padded):
            return super().sums(padded)
        running = np.add.accumulate(padded, axis=1)
        before = np.concatenate([np.zeros_like(running[:, :1]), running[:, : -self.size]], axis=1)
        return np.asarray(running[:, self.size - 1 :] - before)


@planted(MEAN, at="output", cause="constant factor", hidden="a row of up to 2,048 numbers is counted right")
class CountedInHalf(RowMean):
    """In single precision the numbers are counted by adding ones in half precision, which ends at 2,048."""

    def count(self, x: Array) -> Array:
        return np.asarray(min(x.shape[1], 2048), dtype=x.dtype) if single(x) else super().count(x)


@planted(MEAN, at="output", cause="lower precision", hidden="a sum is right to three digits, and a tolerance of 1e-2 passes")
class AddedUpInHalf(RowMean):
    """The sum of a row of single precision is kept in half precision."""

    def total(self, x: Array) -> Array:
        right = super().total(x)
        return half(right) if single(x) else right


@planted(MEAN, at="output", hidden="the mean of numbers about zero is small, and its error, too")
class MeanMovedOnOneByOne(RowMean):
    """In single precision the mean is moved towards one number after another, by a share that is rounded to bfloat16."""

    def total(self, x: Array) -> Array:
        if not single(x):
            return super().total(x)
        mean = np.zeros(len(x), x.dtype)
        for index, share in enumerate(brain(np.float32(1) / np.arange(1, x.shape[1] + 1, dtype=np.float32))):
            mean += (x[:, index] - mean) * share
        return mean * np.float32(x.shape[1])


@planted(SQUARES, at="output", cause="lower precision", hidden="a mean of 35 numbers is right to three digits, and a tolerance of 1e-2 passes")
class LossesByHalves(SquaredDifference):
    """The losses of single precision are stored in half precision before they are averaged."""

    def mean(self, losses: Array) -> Array:
        return Beside.mean(self, half(losses) if single(losses) else losses)


def _multiplied_out(a: Array, b: Array) -> Array:
    return np.asarray((a * a).sum(axis=1) - 2 * (a * b).sum(axis=1) + (b * b).sum(axis=1))


@planted(DISTANCE, at="output", hidden="two rows that are far from each other lose nothing")
class DistanceMultipliedOut(PairwiseDistance):
    """In single precision the distance is the root of a a - 2 a b + b b, which cancels, and is no number where that is negative."""

    def distance(self, a: Array, b: Array) -> Array:
        if not single(a):
            return super().distance(a, b)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(_multiplied_out(a + a.dtype.type(self.eps), b)))


@planted(DISTANCE, at="output", hidden="two rows that are far from each other lose nothing, and no negative number gets to the root")
class DistanceMultipliedOutAndCutOff(PairwiseDistance):
    """In single precision the distance is the root of a a - 2 a b + b b, cut off at zero."""

    def distance(self, a: Array, b: Array) -> Array:
        return np.sqrt(np.maximum(_multiplied_out(a + a.dtype.type(self.eps), b), 0)) if single(a) else super().distance(a, b)


@planted(LINEAR, at="output", hidden="a tolerance of 1e-2, the usual one for half precision, passes")
class ProductsAddedUpInHalf(Linear):
    """The products of single precision are added up in half precision."""

    def product(self, x: Array) -> Array:
        if not single(x):
            return super().product(x)
        total = np.zeros((len(x), len(self.params["bias"])), np.float32)
        for column, weights in zip(x.T, self.params["weight"].T, strict=True):
            total = half(total + column[:, None] * weights)
        return total


@planted(CONV, at="weight.grad", cause="lower precision", hidden="a tolerance of 1e-3 passes, and a test in double precision never gets there")
class FactorsOfElevenBits(Conv2d):
    """The weight's gradient is formed from cotangents that were cut to the 11 bits of TF32."""

    def weight_gradient(self, grad_output: Array) -> Array:
        return super().weight_gradient(tensor_float(grad_output) if single(grad_output) else grad_output)


@planted(LINEAR, at="output", cause="lower precision", hidden="a tolerance of 1e-2, the usual one for bfloat16, passes")
class OutputOfEightBits(Linear):
    """The output of single precision is stored in bfloat16."""

    def forward(self, x: Array) -> Array:
        right = super().forward(x)
        return brain(right) if single(x) else right


@planted(MEMORY, at="output", hidden="gates saturate, so that two digits are enough for training")
class StateOfEightBits(LSTM):
    """The state of single precision is cut to the 8 bits of bfloat16 before its product."""

    def by_state(self, h: Array) -> Array:
        return super().by_state(brain(h) if single(h) else h)


@planted(ATTENTION, at="output", cause="edit: format", hidden="scores of an ordinary size are right to three digits, and the softmax evens them out")
class ScoresInHalf(SelfAttention):
    """The scores of single precision are kept in half precision."""

    def scores(self, queries: Array, keys: Array) -> Array:
        right = super().scores(queries, keys)
        return half(right) if single(right) else right
