"""Faults in gradient descent, plain and with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.optimizers.hosts import DAMPENED, MOMENTUM, MOMENTUM_DECAY, MOMENTUM_OF_TWO, NESTEROV, PLAIN
from tests.textbook.optimizers import SGD


@planted(PLAIN, at="weight", cause="sign", hidden="a test that only asks whether the parameters moved passes")
class UpTheGradient(SGD):
    """The step goes up the gradient."""

    def rate(self) -> float:
        return -super().rate()


@planted(PLAIN, at="weight", cause="learning rate factor", hidden="training still converges, only slower, so that a loss curve looks right")
class RateOverBatch(SGD):
    """The gradient is a mean over the batch already and is divided by the batch size once more."""

    def rate(self) -> float:
        return super().rate() / 32


@planted(PLAIN, at="weight", cause="learning rate factor", hidden="the derivative of w² is taken with its 2: any rate between is somebody's choice")
class RateDoubled(SGD):
    """The step is twice as long."""

    def rate(self) -> float:
        return 2 * super().rate()


@planted(PLAIN, at="weight", cause="learning rate factor", hidden="a difference of 1e-7 of the step is below every usual tolerance")
class RateInSinglePrecision(SGD):
    """The learning rate is kept in float32."""

    def rate(self) -> float:
        return float(np.float32(super().rate()))


@planted(PLAIN, at="weight", cause="weight decay left out", hidden="with a decay of 0.0001 the first steps differ by less than 1e-5")
class DecayLeftOut(SGD):
    """Weight decay is taken as an argument and never used."""

    def decayed(self, name: str, grad: Array) -> Array:
        return grad


@planted(PLAIN, at="weight", cause="weight decay sign", hidden="with a decay of 0.0001 the parameters grow too slowly to be seen")
class DecaySign(SGD):
    """Weight decay is subtracted from the gradient, and the parameters grow."""

    def decayed(self, name: str, grad: Array) -> Array:
        return grad - self.settings["weight_decay"] * self.params[name]


@planted(PLAIN, at="weight", cause="weight decay factor", hidden="a penalty of decay * w² is as good a convention, but not the reference's")
class DecayTwice(SGD):
    """Weight decay has the derivative of decay * w², 2 * decay * w."""

    def decayed(self, name: str, grad: Array) -> Array:
        return grad + 2 * self.settings["weight_decay"] * self.params[name]


@planted(PLAIN, at="bias", cause="weight decay left out", hidden="biases start at zero in most tests, where no decay shows")
class DecayNotOnBiases(SGD):
    """Weight decay spares one-dimensional parameters, where the reference decays all."""

    def decayed(self, name: str, grad: Array) -> Array:
        return super().decayed(name, grad) if self.params[name].ndim > 1 else grad


@planted(PLAIN, at="weight", cause="stale gradient", hidden="training converges as well with a gradient of one step before")
class GradientOfTheStepBefore(SGD):
    """Each step takes the gradient of the step before."""

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.last: dict[str, Array] = {}

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        last = self.before(self.last, name, grads[name])
        self.last[name] = grads[name].copy()
        return last


@planted(PLAIN, at="weight", cause="accumulated gradients", hidden="a test of one step passes")
class GradientsPileUp(SGD):
    """Gradients are added up and never cleared."""

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.sums: dict[str, Array] = {}

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        self.sums[name] = self.before(self.sums, name, grads[name]) + grads[name]
        return self.sums[name]


@planted(PLAIN, at="weight", cause="first gradient", hidden="a test of one step passes")
class GradientsOfTheFirstStep(SGD):
    """The gradients are taken from the caller once and kept."""

    kept: Mapping[str, Array] = {}

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        self.kept = self.kept or {key: value.copy() for key, value in grads.items()}
        return self.kept[name]


@planted(PLAIN, at="weight", cause="gradient clipped", hidden="gradients of an ordinary size are never clipped, and normal numbers are not")
class ClipsByValue(SGD):
    """Gradients are clipped at 5, which nobody asked for."""

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        return np.clip(grads[name], -5, 5)


@planted(PLAIN, at="weight", cause="steps left out", hidden="no gradient of an ordinary size is near the limit")
class SkipsExplodingSteps(SGD):
    """A guard leaves out every step whose gradient is larger than 1e8 anywhere."""

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        exploding = any((np.abs(grad) > 1e8).any() for grad in grads.values())
        return np.zeros_like(grads[name]) if exploding else grads[name]


@planted(PLAIN, at="weight", cause="elements left out", hidden="normal numbers are all of one size, and none of them is dropped")
class SmallBesideTheLargest(SGD):
    """Gradients below a millionth of the largest one are dropped, as when they are compressed."""

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        size = np.abs(grads[name])
        return np.where(size < 1e-6 * size.max(), 0, grads[name])


@planted(
    PLAIN,
    at="weight",
    cause="lower precision",
    hidden="float64, in which gradients are checked, takes another way; in float32 it looks like rounding",
)
class HalfPrecisionOnTheWay(SGD):
    """Gradients in float32 are compressed to float16 and back."""

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        grad = grads[name]
        return np.clip(grad, -65504, 65504).astype(np.float16).astype(np.float32) if grad.dtype == np.float32 else grad


@planted(PLAIN, at="contract-gradients_are_left_alone", hidden="the step itself is right: who looks at the gradients afterwards sees others")
class DecayInTheCallersArray(SGD):
    """Weight decay is added to the caller's gradient in place."""

    def decayed(self, name: str, grad: Array) -> Array:
        grad += self.settings["weight_decay"] * self.params[name]
        return grad


@planted(PLAIN, at="contract-params_are_updated_in_place", hidden="the optimizer's own dict is right: the layers' arrays stay as they were")
class ParametersReplaced(SGD):
    """New arrays are put into the dict, where the layers keep the old ones."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] = self.params[name] - self.rate() * self.direction(name, self.decayed(name, grad))


@planted(MOMENTUM, at="weight", cause="momentum left out", hidden="the first step is right, and training converges")
class MomentumLeftOut(SGD):
    """Momentum is taken as an argument and never used."""

    def buffer(self, name: str, grad: Array) -> Array:
        return grad.copy()


@planted(MOMENTUM, at="weight", cause="momentum left out", hidden="the first step is right, and training converges")
class BuffersLost(SGD):
    """The buffers are made anew in each step."""

    def step(self, grads: Mapping[str, Array]) -> None:
        self.buffers = {}
        super().step(grads)


@planted(MOMENTUM, at="weight", cause="dampening", hidden="the first step is right; after that a smaller learning rate would do the same")
class RunningMean(SGD):
    """The buffer is a running mean of the gradients, where the reference's is a decaying sum."""

    def buffer(self, name: str, grad: Array) -> Array:
        momentum = self.settings["momentum"]
        return momentum * self.buffers[name] + (1 - momentum) * grad if name in self.buffers else grad.copy()


@planted(MOMENTUM, at="weight", cause="momentum the other way round", hidden="with a momentum of 0.5 both are the same")
class MomentumTheOtherWayRound(SGD):
    """Momentum multiplies the gradient, and what is left of 1 the buffer."""

    def buffer(self, name: str, grad: Array) -> Array:
        momentum = self.settings["momentum"]
        return (1 - momentum) * self.buffers[name] + momentum * grad if name in self.buffers else grad.copy()


@planted(MOMENTUM, at="weight", cause="nesterov", hidden="both converge, Nesterov's form usually faster")
class LooksAhead(SGD):
    """Nesterov's momentum, where plain momentum was asked for."""

    def direction(self, name: str, grad: Array) -> Array:
        return grad + self.settings["momentum"] * super().direction(name, grad)


@planted(MOMENTUM, at="contract-state_is_not_a_view", hidden="whoever hands over new arrays each step sees nothing; layers write into the same ones")
class FirstBufferIsTheGradient(SGD):
    """The first buffer is the gradient's own array, which the next backward pass overwrites."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.buffers[name] + grad if name in self.buffers else grad


@planted(MOMENTUM, at="contract-gradients_are_left_alone", hidden="the parameters are right as long as nobody uses the gradient again")
class BufferIsAddedToTheGradient(SGD):
    """The buffer is added to the caller's gradient, whose array then serves as the buffer."""

    def buffer(self, name: str, grad: Array) -> Array:
        if name in self.buffers:
            grad += self.settings["momentum"] * self.buffers[name]
        return grad if name in self.buffers else grad.copy()


@planted(MOMENTUM, at="weight", cause="elements left out", hidden="no gradient is exactly zero where numbers are drawn at random")
class ZeroGradientsSkipped(SGD):
    """Elements whose gradient is zero stay where they are, although their buffer still moves them."""

    def direction(self, name: str, grad: Array) -> Array:
        return np.where(grad == 0, 0, super().direction(name, grad))


@planted(MOMENTUM, at="weight", cause="lower precision", hidden="a difference of 1e-8 is below every usual tolerance")
class BuffersInSinglePrecision(SGD):
    """Buffers are kept in float32, whatever the parameters are."""

    def buffer(self, name: str, grad: Array) -> Array:
        return super().buffer(name, grad).astype(np.float32).astype(grad.dtype)


@planted(MOMENTUM, at="weight.buffers", cause="array without dtype", hidden="parameters come out right, and twice the memory is needed")
class BuffersInDoublePrecision(SGD):
    """Buffers are made by ``np.zeros(shape)``, in float64, whatever the parameters are."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.buffers.get(name, np.zeros(grad.shape)) + grad


@planted(MOMENTUM, at="contract-instances_share_no_state", hidden="a test with one network passes")
class BuffersOfTheClass(SGD):
    """All optimizers of one process keep their buffers in one dict, which the first one of a run clears."""

    shared: ClassVar[dict[str, Array]] = {}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.shared.clear()
        self.buffers = self.shared


@planted(MOMENTUM_OF_TWO, at="second", cause="state shared", hidden="parameters of different shapes would raise an error; these are alike")
class OneBufferForAll(SGD):
    """All parameters have one and the same buffer."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction("all", grad)


@planted(MOMENTUM_DECAY, at="weight", cause="weight decay decoupled", hidden="the first step is the same: only the buffer knows the difference")
class DecayBesideMomentum(SGD):
    """Weight decay shrinks the parameter by itself and is no part of the buffer."""

    def update(self, name: str, grad: Array) -> None:
        self.params[name] *= 1 - self.rate() * self.settings["weight_decay"]
        self.params[name] -= self.rate() * self.direction(name, grad)


@planted(
    DAMPENED,
    at="weight",
    cause="first gradient dampened",
    hidden="parameters agree after the first step as nearly as after many: a factor of the first buffer",
)
class DampenedFromTheStart(SGD):
    """The first gradient is dampened, too."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.before(self.buffers, name, grad) + (1 - self.settings["dampening"]) * grad


@planted(DAMPENED, at="weight", cause="dampening left out", hidden="the first step is right")
class DampeningLeftOut(SGD):
    """Dampening is taken as an argument and never used."""

    def buffer(self, name: str, grad: Array) -> Array:
        return self.settings["momentum"] * self.buffers[name] + grad if name in self.buffers else grad.copy()


@planted(NESTEROV, at="weight", cause="nesterov left out", hidden="both converge")
class LooksAheadFromTheOldBuffer(SGD):
    """Nesterov's step is taken from the buffer before this gradient: what comes out is plain momentum."""

    def direction(self, name: str, grad: Array) -> Array:
        old = self.before(self.buffers, name, grad)
        super().direction(name, grad)
        return grad + self.settings["momentum"] * old
