"""Faults in optimizers that adapt the step to each parameter: RMSprop, Adadelta, Adam."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.optimizers.hosts import ADADELTA, ADAM, ADAM_DECAY, ADAM_OF_TWO, ADAM_UNSEEN, ADAMW, CENTERED, RMSPROP
from tests.textbook.optimizers import Adadelta, Adam, AdamW, Optimizer, RMSprop


@planted(RMSPROP, at="weight", cause="epsilon inside the root", hidden="for gradients of an ordinary size it changes the eighth digit")
class EpsilonInsideTheRoot(RMSprop):
    """Epsilon is added to the mean of the squares, where the reference adds it to the root."""

    def root(self, variance: Array) -> Array:
        return np.asarray(np.sqrt(variance + self.settings["eps"]))


@planted(RMSPROP, at="weight", cause="another initial state", hidden="after a hundred steps nothing is left of it")
class SquaresStartAtOne(RMSprop):
    """The mean of the squares starts at 1, as in TensorFlow's first versions, so that the first steps are short."""

    def before(self, kept: dict[str, Array], name: str, value: Array) -> Array:
        return kept[name] if name in kept else np.ones_like(value)


@planted(ADADELTA, at="weight", cause="another initial state", hidden="after a hundred steps nothing is left of it")
class AdadeltaSquaresStartAtATenth(Adadelta):
    """The mean of the squares starts at 0.1."""

    def before(self, kept: dict[str, Array], name: str, value: Array) -> Array:
        return np.full_like(value, 0.1) if kept is self.squares and name not in kept else super().before(kept, name, value)


@planted(RMSPROP, at="weight", cause="running mean the other way round", hidden="the first step is as long as any: its length is no sign")
class MeanTheOtherWayRound(RMSprop):
    """The decay rate multiplies the new square, and what is left of 1 the running mean."""

    def mean(self, kept: dict[str, Array], name: str, value: Array, beta: float) -> Array:
        return super().mean(kept, name, value, 1 - beta)


@planted(CENTERED, at="weight", cause="centered", hidden="gradients of mean zero have nearly the same variance as mean square")
class NotCentered(RMSprop):
    """The mean of the squares is divided by, where the variance is asked for."""

    def variance(self, name: str, grad: Array) -> Array:
        return self.mean(self.squares, name, grad**2, self.settings["alpha"])


@planted(ADADELTA, at="weight.deltas", cause="another quantity in the rule", hidden="with a learning rate of 1, the paper's, both are the same")
class RateInsideTheMean(Adadelta):
    """The mean of the squared steps takes them multiplied by the learning rate."""

    def counted(self, direction: Array) -> Array:
        return self.rate() * direction


@planted(ADADELTA, at="weight", cause="epsilon outside the root", hidden="training converges, from smaller first steps")
class EpsilonOutsideTheRoot(Adadelta):
    """Epsilon is added to the roots, where it belongs inside them."""

    def root(self, mean: Array) -> Array:
        return np.sqrt(mean) + self.settings["eps"]


@planted(ADAM, at="weight", cause="epsilon inside the root", hidden="for gradients of an ordinary size it changes the eighth digit")
class EpsilonInsideAdamsRoot(Adam):
    """Epsilon is added to the corrected mean of the squares, where the reference adds it to the root."""

    def quotient(self, mean: Array, square: Array) -> Array:
        return np.asarray(mean / np.sqrt(square + self.settings["eps"]))


@planted(ADAM, at="weight", cause="another epsilon", hidden="for gradients of an ordinary size it changes the seventh digit")
class EpsilonOfKeras(Adam):
    """Epsilon is 1e-7, another framework's default."""

    def quotient(self, mean: Array, square: Array) -> Array:
        return np.asarray(mean / (np.sqrt(square) + 1e-7))


@planted(ADAM, at="weight", cause="epsilon before the bias correction", hidden="for gradients of an ordinary size it changes the eighth digit")
class EpsilonBeforeTheCorrection(Adam):
    """Epsilon is added to the root before that is corrected, as in the paper's more efficient order."""

    def direction(self, name: str, grad: Array) -> Array:
        m = self.mean(self.first, name, grad, self.settings["beta1"])
        v = self.mean(self.second, name, grad**2, self.settings["beta2"])
        return np.asarray(self.quotient(m, v) * np.sqrt(self.correction("beta2")) / self.correction("beta1"))


@planted(ADAM, at="weight", cause="bias correction left out", hidden="after a hundred steps hardly anything is left of the difference")
class CorrectionLeftOut(Adam):
    """The running means are not corrected for their start at zero."""

    def correction(self, beta: str) -> float:
        return 1.0


@planted(ADAM, at="weight", cause="bias correction off by one", hidden="after a hundred steps hardly anything is left of the difference")
class CorrectionOffByOne(Adam):
    """Steps are counted from 1, and once more before the correction."""

    def time(self) -> int:
        return self.steps + 1


@planted(ADAM, at="weight", cause="steps not counted", hidden="the first step is right")
class StepsNotCounted(Adam):
    """The number of steps stays 1."""

    def time(self) -> int:
        return 1


@planted(ADAM, at="bias", cause="steps counted per parameter", hidden="with one parameter it is right")
class StepsCountedByParameter(Adam):
    """The number of steps is counted up within the loop over the parameters."""

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.updates = 0

    def direction(self, name: str, grad: Array) -> Array:
        self.updates += 1
        return super().direction(name, grad)

    def time(self) -> int:
        return self.updates


@planted(ADAM, at="weight.first", cause="betas exchanged", hidden="both are numbers a little below 1, and training converges")
class BetasExchanged(Adam):
    """The two betas are handed over in the wrong order."""

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.settings.update(beta1=self.settings["beta2"], beta2=self.settings["beta1"])


@planted(
    ADAM, at="weight", cause="another quantity in the rule", hidden="the first step is right but for its length, which the correction sets to one"
)
class SquareOfTheMean(Adam):
    """The second mean is that of the first mean's square, where it has to be that of the gradient's."""

    def direction(self, name: str, grad: Array) -> Array:
        m = self.mean(self.first, name, grad, self.settings["beta1"])
        v = self.mean(self.second, name, m**2, self.settings["beta2"])
        return self.quotient(m / self.correction("beta1"), v / self.correction("beta2"))


@planted(ADAM, at="weight", cause="state lost", hidden="every step has the right length and the right sign at first")
class MeansLost(Adam):
    """The running means are made anew in each step, as is an optimizer that is made within the loop."""

    def step(self, grads: Mapping[str, Array]) -> None:
        self.__init__(self.params, **self.settings)  # type: ignore[misc]
        super().step(grads)


@planted(ADAM_UNSEEN, at="weight", cause="not updated", hidden="gradients of an ordinary size are never that small; those of a saturated network are")
class SmallGradientsCutOff(Adam):
    """Gradients below 1e-10 count as zero."""

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        return np.where(np.abs(grads[name]) < 1e-10, 0, grads[name])


@planted(ADAM_OF_TWO, at="second", cause="state shared", hidden="parameters of different shapes would raise an error; these are alike")
class OneMeanForAll(Adam):
    """All parameters have one and the same running means."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction("all", grad)


@planted(ADAM_DECAY, at="weight", cause="weight decay decoupled", hidden="both are called Adam with weight decay")
class DecayOfAdamW(Adam):
    """Weight decay shrinks the parameter by itself, where Adam has it in the gradient."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] *= 1 - self.rate() * self.settings["weight_decay"]
        self.params[name] -= self.rate() * self.direction(name, grad)


@planted(ADAMW, at="weight", cause="weight decay coupled", hidden="both are called Adam with weight decay")
class DecayOfAdam(AdamW):
    """Weight decay is added to the gradient, where AdamW shrinks the parameter by itself."""

    def update(self, name: str, grad: Array) -> None:
        Optimizer.update(self, name, grad)


@planted(
    ADAMW, at="weight", cause="weight decay after the step", hidden="the difference is the decay of one step's length: a millionth of the parameter"
)
class DecayAfterTheStep(AdamW):
    """The parameter is shrunk after the step."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] -= self.rate() * self.direction(name, grad)
        self.shrink(name)


@planted(ADAMW, at="weight", cause="weight decay without the learning rate", hidden="with decay that small training converges all the same")
class DecayWithoutTheRate(AdamW):
    """The parameter is shrunk by ``1 - weight_decay``, as the paper writes it."""

    def shrink(self, name: str) -> None:
        self.params[name] *= 1 - self.settings["weight_decay"]
