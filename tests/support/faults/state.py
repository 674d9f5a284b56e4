"""Faults in what layers keep, share and write to: most give the right numbers in a test of one call."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import nn

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.convolution import Conv2d

PARAMS = {"weight": "weight", "bias": "bias"}

LAYER = Host("layer", Conv2d, lambda kind: Pair(kind(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 6, 5)], params=PARAMS, name="layer"))


@planted(LAYER, at="contract-inputs_are_left_alone", hidden="the layer's own output and gradients are right")
class InputWritten(Conv2d):
    """The input is centred in place after its use."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x.copy())
        x -= x.mean()
        return output


@planted(LAYER, at="contract-inputs_are_left_alone", hidden="the layer's own gradients are right")
class CotangentWritten(Conv2d):
    """The cotangent is averaged over the batch in place after its use."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        grad_output /= len(grad_output)
        return grad_input


@planted(LAYER, at="contract-params_are_left_alone", hidden="the first call is right")
class WeightWritten(Conv2d):
    """The weight is clipped after each backward pass."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        np.clip(self.params["weight"], -0.5, 0.5, out=self.params["weight"])
        return grad_input


@planted(LAYER, at="contract-backward_uses_the_last_forward", hidden="a test does one forward pass before each backward pass")
class FirstInputKept(Conv2d):
    """The input is kept where there is none of its shape yet."""

    def forward(self, x: Array) -> Array:
        kept = getattr(self, "_x", None)
        output = super().forward(x)
        self._x = x if kept is None or kept.shape != x.shape else kept
        return output


@planted(LAYER, at="contract-backward_uses_the_last_forward", hidden="a test does one forward pass before each backward pass")
class InputsInAQueue(Conv2d):
    """Inputs wait in a queue, and the backward pass takes the oldest."""

    queue: tuple[Array, ...] = ()

    def forward(self, x: Array) -> Array:
        self.queue = (*self.queue, x)
        return super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        if self.queue:
            self._x, *rest = self.queue
            self.queue = tuple(rest)
        return super().backward(grad_output)


@planted(LAYER, at="contract-results_stay_unchanged", hidden="each output is right until the next call")
class OutputReused(Conv2d):
    """One array for each shape is returned again and again."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        memory = getattr(self, "_memory", None)
        if memory is None or memory.shape != output.shape or memory.dtype != output.dtype:
            self._memory = memory = np.empty_like(output)
        memory[...] = output
        return memory


@planted(LAYER, at="contract-results_stay_unchanged", hidden="each gradient is right until the next call")
class GradientReused(Conv2d):
    """The input's gradient is a piece of the layer's own memory."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        memory = getattr(self, "_memory", None)
        alike = memory is not None and memory.shape[1:] == grad_input.shape[1:] and memory.dtype == grad_input.dtype
        if memory is None or not alike or len(memory) < len(grad_input):
            self._memory = memory = np.empty_like(grad_input)
        memory[: len(grad_input)] = grad_input
        return np.asarray(memory[: len(grad_input)])


@planted(LAYER, at="contract-same_call_same_answer", hidden="the first backward pass is right")
class GradientsAdded(Conv2d):
    """Gradients are added to those that are there."""

    def backward(self, grad_output: Array) -> Array:
        before = self.grads
        grad_input = super().backward(grad_output)
        self.grads = {name: value + before[name] if name in before else value for name, value in self.grads.items()}
        return grad_input


@planted(LAYER, at="contract-forward_does_not_change_gradients", hidden="who updates right after the backward pass sees nothing")
class GradientsCleared(Conv2d):
    """The forward pass clears the gradients."""

    def forward(self, x: Array) -> Array:
        self.grads = {name: np.zeros_like(value) for name, value in self.grads.items()}
        return super().forward(x)


@planted(LAYER, at="contract-instances_share_nothing", hidden="a test with one layer passes")
class CacheOfTheClass(Conv2d):
    """What the backward pass needs is kept in a class attribute."""

    cache: ClassVar[dict[str, Array]] = {}

    def forward(self, x: Array) -> Array:
        self.cache["x"] = x
        return super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        self._x = self.cache["x"]
        return super().backward(grad_output)


@planted(LAYER, at="contract-instances_share_nothing", hidden="a test with one layer passes")
class CacheOfADefaultArgument(Conv2d):
    """What the backward pass needs is kept in a default argument, which there is one of."""

    def forward(self, x: Array, cache: dict[str, Array] = {}) -> Array:  # noqa: B006 - the fault
        cache["x"] = x
        self._cache = cache
        return super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        self._x = self._cache["x"]
        return super().backward(grad_output)


@planted(LAYER, at="contract-same_call_same_answer", hidden="a difference in the last digit is below every tolerance, and no run can be repeated")
class OrderAtRandom(Conv2d):
    """The output is multiplied by one and a little, drawn anew each time."""

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        noise = np.random.default_rng().uniform(-1, 1, output.shape).astype(x.dtype)
        return output * (1 + np.finfo(x.dtype).eps / 2 * noise)


@planted(LAYER, at="contract-same_call_same_answer", hidden="the first call is right")
class DependsOnTheCount(Conv2d):
    """From the second call on the layer takes another way, which is a little wrong."""

    calls = 0

    def forward(self, x: Array) -> Array:
        self.calls += 1
        return super().forward(x) * (1 if self.calls == 1 else 1 + 1e-9)


@planted(LAYER, at="contract-smaller_batch_works", hidden="only the last batch of an epoch is smaller")
class RestOfTheLargerBatch(Conv2d):
    """A smaller batch is padded with what is left of the larger one before it."""

    largest: Any = None

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        if self.largest is None or len(self.largest) < len(grad_output):
            self.largest = grad_output.copy()
        self.grads["bias"] = self.grads["bias"] + self.largest[len(grad_output) :].sum(axis=(0, 2, 3))
        return grad_input


@planted(
    LAYER, at="bias.grad", cause="array without dtype", hidden="values are right, and everything after the layer needs twice the memory and time"
)
class PrecisionOfTheDefault(Conv2d):
    """The bias's gradient is computed in double precision, NumPy's default."""

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output).astype(np.float64)


@planted(LAYER, at="contract-same_output_in_both_modes", hidden="training is right, and what is tested is training")
class OtherOutputInEvaluation(Conv2d):
    """Evaluation leaves out the bias."""

    training = True

    def bias(self) -> Array:
        return super().bias() * (1 if self.training else 0)
