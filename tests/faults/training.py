"""Faults in whole training steps: between the layers, in the loss, in the update, from step to step."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np
from textbook.linear import Linear
from textbook.loss import Labels
from textbook.network import CrossEntropy, ReLU
from textbook.network import Network as Trained
from torch import nn

from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.arithmetic import Array
from crosscheck.model_pair import ModelPair
from faults.fault import Host, Kind, planted

LR = 0.1
NAMES = ("first", "relu", "second", "last")


def _reference() -> nn.Sequential:
    return nn.Sequential(OrderedDict(first=nn.Linear(5, 4), relu=nn.ReLU(), second=nn.Linear(4, 4), last=nn.Linear(4, 4)))


def _network(kind: Kind, dtype: str, momentum: float, lr: float) -> Trained:
    network = kind({"first": Linear(5, 4), "relu": ReLU(), "second": Linear(4, 4), "last": Linear(4, 4)}, dtype, lr, momentum)
    assert isinstance(network, Trained)
    return network


def _listened(kind: Kind, momentum: float = 0.0, lr: float = LR, **settings: Any) -> ModelPair:
    """Return a network whose layers are listened to."""

    def make(dtype: str) -> Network:
        network = _network(kind, dtype, momentum, lr)
        parts = {name: Part(network.layers[name], {key: key for key in network.layers[name].params}) for name in NAMES}
        return Network(parts, network.train_step, network.loss, lambda: network.velocity)

    return _pair(make, momentum=momentum, lr=lr, **settings)


def _seen_from_outside(kind: Kind, momentum: float = 0.0, lr: float = LR, **settings: Any) -> ModelPair:
    """Return a network that shows its loss and its parameters alone."""

    def make(dtype: str) -> WholeStep:
        network = _network(kind, dtype, momentum, lr)
        arrays = {f"{name}.{key}": value for name, layer in network.layers.items() for key, value in layer.params.items()}
        return WholeStep(network.train_step, arrays, {name: name for name in arrays}, predict=network.forward)

    return _pair(make, momentum=momentum, lr=lr, **settings)


def _pair(make: Any, **settings: Any) -> ModelPair:
    usual: dict[str, Any] = {"shape": (4, 5), "classes": 4, "steps": 6, "loss": nn.CrossEntropyLoss(), "name": "training"}
    return ModelPair(make, _reference(), **(usual | settings))


NETWORK = Host("network", Trained, _listened)
MOMENTUM = Host("network with momentum", Trained, lambda kind: _listened(kind, momentum=0.9))
SLOWLY = Host("network in single precision", Trained, lambda kind: _listened(kind, dtypes=("float32",), lr=0.001))
WHOLE = Host("whole step", Trained, _seen_from_outside)
WHOLE_MOMENTUM = Host("whole step with momentum", Trained, lambda kind: _seen_from_outside(kind, momentum=0.9))


class _Accumulating(Linear):
    """Adds to the gradients that are there."""

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient."""
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
        """Move one parameter along the sum."""
        self.sums[name] = self.sums.get(name, np.zeros_like(grad)) + grad
        super().move(name, param, self.sums[name])


class _UpdatesFirst(Linear):
    """Updates its weight before it passes the gradient on."""

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient."""
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
        """Return ``softmax - one_hot``."""
        return np.asarray(self._probabilities - self.targets())


@planted(NETWORK, at="loss.grad_input", cause="constant factor", hidden="the loss is right, and another learning rate would do the same")
class MeanWithTheGradientOfTheSum(Trained):
    """The loss is the mean over the batch, its gradient that of the sum."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _SummedGradient()


class _SummedLoss(CrossEntropy):
    """Has the sum as its value and the gradient of the mean."""

    def reduced(self, losses: Array) -> Array:
        """Return the sum over samples."""
        return np.asarray(losses.sum())


@planted(NETWORK, at="loss.output", cause="constant factor", hidden="training is right: only the number that is printed is not")
class SumWithTheGradientOfTheMean(Trained):
    """The loss is the sum over the batch, its gradient that of the mean."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _SummedLoss()


class _LogitsForProbabilities(CrossEntropy):
    """Takes the logits for probabilities on the way back."""

    def forward(self, logits: Array, labels: Labels) -> Array:
        """Return the right loss."""
        loss = super().forward(logits, labels)
        self._probabilities = logits
        return loss


@planted(NETWORK, at="loss.grad_input", hidden="the loss is right, and the gradient has the right sign in most places")
class SoftmaxMissingBackward(Trained):
    """The loss's gradient is ``logits - one_hot``, the softmax being left out."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _LogitsForProbabilities()


@planted(MOMENTUM, at="second.weight", cause="not updated", hidden="the other layers learn all the same")
class LayerNotUpdated(Trained):
    """One layer is forgotten in the update."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter unless it is the second layer's."""
        moved = np.zeros_like(param) if name.startswith("second") else param
        super().move(name, moved, grad)


@planted(NETWORK, at="second.bias", cause="not updated", hidden="biases start at zero and change little")
class BiasNotTrained(Trained):
    """One layer's bias stays as it is."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter unless it is that bias."""
        if name != "second.bias":
            super().move(name, param, grad)


@planted(NETWORK, at="relu.grad_output", hidden="gradients have the right shape, and where the activation is positive they are right")
class ActivationSkippedBackward(Trained):
    """The activation is left out on the way back."""

    def backward(self, grad_output: Array) -> None:
        """Leave the gradients of the linear layers."""
        for layer in reversed(self.layers.values()):
            grad_output = layer.backward(grad_output) if layer.params else grad_output


@planted(NETWORK, at="relu.input", hidden="all shapes fit, and what is trained is a network all the same")
class LayersInAnotherOrder(Trained):
    """The activation comes after the second linear layer, on both ways."""

    def __init__(self, layers: dict[str, Any], *given: Any) -> None:
        super().__init__({name: layers[name] for name in ("first", "second", "relu", "last")}, *given)


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="training converges, ten times more slowly")
class RateTwice(Trained):
    """The gradient is multiplied by the learning rate, and so is the step."""

    def direction(self, name: str, grad: Array) -> Array:
        """Return the gradient, scaled already."""
        return self.lr * super().direction(name, grad)


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="training converges, more slowly the larger the batch is")
class AveragedTwice(Trained):
    """The gradients, means over the batch already, are divided by the batch size once more."""

    def direction(self, name: str, grad: Array) -> Array:
        """Return the gradient, divided by the size of a batch."""
        return super().direction(name, grad) / 4


@planted(NETWORK, at="first.bias", cause="learning rate factor", hidden="only biases are off, which change little")
class BiasesTwiceAsFast(Trained):
    """Biases have twice the learning rate, as was usual once."""

    def direction(self, name: str, grad: Array) -> Array:
        """Return the gradient, twice that of a bias."""
        return super().direction(name, grad) * (2 if name.endswith("bias") else 1)


@planted(NETWORK, at="first.weight", hidden="the direction is right, and the learning rate is anybody's choice")
class ClippedByNorm(Trained):
    """Gradients are clipped to a norm of 0.1 in each layer, which nobody asked for."""

    def direction(self, name: str, grad: Array) -> Array:
        """Return the gradient, shortened."""
        return super().direction(name, grad) * min(1, 0.1 / float(np.linalg.norm(grad)))


@planted(NETWORK, at="first.weight", cause="learning rate factor", hidden="in the first step nothing has decayed")
class RateDecays(Trained):
    """The learning rate falls by a tenth after each step, which nobody asked for."""

    def update(self) -> None:
        """Move every parameter and lower the rate."""
        super().update()
        self.lr *= 0.9


@planted(NETWORK, at="first.weight", cause="weight decay", hidden="a decay of 0.0005 changes the fifth digit of a step")
class DecayNobodyAskedFor(Trained):
    """Weight decay of 0.0005 is on by default."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter, with its decay."""
        super().move(name, param, grad + 0.0005 * param)


@planted(SLOWLY, at="first.weight", hidden="a step moves each weight by half a unit in its last place more than it should")
class DecayBelowRounding(Trained):
    """Weight decay of 0.00005 is on by default, in a network that computes in single precision alone and learns slowly."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter, with its decay."""
        super().move(name, param, grad + np.float32(0.00005) * param)


@planted(NETWORK, at="first.weight", cause="stale gradient", hidden="training converges as well")
class UpdatedWithTheLastGradient(Trained):
    """From the second step on the update takes the gradients of the step before."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.last: dict[str, Array] = {}

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter along the gradient before this one."""
        super().move(name, param, self.last.get(name, grad))
        self.last[name] = grad.copy()


@planted(MOMENTUM, at="first.weight", cause="momentum left out", hidden="the first step is right, and training converges")
class BuffersLost(Trained):
    """The buffers are made anew in each step, as is an optimizer that is made within the loop."""

    def update(self) -> None:
        """Move every parameter with a buffer of this step alone."""
        self.velocity.clear()
        super().update()


@planted(MOMENTUM, at="second.bias", hidden="parameters of different shapes would raise an error; these are alike")
class BuffersByLayersShape(Trained):
    """Buffers are kept by shape, so that layers of one shape share theirs."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.by_shape: dict[tuple[int, ...], Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        """Return the buffer of all parameters of a shape."""
        kept = self.by_shape.get(grad.shape)
        self.by_shape[grad.shape] = self.velocity[name] = grad.copy() if kept is None else self.momentum * kept + grad
        return self.velocity[name]


@planted(NETWORK, at="first.output", hidden="each step by itself looks like a first step")
class InitialisedInEachStep(Trained):
    """The parameters are drawn anew at the beginning of each step."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Draw, and do one step."""
        rng = np.random.default_rng(0)
        for layer in self.layers.values():
            for value in layer.params.values():
                value[...] = rng.standard_normal(value.shape)
        return super().train_step(x, labels)


@planted(NETWORK, at="first.input", hidden="the first step is right, and the loss falls fast")
class BatchOfTheFirstStep(Trained):
    """The batch of the first step is kept and used in every step."""

    batch: tuple[Array, Labels] | None = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step on the first batch."""
        self.batch = self.batch or (x.copy(), labels.copy())
        return super().train_step(*self.batch)


@planted(NETWORK, at="loss.output", hidden="loss and gradients look like those of any other batch")
class LabelsInAnotherOrder(Trained):
    """The labels are shuffled, and the images are not."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step on labels that belong to other samples."""
        return super().train_step(x, np.roll(labels, 1))


@planted(NETWORK, at="loss.output", cause="label off by one", hidden="a negative index is no error: class 0 becomes the last class")
class LabelsFromOne(Trained):
    """Labels are taken to count from 1."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step on labels less one."""
        return super().train_step(x, labels - 1)


@planted(WHOLE, at="loss.output", hidden="the loss of the other samples is as good an estimate")
class LastSampleDropped(Trained):
    """The last sample of the batch is left out."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step on all samples but the last."""
        return super().train_step(x[:-1], labels[:-1])


@planted(WHOLE, at="loss.output", hidden="training is right, and the printed loss is only a little lower")
class LossAfterTheUpdate(Trained):
    """The loss is computed again after the update."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step and return the loss after it."""
        super().train_step(x, labels)
        return self.loss.forward(self.forward(x), labels)


@planted(WHOLE, at="loss.output", hidden="the first step is right, and a smoothed curve looks better")
class LossSmoothed(Trained):
    """The loss that a step returns is a running mean."""

    smoothed: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step and return the running mean of the losses."""
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


@planted(WHOLE_MOMENTUM, at="last.weight", hidden="the first step is right, and training converges")
class BuffersLostSeenFromOutside(BuffersLost):
    """The buffers are made anew in each step, and are not seen."""


@planted(WHOLE, at="contract-batch_is_left_alone", hidden="the step itself is right; the second epoch starts from other images")
class BatchCentredInPlace(Trained):
    """After the step the batch is scaled in place, for the next epoch."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step and write to the batch."""
        loss = super().train_step(x, labels)
        x -= x.mean()
        return loss


class _FixedBatch(CrossEntropy):
    """Divides by the size of the first batch."""

    size = 0

    def backward(self) -> Array:
        """Return the gradient for the logits."""
        self.size = self.size or len(self._labels)
        return np.asarray((self._probabilities - self.targets()) / self.size)


@planted(NETWORK, at="contract-smaller_batch_works", hidden="only the last batch of an epoch is smaller")
class SizeOfTheFirstBatch(Trained):
    """Gradients are divided by the size of the first batch for ever."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loss = _FixedBatch()


@planted(WHOLE, at="contract-predicting_leaves_parameters", hidden="a test that does not predict between steps passes")
class PredictionRounds(Trained):
    """Predicting outside of a training step leaves the parameters rounded, to save memory."""

    training = False

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step, with the parameters as they are."""
        self.training = True
        loss = super().train_step(x, labels)
        self.training = False
        return loss

    def forward(self, x: Array) -> Array:
        """Return the logits."""
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
        """Move one parameter along its gradient and a little noise."""
        noise = np.random.default_rng().uniform(-1, 1, grad.shape).astype(grad.dtype)
        super().move(name, param, grad * (1 + np.finfo(grad.dtype).eps / 2 * noise))


@planted(NETWORK, at="first.input", hidden="an augmentation is on in training alone, and a test of prediction passes")
class SamplesFlipped(Trained):
    """Every other sample is turned round, an augmentation that nobody asked for."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one step on samples half of which are turned round."""
        turned = x.copy()
        turned[::2] = turned[::2, ::-1]
        return super().train_step(turned, labels)


@planted(
    WHOLE, at="last.weight", hidden="gradient checks are done in float64, which keeps all its digits; in float32 the loss falls, and then no longer"
)
class WeightsTruncated(Trained):
    """Parameters in single precision are cut off to 16 bits, as bfloat16 is made by hand, where they have to be rounded."""

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter, and leave its upper half."""
        bits = np.uint32(0xFFFF0000)
        super().move(name, param, grad)
        if param.dtype == np.float32:
            param[...] = (param.view(np.uint32) & bits).view(np.float32)
