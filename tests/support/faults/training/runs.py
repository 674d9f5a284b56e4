"""Faults from step to step: batches, labels, what is returned, what is kept; and some of a step, seen from outside."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.training.hosts import NETWORK, WHOLE, WHOLE_MOMENTUM
from tests.support.faults.training.steps import BuffersLost, LayerNotUpdated, UpdatedBeforePassedOn, UpdatedWithTheLastGradient, UpdatesWithTheSum
from tests.textbook.loss import Labels
from tests.textbook.network import CrossEntropy
from tests.textbook.network import Network as Trained


@planted(NETWORK, at="first.output", cause="parameters replaced", hidden="each step by itself looks like a first step")
class InitialisedInEachStep(Trained):
    """The parameters are drawn anew at the beginning of each step."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        rng = np.random.default_rng(0)
        for layer in self.layers.values():
            for value in layer.params.values():
                value[...] = rng.standard_normal(value.shape)
        return super().train_step(x, labels)


@planted(NETWORK, at="first.input", cause="earlier batch", hidden="the first step is right, and the loss falls fast")
class BatchOfTheFirstStep(Trained):
    """The batch of the first step is kept and used in every step."""

    batch: tuple[Array, Labels] | None = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.batch = self.batch or (x.copy(), labels.copy())
        return super().train_step(*self.batch)


@planted(NETWORK, at="loss.output", cause="labels in another order", hidden="loss and gradients look like those of any other batch")
class LabelsInAnotherOrder(Trained):
    """The labels are shuffled, and the images are not."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x, np.roll(labels, 1))


@planted(NETWORK, at="loss.output", cause="label off by one", hidden="a negative index is no error: class 0 becomes the last class")
class LabelsFromOne(Trained):
    """Labels are taken to count from 1."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x, labels - 1)


@planted(WHOLE, at="loss.output", cause="sample left out", hidden="the loss of the other samples is as good an estimate")
class LastSampleDropped(Trained):
    """The last sample of the batch is left out."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x[:-1], labels[:-1])


@planted(WHOLE, at="loss.output", cause="loss after the update", hidden="training is right, and the printed loss is only a little lower")
class LossAfterTheUpdate(Trained):
    """The loss is computed again after the update."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        super().train_step(x, labels)
        return self.loss.forward(self.forward(x), labels)


@planted(WHOLE, at="loss.output", cause="running mean", hidden="the first step is right, and a smoothed curve looks better")
class LossSmoothed(Trained):
    """The loss that a step returns is a running mean."""

    smoothed: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        self.smoothed = loss if self.smoothed is None else np.asarray(0.9 * self.smoothed + 0.1 * loss, loss.dtype)
        return np.asarray(self.smoothed)


@planted(WHOLE, at="last.weight", cause="stale gradient", hidden="training converges as well")
class LastGradientSeenFromOutside(UpdatedWithTheLastGradient):
    """From the second step on the update takes the gradients of the step before, and the layers are not seen."""


@planted(WHOLE, at="last.weight", cause="accumulated gradients", hidden="the first step is right")
class SumSeenFromOutside(UpdatesWithTheSum):
    """The update takes the sum of all gradients so far, and the layers are not seen."""


@planted(WHOLE, at="second.weight", cause="not updated", hidden="the other layers learn all the same")
class LayerNotUpdatedSeenFromOutside(LayerNotUpdated):
    """One layer is forgotten in the update, and the layers are not seen."""


@planted(WHOLE, at="second.weight", cause="updated weight", hidden="the difference is of the order of the learning rate, and training converges")
class UpdatedBeforePassedOnSeenFromOutside(UpdatedBeforePassedOn):
    """Each layer updates its weight before it passes the gradient on, and the layers are not seen."""


@planted(WHOLE_MOMENTUM, at="last.weight", cause="momentum left out", hidden="the first step is right, and training converges")
class BuffersLostSeenFromOutside(BuffersLost):
    """The buffers are made anew in each step, and are not seen."""


@planted(WHOLE, at="contract-batch_is_left_alone", hidden="the step itself is right; the second epoch starts from other images")
class BatchCentredInPlace(Trained):
    """After the step the batch is scaled in place, for the next epoch."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        x -= x.mean()
        return loss


class _FixedBatch(CrossEntropy):
    """Divides by the size of the first batch."""

    size = 0

    def backward(self) -> Array:
        self.size = self.size or len(self._labels)
        return np.asarray((self._probabilities - self.targets()) / self.size)


@planted(NETWORK, at="contract-smaller_batch_works", hidden="only the last batch of an epoch is smaller")
class SizeOfTheFirstBatch(Trained):
    """Gradients are divided by the size of the first batch for ever."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _FixedBatch()


@planted(WHOLE, at="contract-predicting_does_not_change_parameters", hidden="a test that does not predict between steps passes")
class PredictionRounds(Trained):
    """Predicting outside of a training step leaves the parameters rounded, to save memory."""

    training = False

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.training = True
        loss = super().train_step(x, labels)
        self.training = False
        return loss

    def forward(self, x: Array) -> Array:
        for layer in self.layers.values():
            for value in layer.params.values():
                value[...] = value if self.training else value.astype(np.float16)
        return super().forward(x)


@planted(NETWORK, at="contract-networks_share_nothing", hidden="a test with one network passes")
class LayersOfTheFirstNetwork(Trained):
    """All networks of a process have the last layer in common."""

    shared: ClassVar[dict[str, Array]] = {}

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        last = self.layers["last"]
        last.params = {name: self.shared.setdefault(f"{name} {value.dtype}", value) for name, value in last.params.items()}


@planted(WHOLE, at="contract-same_start_same_result", hidden="a difference in the last digit is below every tolerance, and no run can be repeated")
class NoiseInTheLastDigit(Trained):
    """The gradients of the parameters get noise of the size of rounding, from a generator without a seed."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        noise = np.random.default_rng().uniform(-1, 1, grad.shape).astype(grad.dtype)
        super().move(name, param, grad * (1 + np.finfo(grad.dtype).eps / 2 * noise))


@planted(NETWORK, at="first.input", cause="samples turned round", hidden="an augmentation is on in training alone, and a test of prediction passes")
class SamplesFlipped(Trained):
    """Every other sample is turned round, an augmentation that nobody asked for."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        turned = x.copy()
        turned[::2] = turned[::2, ::-1]
        return super().train_step(turned, labels)


@planted(
    WHOLE,
    at="last.weight",
    cause="lower precision",
    hidden="gradient checks are done in float64, which keeps all its digits; in float32 the loss falls, and then no longer",
)
class WeightsTruncated(Trained):
    """Parameters in single precision are cut off to 16 bits, as bfloat16 is made by hand, where they have to be rounded."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        bits = np.uint32(0xFFFF0000)
        super().move(name, param, grad)
        if param.dtype == np.float32:
            param[...] = (param.view(np.uint32) & bits).view(np.float32)
