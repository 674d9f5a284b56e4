"""Blind mistakes in batch normalisation and dropout."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.dropout import DROPOUT
from tests.support.faults.fault import planted
from tests.support.faults.normalisation import IMAGES, ROWS
from tests.textbook.dropout import Dropout, Mask
from tests.textbook.normalisation import BatchNorm


@planted(IMAGES, at="output", cause="unbiased variance", hidden="of 120 numbers, 0.4 %")
class NormalisedByUnbiased(BatchNorm):
    """The batch is normalised by the unbiased variance, torch.var's default; the running one is right."""

    def variance(self, x: Array, mean: Array) -> Array:
        return super().variance(x, mean) * (self.count() / (self.count() - 1))

    def unbiased(self, variance: Array) -> Array:
        return variance


@planted(IMAGES, at="grad_input", cause="edit: backward axes", hidden="right for rows, and the forward pass for images, too")
class BackwardOverTheBatchAlone(BatchNorm):
    """On the way back means are taken over the batch alone, as for rows."""

    def averaged(self, values: Array) -> Array:
        return np.asarray(values.mean(axis=0, keepdims=True))


@planted(ROWS, at="running_mean", hidden="training does not use them; after many batches it is forgotten")
class FirstBatchTaken(BatchNorm):
    """The running statistics start as those of the first batch."""

    _started = False

    def moved(self, old: Array, new: Array) -> Array:
        return super().moved(old, new) if self._started else new

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        super().keep(x, mean, variance)
        self._started = self._started or self.training


@planted(ROWS, at="output", cause="one-pass variance", hidden="right to the last digits for data around zero")
class VarianceByDifference(BatchNorm):
    """E[x^2] - E[x]^2, which cancels far from zero."""

    def variance(self, x: Array, mean: Array) -> Array:
        return np.asarray(np.square(x).mean(axis=self.axes(), keepdims=True) - np.square(mean))


@planted(ROWS, at="contract-backward_uses_the_mode_of_forward", hidden="right unless the mode changes between forward and backward")
class ModeOfTheBackwardPass(BatchNorm):
    """The backward pass looks at the mode that holds when it runs, not at that of its forward pass."""

    def through_statistics(self) -> bool:
        return self.training


@planted(DROPOUT, at="contract-draws_new_masks", hidden="the share that is kept is right")
class OneMaskForAllSamples(Dropout):
    """One mask is drawn and broadcast over the batch."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return np.broadcast_to(super().drawn((1, *shape[1:])), shape)


@planted(DROPOUT, at="contract-draws_new_masks", hidden="each pass by itself is right")
class SeededEachTime(Dropout):
    """The generator is seeded in every forward pass, so that the mask never changes."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        self.rng = np.random.default_rng(0)
        return super().drawn(shape)


@planted(DROPOUT, at="contract-draws_new_masks", hidden="0.758 is kept, where 0.7 should be")
class NormalNumbers(Dropout):
    """randn for rand."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return self.rng.standard_normal(shape) < self.kept()
