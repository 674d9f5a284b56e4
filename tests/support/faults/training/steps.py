"""Faults in the gradients and the update of a whole training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosscheck.core.precision import Array
from tests.support.faults.fault import planted
from tests.support.faults.training.hosts import LR, MOMENTUM, NETWORK, SLOWLY
from tests.textbook.linear import Linear
from tests.textbook.loss import Labels
from tests.textbook.network import CrossEntropy
from tests.textbook.network import Network as Trained


class _Accumulating(Linear):
    """Adds to the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        before = self.grads
        grad_input = super().backward(grad_output)
        self.grads = {name: value + before.get(name, 0) for name, value in self.grads.items()}
        return grad_input


@planted(NETWORK, at="first.weight.grad", cause="accumulated gradients", hidden="the first step is right")
class GradientsNotCleared(Trained):
    """The layers add to their gradients, and nobody clears them between steps."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        for layer in self.layers.values():
            if isinstance(layer, Linear):
                layer.__class__ = _Accumulating


@planted(
    NETWORK, at="first.weight", cause="accumulated gradients", hidden="the layers' gradients are right in every step, and so is the first update"
)
class UpdatesWithTheSum(Trained):
    """The update takes the sum of all gradients so far."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.sums: dict[str, Array] = {}

    def move(self, name: str, param: Array, grad: Array) -> None:
        self.sums[name] = self.sums.get(name, np.zeros_like(grad)) + grad
        super().move(name, param, self.sums[name])


class _UpdatesFirst(Linear):
    """Updates its weight before it passes the gradient on."""

    def backward(self, grad_output: Array) -> Array:
        self.grads = {"weight": grad_output.T @ self._x, "bias": grad_output.sum(axis=0)}
        for name, grad in self.grads.items():
            self.params[name] -= LR * grad
        return np.asarray(grad_output @ self.params["weight"])


@planted(NETWORK, at="last.grad_input", cause="updated weight", hidden="the difference is of the order of the learning rate, and training converges")
class UpdatedBeforePassedOn(Trained):
    """Each layer updates its weight before it computes the gradient for the layer before it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        for layer in self.layers.values():
            if isinstance(layer, Linear):
                layer.__class__ = _UpdatesFirst

    def update(self) -> None:
        """Leave the parameters, which are updated already."""


class _SummedGradient(CrossEntropy):
    """Has the mean as its value and the gradient of the sum."""

    def backward(self) -> Array:
        return np.asarray(self._probabilities - self.targets())


@planted(NETWORK, at="loss.grad_input", cause="edit: left out", hidden="the loss is right, and another learning rate would do the same")
class MeanWithTheGradientOfTheSum(Trained):
    """The loss is the mean over the batch, its gradient that of the sum."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _SummedGradient()


class _SummedLoss(CrossEntropy):
    """Has the sum as its value and the gradient of the mean."""

    def reduced(self, losses: Array) -> Array:
        return np.asarray(losses.sum())


@planted(NETWORK, at="loss.output", cause="edit: left out", hidden="training is right: only the number that is printed is not")
class SumWithTheGradientOfTheMean(Trained):
    """The loss is the sum over the batch, its gradient that of the mean."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _SummedLoss()


class _LogitsForProbabilities(CrossEntropy):
    """Takes the logits for probabilities on the way back."""

    def forward(self, logits: Array, labels: Labels) -> Array:
        loss = super().forward(logits, labels)
        self._probabilities = logits
        return loss


@planted(NETWORK, at="loss.grad_input", cause="edit: operand", hidden="the loss is right, and the gradient has the right sign in most places")
class SoftmaxMissingBackward(Trained):
    """The loss's gradient is ``logits - one_hot``, the softmax being left out."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _LogitsForProbabilities()


@planted(MOMENTUM, at="second.weight", cause="not updated", hidden="the other layers learn all the same")
class LayerNotUpdated(Trained):
    """One layer is forgotten in the update."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        moved = np.zeros_like(param) if name.startswith("second") else param
        super().move(name, moved, grad)


@planted(NETWORK, at="second.bias", cause="not updated", hidden="biases start at zero and change little")
class BiasNotTrained(Trained):
    """One layer's bias stays as it is."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        if name != "second.bias":
            super().move(name, param, grad)


@planted(
    NETWORK,
    at="relu.grad_output",
    cause="left out backward",
    hidden="gradients have the right shape, and where the activation is positive they are right",
)
class ActivationSkippedBackward(Trained):
    """The activation is left out on the way back."""

    def backward(self, grad_output: Array) -> None:
        for layer in reversed(self.layers.values()):
            grad_output = layer.backward(grad_output) if layer.params else grad_output


@planted(NETWORK, at="relu.input", cause="another layer", hidden="all shapes fit, and what is trained is a network all the same")
class LayersInAnotherOrder(Trained):
    """The activation comes after the second linear layer, on both ways."""

    def __init__(self, layers: dict[str, Any], *given: Any) -> None:
        super().__init__({name: layers[name] for name in ("first", "second", "relu", "last")}, *given)


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="training converges, ten times more slowly")
class RateTwice(Trained):
    """The gradient is multiplied by the learning rate, and so is the step."""

    def direction(self, name: str, grad: Array) -> Array:
        return self.lr * super().direction(name, grad)


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="training converges, more slowly the larger the batch is")
class AveragedTwice(Trained):
    """The gradients, means over the batch already, are divided by the batch size once more."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, grad) / 4


@planted(NETWORK, at="first.bias", cause="learning rate factor", hidden="only biases are off, which change little")
class BiasesTwiceAsFast(Trained):
    """Biases have twice the learning rate, as was usual once."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, grad) * (2 if name.endswith("bias") else 1)


@planted(NETWORK, at="first.weight", cause="clipped by its norm", hidden="the direction is right, and the learning rate is anybody's choice")
class ClippedByNorm(Trained):
    """Gradients are clipped to a norm of 0.1 in each layer, which nobody asked for."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction(name, grad) * min(1, 0.1 / float(np.linalg.norm(grad)))


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="in the first step nothing has decayed")
class RateDecays(Trained):
    """The learning rate falls by a tenth after each step, which nobody asked for."""

    def update(self) -> None:
        super().update()
        self.lr *= 0.9


@planted(NETWORK, at="first.weight", cause="weight decay", hidden="a decay of 0.0005 changes the fifth digit of a step")
class DecayNobodyAskedFor(Trained):
    """Weight decay of 0.0005 is on by default."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        super().move(name, param, grad + 0.0005 * param)


@planted(SLOWLY, at="first.weight", hidden="a step moves each weight by half a unit in its last place more than it should")
class DecayBelowRounding(Trained):
    """Weight decay of 0.00005 is on by default, in a network that computes in single precision alone and learns slowly."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        super().move(name, param, grad + np.float32(0.00005) * param)


@planted(NETWORK, at="first.weight", cause="stale gradient", hidden="training converges as well")
class UpdatedWithTheLastGradient(Trained):
    """From the second step on the update takes the gradients of the step before."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.last: dict[str, Array] = {}

    def move(self, name: str, param: Array, grad: Array) -> None:
        super().move(name, param, self.last.get(name, grad))
        self.last[name] = grad.copy()


@planted(MOMENTUM, at="first.weight", cause="momentum left out", hidden="the first step is right, and training converges")
class BuffersLost(Trained):
    """The buffers are made anew in each step, as is an optimizer that is made within the loop."""

    def update(self) -> None:
        self.velocity.clear()
        super().update()


@planted(MOMENTUM, at="second.bias", cause="shared buffer", hidden="parameters of different shapes would raise an error; these are alike")
class BuffersByLayersShape(Trained):
    """Buffers are kept by shape, so that layers of one shape share theirs."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.by_shape: dict[tuple[int, ...], Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        kept = self.by_shape.get(grad.shape)
        self.by_shape[grad.shape] = self.velocity[name] = grad.copy() if kept is None else self.momentum * kept + grad
        return self.velocity[name]
