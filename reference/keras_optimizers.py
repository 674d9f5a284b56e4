"""Keras's version of every scratch optimizer, or the nearest that there is, with what is different.

Keras keeps steps where PyTorch keeps gradients, lets weights decay by themselves, and has its epsilons elsewhere. A new optimizer is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings
from crosscheck.references.keras.optimizers import KerasOptimizer
from reference.copying import settings_of
from reference.optimizers import PARAM, OptimizerTwin

import keras  # isort: skip

_DECAY = "Keras's weight decay shrinks the parameters and stays out of the gradient"


def optimizer_twin(optimizer: object) -> OptimizerTwin:
    """Return Keras's version of a scratch optimizer, with the settings that it has now.

    Raises
    ------
    TypeError
        If the optimizer has no entry here.
    """
    return _twin(settings_of(optimizer))


@singledispatch
def _twin(settings: object) -> OptimizerTwin:
    raise TypeError(f"no Keras twin for {type(settings).__name__}; add an entry to reference/keras_optimizers.py")


@_twin.register
def _(s: SgdSettings) -> OptimizerTwin:
    differs: dict[str, str] = {}
    if s.momentum and s.weight_decay:
        differs = dict.fromkeys((PARAM, "momentum"), _DECAY)
    elif s.momentum and s.dampening:
        differs = dict.fromkeys((PARAM, "momentum"), "Keras's SGD has no dampening: its buffer adds the whole gradient")
    # A buffer of Keras's holds a step.
    make = _made(keras.optimizers.SGD, s.lr, s.weight_decay, momentum=s.momentum, nesterov=s.nesterov)
    return OptimizerTwin(make, {"momentum": "momentum"}, {"momentum": -1 / s.lr}, differs)


@_twin.register
def _(s: AdadeltaSettings) -> OptimizerTwin:
    differs = dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay else {}
    make = _made(keras.optimizers.Adadelta, s.lr, s.weight_decay, rho=s.rho, epsilon=s.eps)
    return OptimizerTwin(make, {"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"}, differs=differs)


@_twin.register
def _(s: RmspropSettings) -> OptimizerTwin:
    reason = "Keras's RMSprop has its epsilon inside of the root"
    differs = {quantity: reason for quantity in (PARAM, *s.states) if s.eps and quantity in (PARAM, "momentum")}
    differs |= dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay else {}
    make = _made(keras.optimizers.RMSprop, s.lr, s.weight_decay, rho=s.alpha, momentum=s.momentum, epsilon=s.eps, centered=s.centered)
    states = {"square_avg": "velocity", "momentum": "momentum", "grad_avg": "average_gradient"}
    return OptimizerTwin(make, states, {"momentum": 1 / s.lr}, differs)


@_twin.register
def _(s: AdamSettings) -> OptimizerTwin:
    differs = {PARAM: "Keras's Adam adds its epsilon before the correction for the start"} if s.eps else {}
    differs |= dict.fromkeys((PARAM, *s.states), _DECAY) if s.weight_decay and not s.decoupled else {}
    kind = keras.optimizers.AdamW if s.decoupled else keras.optimizers.Adam
    options: Any = {"beta_1": s.betas[0], "beta_2": s.betas[1], "epsilon": s.eps, "amsgrad": s.amsgrad}
    states = {"exp_avg": "momentum", "exp_avg_sq": "velocity", "max_exp_avg_sq": "velocity_hat"}
    return OptimizerTwin(_made(kind, s.lr, s.weight_decay, **options), states, differs=differs)


def _made(kind: Callable[..., Any], lr: float, weight_decay: float, **options: Any) -> KerasOptimizer:
    return KerasOptimizer(lambda params: kind(lr, weight_decay=weight_decay or None, **options))
