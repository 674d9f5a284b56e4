"""optax's version of every scratch optimizer, put together from its parts so that each setting has PyTorch's meaning.

Each entry gives the gradient transformation and what optax calls the state. A new optimizer is one more entry.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import optax

from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings
from crosscheck.references.jax.optimizers import OptaxOptimizer
from reference.copying import settings_of
from reference.optimizers import PARAM, OptimizerTwin


def optimizer_twin(optimizer: object) -> OptimizerTwin:
    """Return optax's version of a scratch optimizer, with the settings that it has now.

    Raises
    ------
    TypeError
        If the optimizer has no entry here.
    """
    return _twin(settings_of(optimizer))


@singledispatch
def _twin(settings: object) -> OptimizerTwin:
    raise TypeError(f"no optax twin for {type(settings).__name__}; add an entry to reference/jax_optimizers.py")


@_twin.register
def _(s: SgdSettings) -> OptimizerTwin:
    transformation = optax.chain(*_decay(s.weight_decay), optax.sgd(s.lr, s.momentum or None, s.nesterov))
    reason = "optax.sgd has no dampening: its buffer adds the whole gradient"
    differs = {PARAM: reason, "momentum": reason} if s.momentum and s.dampening else {}
    return OptimizerTwin(_oracle(transformation), {"momentum": "trace"}, differs=differs)


@_twin.register
def _(s: AdadeltaSettings) -> OptimizerTwin:
    transformation = optax.chain(*_decay(s.weight_decay), optax.adadelta(s.lr, s.rho, s.eps))
    return OptimizerTwin(_oracle(transformation), {"square_avg": "e_g", "acc_delta": "e_x"})


@_twin.register
def _(s: RmspropSettings) -> OptimizerTwin:
    # optax.rmsprop has the momentum after the learning rate.
    scale = optax.scale_by_stddev if s.centered else optax.scale_by_rms
    momentum = [optax.trace(s.momentum)] if s.momentum else []
    scaled = scale(decay=s.alpha, eps=s.eps, eps_in_sqrt=False)
    transformation = optax.chain(*_decay(s.weight_decay), scaled, *momentum, optax.scale_by_learning_rate(s.lr))
    return OptimizerTwin(_oracle(transformation), {"square_avg": "nu", "momentum": "trace", "grad_avg": "mu"})


@_twin.register
def _(s: AdamSettings) -> OptimizerTwin:
    scale = optax.scale_by_amsgrad if s.amsgrad else optax.scale_by_adam
    coupled, decoupled = ([], _decay(s.weight_decay)) if s.decoupled else (_decay(s.weight_decay), [])
    transformation = optax.chain(*coupled, scale(*s.betas, s.eps), *decoupled, optax.scale_by_learning_rate(s.lr))
    reason = "optax keeps the largest of the corrected mean squares, PyTorch of those before the correction for their start"
    differs = {PARAM: reason, "max_exp_avg_sq": reason} if s.amsgrad else {}
    return OptimizerTwin(_oracle(transformation), {"exp_avg": "mu", "exp_avg_sq": "nu", "max_exp_avg_sq": "nu_max"}, differs=differs)


def _decay(weight_decay: float) -> list[Any]:
    """Return what adds the decay to what comes before it."""
    return [optax.add_decayed_weights(weight_decay)] if weight_decay else []


def _oracle(transformation: Any) -> OptaxOptimizer:
    return OptaxOptimizer(lambda params: transformation)
