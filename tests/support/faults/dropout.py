"""Faults in dropout."""

from __future__ import annotations

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.dropout import Dropout, Mask

DROPOUT = Host("dropout", Dropout, lambda kind: Pair(kind(0.3), nn.Dropout(0.3), shapes=[(5, 3, 4, 5)], name="dropout"))


@planted(DROPOUT, at="output", cause="mask not scaled", hidden="the same elements are zero, and who compares the share that is kept finds it right")
class NotScaled(Dropout):
    """What is kept is not scaled in training, nor in evaluation."""

    def dropped(self, x: Array) -> Array:
        return np.asarray(x * self._mask)


@planted(DROPOUT, at="output", cause="mask scaled by p", hidden="at p = 0.5 it is right")
class ScaledByDropProbability(Dropout):
    """What is kept is divided by the probability of being dropped."""

    def dropped(self, x: Array) -> Array:
        return np.asarray(x * self._mask / x.dtype.type(self.p))


@planted(DROPOUT, at="output", cause="mask scaled twice", hidden="at p = 0 it is right, and p of 0.01 hardly differs")
class ScaledTwice(Dropout):
    """What is kept is scaled when the mask is drawn and again when it is used."""

    def dropped(self, x: Array) -> Array:
        return super().dropped(super().dropped(x))


@planted(DROPOUT, at="output", cause="mask multiplied by 1 - p", hidden="at p = 0 it is right")
class MultipliedByKeepProbability(Dropout):
    """What is kept is multiplied by the probability of being kept, which evaluation would need if training did not scale."""

    def dropped(self, x: Array) -> Array:
        return np.asarray(x * self._mask * x.dtype.type(1 - self.p))


@planted(DROPOUT, at="grad_input", cause="different mask in backward", hidden="the gradient has the right share of zeros and the right mean")
class MaskRedrawnInBackward(Dropout):
    """The backward pass draws a mask of its own."""

    def backward(self, grad_output: Array) -> Array:
        if self.drops():
            self._mask = self.drawn(grad_output.shape)
        return super().backward(grad_output)


@planted(DROPOUT, at="grad_input", cause="mask not scaled", hidden="the same elements are zero; a learning rate that is tuned makes up for the rest")
class GradientNotScaled(Dropout):
    """The gradient is masked and not scaled."""

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(grad_output * self._mask) if self.drops() else grad_output.copy()


@planted(DROPOUT, at="grad_input", cause="derivative left out", hidden="in evaluation it is right, and its mean over masks as well")
class GradientNotMasked(Dropout):
    """The cotangent is handed on as it is."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


@planted(DROPOUT, at="output", cause="mask in evaluation", hidden="training is right; the test accuracy is a little lower, and changes")
class ActiveInEvaluation(Dropout):
    """Dropout goes on in evaluation."""

    def drops(self) -> bool:
        return True


@planted(DROPOUT, at="output", cause="scaled in evaluation", hidden="training is right, and with all logits made smaller the same class wins")
class ScaledInEvaluation(Dropout):
    """Evaluation multiplies by the probability of being kept, although training has scaled already."""

    def evaluated(self, x: Array) -> Array:
        return np.asarray(x * x.dtype.type(1 - self.p))


@planted(DROPOUT, at="contract-draws_new_masks", hidden="by the mask that was drawn every number is right; at p = 0.5 the mask is, too")
class KeepAndDropExchanged(Dropout):
    """Elements are kept with the probability of being dropped."""

    def kept(self) -> float:
        return self.p


@planted(DROPOUT, at="contract-draws_new_masks", hidden="by the mask that was drawn every number is right, and the share that is kept as well")
class OneMaskForTheBatch(Dropout):
    """All samples of a batch are masked alike."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return np.broadcast_to(super().drawn(shape[1:]), shape)


@planted(DROPOUT, at="contract-draws_new_masks", hidden="by the mask that was drawn every number is right, and the share that is kept as well")
class SeedFixedInForward(Dropout):
    """A generator is made anew with the same seed in each forward pass: the same units are dropped for ever."""

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        return np.random.default_rng(0).random(shape) < self.kept()


@planted(DROPOUT, at="output", cause="evaluation in training", hidden="the loss falls faster, and nobody misses what was dropped")
class NothingDropped(Dropout):
    """Training hands the input on as evaluation does: the mode is asked the wrong way round."""

    def drops(self) -> bool:
        return False
