"""Blind mistakes in optimizers."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.optimizers.hosts import ADADELTA, ADAM, ADAM_OF_TWO, ADAM_UNSEEN, ADAMW, DAMPENED, MOMENTUM, PLAIN
from tests.textbook.optimizers import SGD, Adadelta, Adam, AdamW


@planted(ADAM_OF_TWO, at="second", cause="steps counted per parameter", hidden="right for a single parameter")
class CountedForEachParameter(Adam):
    """t goes up with each parameter, not with each step."""

    _t = 0

    def direction(self, name: str, grad: Array) -> Array:
        self._t += 1
        return super().direction(name, grad)

    def time(self) -> int:
        return self._t


@planted(ADAM, at="weight", cause="another quantity in the rule", hidden="the moments are right, and after some hundred steps everything")
class FirstBetaTwice(Adam):
    """Both corrections use beta1: a line copied and not changed."""

    def correction(self, beta: str) -> float:
        return super().correction("beta1")


@planted(ADAMW, at="weight", cause="weight decay after the step", hidden="1e-5 a step")
class ShrunkAfterwards(AdamW):
    """The weights shrink after the step, not before it."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] -= self.rate() * self.direction(name, grad)
        self.shrink(name)


@planted(MOMENTUM, at="contract-state_is_not_a_view", hidden="right if the gradients are new arrays in every step")
class BufferIsTheGradient(SGD):
    """The first buffer is the gradient's own array and is updated in place afterwards."""

    def buffer(self, name: str, grad: Array) -> Array:
        if name not in self.buffers:
            return grad
        buffer = self.buffers[name]
        buffer *= self.settings["momentum"]
        buffer += (1 - self.settings["dampening"]) * grad
        return buffer


@planted(DAMPENED, at="weight", cause="first gradient dampened", hidden="without dampening nothing is wrong")
class FirstBufferDampened(SGD):
    """The first buffer is dampened, too, as if it started at zero."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.before(self.buffers, name, grad) + (1 - self.settings["dampening"]) * grad


@planted(PLAIN, at="bias", cause="weight decay left out", hidden="weights decay as they should")
class BiasesDoNotDecay(SGD):
    """Parameters of one axis are left out of weight decay."""

    def decayed(self, name: str, grad: Array) -> Array:
        return grad if grad.ndim < 2 else super().decayed(name, grad)


@planted(ADAM_UNSEEN, at="weight", cause="lower precision", hidden="nothing is wrong in single precision")
class MomentsSingle(Adam):
    """The moments are kept in single precision."""

    def mean(self, kept: dict[str, Array], name: str, value: Array, beta: float) -> Array:
        kept[name] = super().mean(kept, name, value, beta).astype(np.float32)
        return kept[name]


@planted(ADADELTA, at="weight", cause="order in the rule", hidden="the state looks right, as far as the squares go")
class SquaresOfTheStepBefore(Adadelta):
    """The denominator uses the mean of squares as it was before this gradient."""

    def direction(self, name: str, grad: Array) -> Array:
        old = self.before(self.squares, name, grad)
        self.mean(self.squares, name, grad**2, self.settings["rho"])
        direction = self.root(self.before(self.deltas, name, grad)) / self.root(old) * grad
        self.mean(self.deltas, name, direction**2, self.settings["rho"])
        return direction
