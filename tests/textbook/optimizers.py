"""Optimizers: gradient descent with momentum, RMSprop, Adadelta, Adam and AdamW, each with PyTorch's meaning of its settings.

An optimizer holds the parameters and updates their arrays in place. One step is the same for all of them: each parameter moves by the learning rate
times a direction, which is all that they differ in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from crosscheck.core.precision import Array


class Optimizer:
    """What all optimizers do.

    Parameters
    ----------
    params : mapping of str to array
    settings : float
        Those of the class, with other values.
    """

    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.1, "weight_decay": 0.0}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        self.params, self.settings = params, {**self.defaults, **settings}
        self.steps = 0

    def step(self, grads: Mapping[str, Array]) -> None:
        """Move every parameter by one step."""
        self.steps += 1
        for name in self.params:
            self.update(name, self.gradient(name, grads))

    def gradient(self, name: str, grads: Mapping[str, Array]) -> Array:
        """Return the gradient that a parameter's step takes."""
        return grads[name]

    def update(self, name: str, grad: Array) -> None:
        """Move one parameter: ``w <- w - lr d``."""
        self.params[name] -= self.rate() * self.direction(name, self.decayed(name, grad))

    def rate(self) -> float:
        """Return the learning rate."""
        return self.settings["lr"]

    def decayed(self, name: str, grad: Array) -> Array:
        """Return the gradient of the loss and of the penalty, ``weight_decay / 2 w²``."""
        return grad + self.settings["weight_decay"] * self.params[name] if self.settings["weight_decay"] else grad

    def direction(self, name: str, grad: Array) -> Array:
        """Return the gradient itself."""
        return grad

    def mean(self, kept: dict[str, Array], name: str, value: Array, beta: float) -> Array:
        """Return the running mean ``m <- beta m + (1 - beta) value``, which starts at zero and is kept."""
        kept[name] = beta * self.before(kept, name, value) + (1 - beta) * value
        return kept[name]

    def before(self, kept: dict[str, Array], name: str, value: Array) -> Array:
        """Return what is kept of a parameter from the step before; zeros at the first step."""
        return kept[name] if name in kept else np.zeros_like(value)


class SGD(Optimizer):
    """Gradient descent with momentum, plain or Nesterov's, and dampening."""

    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.1, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.buffers: dict[str, Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        """Return the momentum buffer, or with Nesterov ``g + momentum b``."""
        if not self.settings["momentum"]:
            return grad
        self.buffers[name] = self.buffer(name, grad)
        return grad + self.settings["momentum"] * self.buffers[name] if self.settings["nesterov"] else self.buffers[name]

    def buffer(self, name: str, grad: Array) -> Array:
        """Return ``b <- momentum b + (1 - dampening) g``; the first buffer is the gradient."""
        if name not in self.buffers:
            return grad.copy()
        return self.settings["momentum"] * self.buffers[name] + (1 - self.settings["dampening"]) * grad


class RMSprop(Optimizer):
    """The gradient over the root of the running mean of its square; centered, over its running deviation."""

    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "centered": False, "weight_decay": 0.0}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.squares: dict[str, Array] = {}
        self.means: dict[str, Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        """Return ``g / (sqrt(v) + eps)``."""
        return grad / self.root(self.variance(name, grad))

    def variance(self, name: str, grad: Array) -> Array:
        """Return the running mean of g², less the square of that of g where it is centered."""
        square = self.mean(self.squares, name, grad**2, self.settings["alpha"])
        if not self.settings["centered"]:
            return square
        return square - self.mean(self.means, name, grad, self.settings["alpha"]) ** 2

    def root(self, variance: Array) -> Array:
        """Return ``sqrt(v) + eps``."""
        return np.sqrt(variance) + self.settings["eps"]


class Adadelta(Optimizer):
    """The gradient in units of the steps taken before (Zeiler, 2012)."""

    defaults: ClassVar[Mapping[str, float]] = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.squares: dict[str, Array] = {}
        self.deltas: dict[str, Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        """Return ``sqrt(a + eps) / sqrt(v + eps) g``, with a the running mean of its square as it was before this step."""
        square = self.mean(self.squares, name, grad**2, self.settings["rho"])
        direction = self.root(self.before(self.deltas, name, grad)) / self.root(square) * grad
        self.mean(self.deltas, name, self.counted(direction) ** 2, self.settings["rho"])
        return direction

    def counted(self, direction: Array) -> Array:
        """Return what counts as the step taken."""
        return direction

    def root(self, mean: Array) -> Array:
        """Return ``sqrt(m + eps)``."""
        return np.asarray(np.sqrt(mean + self.settings["eps"]))


class Adam(Optimizer):
    """The running mean of the gradient over the root of that of its square (Kingma and Ba, 2015)."""

    defaults: ClassVar[Mapping[str, float]] = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}

    def __init__(self, params: dict[str, Array], **settings: float) -> None:
        super().__init__(params, **settings)
        self.first: dict[str, Array] = {}
        self.second: dict[str, Array] = {}

    def direction(self, name: str, grad: Array) -> Array:
        """Return ``m' / (sqrt(v') + eps)``, with ``m' = m / (1 - beta1^t)`` and ``v' = v / (1 - beta2^t)``."""
        m = self.mean(self.first, name, grad, self.settings["beta1"])
        v = self.mean(self.second, name, grad**2, self.settings["beta2"])
        return self.quotient(m / self.correction("beta1"), v / self.correction("beta2"))

    def correction(self, beta: str) -> float:
        """Return ``1 - beta^t``: the share of its values that a mean has that started at zero."""
        return 1 - self.settings[beta] ** self.time()

    def time(self) -> int:
        """Return t, 1 in the first step."""
        return self.steps

    def quotient(self, mean: Array, square: Array) -> Array:
        """Return the direction from the corrected means."""
        return np.asarray(mean / (np.sqrt(square) + self.settings["eps"]))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    defaults: ClassVar[Mapping[str, float]] = {**Adam.defaults, "weight_decay": 0.01}

    def update(self, name: str, grad: Array) -> None:
        """Shrink the parameter by ``1 - lr weight_decay``, then move it."""
        self.shrink(name)
        self.params[name] -= self.rate() * self.direction(name, grad)

    def shrink(self, name: str) -> None:
        """Shrink one parameter in place."""
        self.params[name] *= 1 - self.rate() * self.settings["weight_decay"]
