"""Optimizers: the settings of each, and its formula for one parameter, which works on arrays of any library and on tracked numbers.

Settings have PyTorch's meaning and PyTorch's defaults; ``states`` are the names of the state that the optimizer keeps.

A rule takes the settings, the parameter, its gradient and a dict of its state, which is empty before the first step. It returns the parameter and the
state after the step. A rule works element by element, so parameters may be joined to one array. It uses PyTorch's formula in PyTorch's order
(``torch/optim``); if another order is just as common, the error bounds hold for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from crosscheck.oracles.running_error import Operand, constant, max_error, running_mean


@dataclass(frozen=True)
class SgdSettings:
    """Stochastic gradient descent."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    @property
    def states(self) -> tuple[str, ...]:
        """The momentum buffer, if momentum is used."""
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True)
class AdadeltaSettings:
    """Adadelta (Zeiler, 2012). Keras 1 and 2 use lr = 1 and eps = 1e-7 or 1e-6."""

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0

    @property
    def states(self) -> tuple[str, ...]:
        """The running means of the squared gradients and of the squared steps."""
        return ("square_avg", "acc_delta")


@dataclass(frozen=True)
class RmspropSettings:
    """RMSprop (Hinton, Neural networks for machine learning, lecture 6, 2012); if centered, it divides by the standard deviation (Graves, 2013)."""

    lr: float = 0.01
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """The running mean of the squared gradients and, if they are used, the momentum buffer and the running mean of the gradients."""
        return ("square_avg", *(("momentum",) if self.momentum else ()), *(("grad_avg",) if self.centered else ()))


@dataclass(frozen=True)
class AdamSettings:
    """Adam (Kingma and Ba, 2015).

    With ``amsgrad`` it uses the largest second moment so far (Reddi et al., 2018); with ``decoupled`` it is AdamW (Loshchilov and Hutter, 2019).
    """

    lr: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    amsgrad: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """The running means of the gradients and of their squares, with ``amsgrad`` the largest mean of squares so far, and the number of steps."""
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ()), "step")


Settings: TypeAlias = SgdSettings | AdadeltaSettings | RmspropSettings | AdamSettings
"""The settings of any optimizer."""

State: TypeAlias = Mapping[str, Operand]
Rule: TypeAlias = Callable[[Any, Operand, Operand, State], tuple[Operand, dict[str, Operand]]]

COUNTERS = frozenset({"step"})
"""Names of states that are whole-number counters; counters are never rounded."""


def sgd(settings: SgdSettings, param: Operand, grad: Operand, state: State) -> tuple[Operand, dict[str, Operand]]:
    """Return ``w - lr d``: d is the gradient g or, with momentum, ``b = momentum b + (1 - dampening) g``, or ``g + momentum b`` (Nesterov).

    In the first step, the buffer b is the gradient, without dampening.
    """
    lr, slope = constant(settings.lr, param), grad
    if not settings.momentum and not settings.weight_decay:
        return param - lr * grad, {}
    grad = _decayed(settings.weight_decay, param, grad)
    if not settings.momentum:
        return max_error(param - lr * grad, param * (1 - lr * settings.weight_decay) - lr * slope), {}
    momentum, buffer = constant(settings.momentum, param), grad
    if "momentum" in state:
        fresh = (1 - constant(settings.dampening, param)) * grad if settings.dampening else grad
        buffer = momentum * state["momentum"] + fresh
    if not settings.nesterov:
        return param - lr * buffer, {"momentum": buffer}
    return max_error(param - lr * (grad + momentum * buffer), param - lr * grad - lr * momentum * buffer), {"momentum": buffer}


def adadelta(settings: AdadeltaSettings, param: Operand, grad: Operand, state: State) -> tuple[Operand, dict[str, Operand]]:
    """Return ``w - lr d`` with ``d = sqrt(a + eps) / sqrt(v + eps) g``.

    v is the running mean of g², including this step; a is the running mean of d², without this step.
    """
    grad = _decayed(settings.weight_decay, param, grad)
    square_avg = running_mean(settings.rho, state.get("square_avg", 0.0), grad * grad)
    acc_delta = state.get("acc_delta", 0.0 * grad)
    delta = _sqrt(acc_delta + settings.eps) / _sqrt(square_avg + settings.eps) * grad
    acc_delta = running_mean(settings.rho, acc_delta, delta * delta)
    return param - settings.lr * delta, {"square_avg": square_avg, "acc_delta": acc_delta}


def rmsprop(settings: RmspropSettings, param: Operand, grad: Operand, state: State) -> tuple[Operand, dict[str, Operand]]:
    """Return ``w - lr d`` with ``d = g / (sqrt(v) + eps)``; with momentum ``w - lr b`` with ``b = momentum b + d``.

    v is the running mean of g². If centered, the square of the running mean of g is subtracted from v.
    """
    grad = _decayed(settings.weight_decay, param, grad)
    square_avg = running_mean(settings.alpha, state.get("square_avg", 0.0), grad * grad)
    after, variance = {"square_avg": square_avg}, square_avg
    if settings.centered:
        after["grad_avg"] = running_mean(settings.alpha, state.get("grad_avg", 0.0), grad)
        variance = square_avg - after["grad_avg"] * after["grad_avg"]
    direction = grad / (_sqrt(variance) + settings.eps)
    if settings.momentum:
        direction = after["momentum"] = settings.momentum * state.get("momentum", 0.0) + direction
    return param - settings.lr * direction, after


def adam(settings: AdamSettings, param: Operand, grad: Operand, state: State) -> tuple[Operand, dict[str, Operand]]:
    """Return ``w - lr m' / (sqrt(v') + eps)`` with ``m' = m / (1 - beta1^t)``, ``v' = v / (1 - beta2^t)``; m, v are the running means of g and g².

    PyTorch applies the two corrections to the learning rate and to the root instead. Decoupled weight decay first multiplies w by ``1 - lr decay``.
    """
    lr = constant(settings.lr, param)
    if settings.decoupled and settings.weight_decay:
        param = param * (1 - lr * settings.weight_decay)
    else:
        grad = _decayed(settings.weight_decay, param, grad)
    step = state.get("step", 0.0) + 1
    first = running_mean(settings.betas[0], state.get("exp_avg", 0.0), grad)
    second = running_mean(settings.betas[1], state.get("exp_avg_sq", 0.0), grad * grad)
    after = {"exp_avg": first, "exp_avg_sq": second, "step": step}
    if settings.amsgrad:
        second = after["max_exp_avg_sq"] = _library(second).maximum(state.get("max_exp_avg_sq", 0.0), second)
    correction, correction_sq = (1 - constant(beta, param) ** step for beta in settings.betas)
    of_torch = param - lr / correction * (first / (_sqrt(second) / _sqrt(correction_sq) + settings.eps))
    as_published = param - lr * (first / correction) / (_sqrt(second / correction_sq) + settings.eps)
    return max_error(of_torch, as_published), after


def _library(x: Operand) -> Any:
    """Return the library of an array; NumPy for tracked numbers and Python numbers."""
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np


def _sqrt(x: Operand) -> Operand:
    return _library(x).sqrt(x)


def _decayed(weight_decay: float, param: Operand, grad: Operand) -> Operand:
    """Return the gradient plus the gradient of ``weight_decay / 2 w²``."""
    return grad + weight_decay * param if weight_decay else grad


RULES: Mapping[type[Settings], Rule] = {SgdSettings: sgd, AdadeltaSettings: adadelta, RmspropSettings: rmsprop, AdamSettings: adam}
"""For each class of settings, the rule of its optimizer."""
