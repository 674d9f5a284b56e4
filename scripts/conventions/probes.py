"""Probes that all frameworks share, of optimizers and of an epsilon, and functions that turn arrays into numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conventions.answers import Measured, Probe, Probes

Moves = Callable[..., tuple[float, ...]]
"""``moves(kind, grads, start=0.0, rates=(), **settings)`` returns how much each step of an optimizer decreases a single parameter. Kinds and settings
have PyTorch's names, except that RMSprop's decay is ``rho``. ``rates`` are the learning rates of the steps, if they change."""

WINDOW = ((1.0, 1.0), (1.0, 1.0))
EQUAL = (1.0, 1.0, 1.0, 1.0)
SQUARES = ((1.0, 2.0), (3.0, 4.0))


def numbers(array: Any) -> tuple[float, ...]:
    """Return the numbers of an array."""
    return tuple(np.asarray(array, dtype=np.float64).ravel().tolist())


def shape(array: Any) -> tuple[float, ...]:
    """Return the shape of an array."""
    return tuple(array.shape)


def epsilon(normalised: Callable[[Sequence[float]], Any]) -> Measured:
    """Return the epsilon of a normalisation, computed from its output for a batch of two small numbers."""
    small = 1e-3
    return ((small / numbers(normalised([small, -small]))[0]) ** 2 - small**2,)


def renamed(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return settings under a framework's names."""
    return {names.get(name, name): value for name, value in settings.items()}


def of_optimizers(moves: Moves, call: Callable[[str], str] = lambda kind: kind, epsilon_inside: bool = False) -> dict[str, Mapping[str, Probe]]:
    """Return the probes of a framework's optimizers.

    ``call`` returns the code that makes an optimizer of a kind, for the page. If ``epsilon_inside``, RMSprop adds its epsilon inside the root.
    """

    def step(kind: str, grad: float = 1.0, **settings: Any) -> float:
        return moves(kind, [grad], **settings)[0]

    def decayed(kind: str, **settings: Any) -> Probe:
        """Return a probe that measures a parameter that starts at 1 after two steps with zero gradient."""
        return lambda: (1 - sum(moves(kind, [0.0, 0.0], start=1.0, lr=0.1, weight_decay=0.1, **settings)),)

    def rate(kind: str) -> Probe:
        """Return a probe that measures the default learning rate of a kind of optimizer."""
        return lambda: (step(kind) / step(kind, lr=1.0),)

    def rmsprop_epsilon() -> Measured:
        if epsilon_inside:
            return ((1e-4 / step("RMSprop", 1e-4, lr=1.0, rho=0.0)) ** 2 - 1e-8,)
        return (1e-7 / step("RMSprop", 1e-7, lr=1.0, rho=0.0) - 1e-7,)

    sgd, adam, adamw, rmsprop, adadelta = map(call, ("SGD", "Adam", "AdamW", "RMSprop", "Adadelta"))
    return {
        "sgd-momentum": {sgd: lambda: moves("SGD", [1, 1], rates=(0.1, 0.01), lr=0.1, momentum=0.5)[1:]},
        "nesterov": {f"{sgd}(..., nesterov=True)": lambda: moves("SGD", [1, 1], lr=1.0, momentum=0.5, nesterov=True)},
        "weight-decay": {
            f"{sgd}(..., weight_decay)": decayed("SGD", momentum=0.5),
            f"{adam}(..., weight_decay)": decayed("Adam"),
            f"{adamw}(..., weight_decay)": decayed("AdamW"),
        },
        "adamw-decay-default": {adamw: lambda: (moves("AdamW", [0.0], start=1.0, lr=100.0)[0] / 100,)},
        "adam-epsilon": {adam: lambda: (step("Adam", lr=1.0, eps=1.0),)},
        "adam-epsilon-default": {adam: lambda: (1e-7 / step("Adam", 1e-7, lr=1.0) - 1e-7,)},
        "rmsprop-epsilon": {rmsprop: lambda: (step("RMSprop", lr=1.0, rho=0.0, eps=1.0),)},
        "rmsprop-epsilon-default": {rmsprop: rmsprop_epsilon},
        "rmsprop-rho-default": {rmsprop: lambda: (1 - step("RMSprop", lr=1.0) ** -2,)},
        "adadelta-epsilon": {adadelta: lambda: (step("Adadelta", lr=1.0, rho=0.0, eps=1.0),)},
        "adadelta-epsilon-default": {adadelta: lambda: (1 / (step("Adadelta", lr=1.0, rho=0.0) ** -2 - 1),)},
        "adadelta-rho-default": {adadelta: lambda: (2 - step("Adadelta", lr=1.0, eps=1.0) ** -2,)},
        "learning-rate-default": {call(kind): rate(kind) for kind in ("SGD", "Adam", "RMSprop", "Adadelta")},
    }


def dampening(moves: Moves) -> Probes:
    """Return the probe that measures how gradient descent with momentum applies dampening."""
    return {"sgd-dampening": {"SGD(..., dampening=0.5)": lambda: moves("SGD", [1, 1], lr=1.0, momentum=0.5, dampening=0.5)}}
