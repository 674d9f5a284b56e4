"""The table of optimizers under test: a row is an optimizer and its settings, followed step by step beside every reference.

A new optimizer, or a new setting, is a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import scratch
from crosscheck.pairs.optimizer_pair import GRADIENTS
from scratch import fast


@dataclass(frozen=True)
class OptimizerCase:
    """An optimizer of :mod:`scratch`, its settings and the kinds of gradients that it is tested on."""

    kind: type[scratch.Optimizer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    gradients: tuple[str, ...] = tuple(GRADIENTS)


WITHOUT_ZEROS = ("normal", "wide", "huge")
"""Gradients with nonzero squares: without an epsilon the others lead to 0 / 0."""

OPTIMIZERS: dict[str, OptimizerCase] = {
    "sgd": OptimizerCase(scratch.SGD, {"lr": 0.005}),
    "sgd-decay": OptimizerCase(scratch.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    "sgd-momentum": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd-momentum-decay": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.02}),
    "sgd-dampening": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd-dampening-decay": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.02}),
    "sgd-nesterov": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd-nesterov-decay": OptimizerCase(scratch.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02}),
    "adadelta": OptimizerCase(scratch.Adadelta, {"rho": 0.95, "eps": 1e-7}),
    "adadelta-decay": OptimizerCase(scratch.Adadelta, {"lr": 0.3, "weight_decay": 0.01}),
    "adadelta-fast": OptimizerCase(fast.Adadelta, {"rho": 0.95, "eps": 1e-7, "weight_decay": 0.01}),
    "rmsprop-momentum-decay": OptimizerCase(scratch.RMSprop, {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.01}),
    "rmsprop-centered": OptimizerCase(scratch.RMSprop, {"centered": True, "eps": 1e-3}),
    "rmsprop-no-eps": OptimizerCase(scratch.RMSprop, {"alpha": 0.9, "momentum": 0.7, "eps": 0.0}, WITHOUT_ZEROS),
    "rmsprop-centered-no-eps": OptimizerCase(scratch.RMSprop, {"alpha": 0.8, "centered": True, "eps": 0.0}, WITHOUT_ZEROS),
    "adam": OptimizerCase(scratch.Adam, {"lr": 0.1, "eps": 1e-3}),
    "adam-decay": OptimizerCase(scratch.Adam, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "adam-amsgrad": OptimizerCase(scratch.Adam, {"betas": (0.5, 0.6), "eps": 1e-3, "amsgrad": True}),
    "adam-no-eps": OptimizerCase(scratch.Adam, {"eps": 0.0}, WITHOUT_ZEROS),
    "adam-amsgrad-no-eps": OptimizerCase(scratch.Adam, {"betas": (0.5, 0.6), "eps": 0.0, "amsgrad": True}, WITHOUT_ZEROS),
    "adamw": OptimizerCase(scratch.AdamW, {"lr": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    "adamw-no-eps": OptimizerCase(scratch.AdamW, {"lr": 0.1, "weight_decay": 0.1, "eps": 0.0}, WITHOUT_ZEROS),
}
