"""Faults that are right on the declared sizes, and show on others: images that are not square, odd sizes, longer sequences, a single sample.

Each host is declared with sizes on which its fault is right, in every precision and on every family of inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.convolution import SAME
from tests.support.faults.fault import Host, planted
from tests.support.right_ways.modules.alone import Alone, everything
from tests.textbook.convolution import Conv2d
from tests.textbook.linear import Linear
from tests.textbook.pooling import AdaptiveAvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d, RaggedAvgPool2d
from tests.textbook.recurrent import RNN
from tests.textbook.sequences import BlockedProduct, DotProductAttention, MeanOverTime, Positions, PrefixSums
from tests.textbook.spatial import PixelShuffle
from tests.textbook.standardised import LayerNorm

CONV = Host(
    # Square images, which the stride divides.
    "sizes-conv",
    Conv2d,
    lambda kind: Pair(kind(2, 3, (3, 3), 2, 1), nn.Conv2d(2, 3, 3, 2, 1), shapes=[(3, 2, 7, 7)], params=SAME, name="sizes-conv"),
)
RAGGED = Host(
    "sizes-ragged",
    RaggedAvgPool2d,
    lambda kind: Pair(kind((2, 2), 2), nn.AvgPool2d(2, ceil_mode=True), shapes=[(3, 2, 6, 4)], name="sizes-ragged"),
)
MAXPOOL = Host("sizes-maxpool", MaxPool2d, lambda kind: Pair(kind((2, 2), 2), nn.MaxPool2d(2), shapes=[(3, 2, 6, 4)], name="sizes-maxpool"))
ADAPTIVE = Host(
    "sizes-adaptive", AdaptiveAvgPool2d, lambda kind: Pair(kind((2, 2)), nn.AdaptiveAvgPool2d(2), shapes=[(3, 2, 6, 4)], name="sizes-adaptive")
)
MEAN = Host(
    "sizes-mean",
    GlobalAvgPool2d,
    lambda kind: Pair(kind(), lambda x: x.mean(dim=(2, 3)), shapes=[(3, 2, 5, 5)], framework="torch", name="sizes-mean"),
)
MAXIMUM = Host(
    "sizes-maximum",
    GlobalMaxPool2d,
    lambda kind: Pair(kind(), nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), shapes=[(3, 2, 11, 11)], name="sizes-maximum"),
)
SHUFFLE = Host("sizes-shuffle", PixelShuffle, lambda kind: Pair(kind(2), nn.PixelShuffle(2), shapes=[(3, 8, 3, 3)], name="sizes-shuffle"))
NORM = Host(
    # As many samples as features.
    "sizes-norm",
    LayerNorm,
    lambda kind: Pair(kind((6,)), nn.LayerNorm(6), shapes=[(6, 6)], params=SAME, name="sizes-norm"),
)
LINEAR = Host("sizes-linear", Linear, lambda kind: Pair(kind(4, 3), nn.Linear(4, 3), shapes=[(6, 4)], params=SAME, name="sizes-linear"))
POSITIONS = Host("sizes-positions", Positions, lambda kind: Pair(kind(), _positions, shapes=[(3, 8, 6)], framework="torch", name="sizes-positions"))
SUMS = Host(
    "sizes-sums", PrefixSums, lambda kind: Pair(kind(), lambda x: torch.cumsum(x, 1), shapes=[(3, 8, 2)], framework="torch", name="sizes-sums")
)
TIME = Host("sizes-time", MeanOverTime, lambda kind: Pair(kind(), lambda x: x.mean(dim=1), shapes=[(3, 5, 4)], framework="torch", name="sizes-time"))


class OneOutput(Linear):
    """A number for each sample, without an axis of its own."""

    def forward(self, x: Array) -> Array:
        return self.without_its_axis(super().forward(x))

    def without_its_axis(self, column: Array) -> Array:
        return column[:, 0].copy()

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output.reshape(-1, 1))


def _one_output(kind: Any) -> Pair:
    module = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    return Pair(kind(4, 1), module, shapes=[(5, 4)], params=SAME, name="sizes-one")


ONE = Host("sizes-one", OneOutput, _one_output)


def _recurrent(kind: Any) -> Pair:
    module = Alone(nn.RNN(4, 3, batch_first=True), lambda own, x: everything(own(x)))
    params = {name: f"own.{name}" for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")}
    return Pair(kind(4, 3), module, shapes=[(3, 4, 4)], params=params, name="sizes-recurrent")


RECURRENT = Host("sizes-recurrent", RNN, _recurrent)


def _positions(x: torch.Tensor) -> torch.Tensor:
    time, features = x.shape[1:]
    place = torch.arange(time, dtype=x.dtype)[:, None]
    rate = torch.exp(torch.arange(0, features, 2, dtype=x.dtype) * (-math.log(10000) / features))
    table = torch.zeros(time, features, dtype=x.dtype)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)[:, : features // 2]
    return x + table


@planted(CONV, at="output", hidden="images are square in most examples")
class ColumnsCountedAsRows(Conv2d):
    """The number of output columns is computed from the image's height."""

    def windows(self, padded: Array) -> Array:
        every = super().windows(padded)
        return every[:, :, :, : every.shape[2]]


@planted(CONV, at="output", hidden="sizes that the stride divides need no rounding")
class OutputSizeRoundedUp(Conv2d):
    """The output's size is rounded up, so that the last windows hang over the frame, where it has to be rounded down."""

    def padded(self, x: Array) -> Array:
        reach, p = self.params["weight"].shape[2:], self.padding
        more = (-(size + 2 * p - side) % self.stride for size, side in zip(x.shape[2:], reach, strict=True))
        return np.pad(x, ((0, 0), (0, 0), *((p, p + lacking) for lacking in more)))


@planted(RAGGED, at="output", hidden="sizes that the windows divide leave no window with fewer pixels")
class RaggedWindowsDividedByTheWholeKernel(RaggedAvgPool2d):
    """Windows that hang over the end are divided by the number of the kernel's pixels, not of their own."""

    def count(self) -> float | Array:
        return self.kernel[0] * self.kernel[1]


@planted(MAXPOOL, at="grad_input", hidden="sizes that the windows divide leave nothing over")
class GradientOfTheWindowsAlone(MaxPool2d):
    """The input's gradient lacks the last row and column, which fill no window and have to get zeros."""

    def cropped(self, grad: Array) -> Array:
        height, width = (size - size % self.stride for size in self._x.shape[2:])
        return grad[:, :, :height, :width].copy()


@planted(ADAPTIVE, at="output", hidden="sizes that the number of regions divides have regions of one size")
class RegionsOfOneSize(AdaptiveAvgPool2d):
    """All regions are as long as the size divided by their number, rounded down: the rest of the image belongs to none."""

    def ends(self, place: int, places: int, size: int) -> slice:
        length = size // places
        return slice(place * length, (place + 1) * length)


@planted(MEAN, at="grad_input", hidden="images are square in most examples")
class GradientDividedByTheSquareOfTheHeight(GlobalAvgPool2d):
    """The gradient of the mean is divided by height times height."""

    def count(self, height: int, width: int) -> int:
        return height * height


@planted(MAXIMUM, at="grad_input", hidden="images of a test are small: their places fit into eight bits")
class PlacesInEightBits(GlobalMaxPool2d):
    """The winner's place is kept in eight bits, which end at 127."""

    def kept(self, winners: npt.NDArray[np.intp]) -> npt.NDArray[np.integer[Any]]:
        return winners.astype(np.int8)


@planted(
    SHUFFLE,
    at="output",
    cause="edit: shape",
    hidden="images are square in most examples, and for others the number of elements is right, too",
)
class HeightAndWidthSwapped(PixelShuffle):
    """The reshape before the transposition takes the width for the height."""

    def forward(self, x: Array) -> Array:
        n, c, h, w = x.shape
        r = self.factor
        return x.reshape(n, c // r**2, r, r, w, h).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, r * h, r * w)


@planted(NORM, at="output", hidden="with as many samples as features both are the same number")
class SumsDividedByTheNumberOfSamples(LayerNorm):
    """Mean and variance are the sums over the features, divided by the number of samples."""

    def mean(self, groups: Array) -> Array:
        return np.asarray(groups.sum(axis=-1, keepdims=True) / len(groups))


@planted(LINEAR, at="contract-many_samples_work", hidden="all batches of a training have this size, but the last")
class BiasGradientOfSixSamples(Linear):
    """The loop over samples ends after the sixth, the batch size when it was written."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return np.asarray(grad_output[:6].sum(axis=0))


@planted(ONE, at="output", hidden="a batch of one comes up when the network is used, not when it is trained")
class BatchOfOneSqueezed(OneOutput):
    """squeeze() takes away every axis of length 1: for a single sample the batch's as well."""

    def without_its_axis(self, column: Array) -> Array:
        return column.squeeze().copy()


@planted(RECURRENT, at="grad_input", hidden="with four steps or fewer nothing is cut off, and the output is always right")
class BackThroughFourStepsOnly(RNN):
    """The gradient goes back through the last four steps and no further."""

    def way_back(self, time: int) -> Iterable[int]:
        return list(super().way_back(time))[:4]


@planted(POSITIONS, at="output", hidden="sequences of a test are no longer than the table")
class PositionsOfEightSteps(Positions):
    """The table was made for eight steps; later ones begin again at its first row."""

    def table(self, time: int, features: int) -> Array:
        return super().table(8, features)[np.arange(time) % 8]


@planted(SUMS, at="output", hidden="up to eight steps three doublings are enough")
class ThreeDoublings(PrefixSums):
    """The number of doublings is fixed at three."""

    def rounds(self, time: int) -> int:
        return min(3, super().rounds(time))


@planted(TIME, at="contract-another_size_works", hidden="sequences of a test have one length, and the first call is always right")
class LengthOfTheFirstSequence(MeanOverTime):
    """The length is taken from the first sequence that comes, and kept."""

    length = 0

    def steps(self, x: Array) -> int:
        self.length = self.length or super().steps(x)
        return self.length


ATTENTION = Host("sizes-attention", DotProductAttention, lambda kind: _attention(kind, causal=False))
CAUSAL = Host("sizes-causal", DotProductAttention, lambda kind: _attention(kind, causal=True))
BLOCKED = Host(
    "sizes-blocked",
    BlockedProduct,
    lambda kind: Pair(
        kind(4),
        torch.matmul,
        inputs={"a": "rows inner", "b": "inner columns"},
        sizes={"rows": 3, "inner": 8, "columns": 5},
        framework="torch",
        name="sizes-blocked",
    ),
)


def _attention(kind: Any, causal: bool) -> Pair:
    def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

    # As many queries as keys, and as many of each as features.
    return Pair(
        kind(causal),
        reference,
        inputs={"query": "batch queries features", "key": "batch keys features", "value": "batch keys features"},
        sizes={"batch": 3, "queries": 5, "keys": 5, "features": 5},
        framework="torch",
        name="sizes-causal" if causal else "sizes-attention",
    )


@planted(ATTENTION, at="output", hidden="with as many keys as features both are the same number")
class ScaledByTheNumberOfKeys(DotProductAttention):
    """The scores are divided by the root of the number of keys, not of features."""

    def divisor(self, query: Array, key: Array) -> int:
        return int(key.shape[1])


@planted(CAUSAL, at="output", hidden="with as many queries as keys both masks are the same")
class MaskAlignedToTheEnd(DotProductAttention):
    """The last query sees all keys, where the first query has to see the first key alone."""

    def visible(self, queries: int, keys: int) -> Array:
        return np.tri(queries, keys, keys - queries, dtype=bool)


@planted(BLOCKED, at="output", hidden="a length that the block divides has no remainder")
class RemainderOfTheBlocksLeftOut(BlockedProduct):
    """The loop over blocks ends with the last whole one."""

    def reach(self, inner: int) -> int:
        return inner - inner % self.block
