"""The adaptive optimizers of scratch beside torch.optim's, step by step, parameters and state, on every kind of gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import scratch
from crosscheck import parametrize_with_checks
from crosscheck.adapters.optimizers import Holding
from crosscheck.arithmetic import Array
from crosscheck.optimizer_pair import OptimizerPair
from crosscheck.parametrize import PairCheck
from reference.pytorch import optimizer_twin

PYTORCH_NAMES = {"momentum": "momentum_buffer"}
OPTIMIZERS: dict[str, tuple[Any, Mapping[str, Any], tuple[str, ...]]] = {
    "adadelta": (scratch.Adadelta, {"rho": 0.95, "eps": 1e-7, "weight_decay": 0.01}, ("square_avg", "acc_delta")),
    "rmsprop": (scratch.RMSprop, {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.01}, ("square_avg", "momentum")),
    "rmsprop-centered": (scratch.RMSprop, {"centered": True, "eps": 1e-3}, ("square_avg", "grad_avg")),
    "adam": (scratch.Adam, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}, ("exp_avg", "exp_avg_sq")),
    "adam-amsgrad": (scratch.Adam, {"betas": (0.5, 0.6), "eps": 1e-3, "amsgrad": True}, ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    "adamw": (scratch.AdamW, {"lr": 0.1, "weight_decay": 0.1}, ("exp_avg", "exp_avg_sq")),
}
"""Class, settings and states by name."""


class Shown:
    """A scratch optimizer whose states are attributes, where the harness looks for them."""

    def __init__(self, make: Callable[[dict[str, Array]], scratch.Optimizer], params: dict[str, Array]) -> None:
        optimizer = make(params)
        self.step = optimizer.step
        self.__dict__.update({name: arrays for name, arrays in optimizer.state.items() if name != "step"})


def pair(name: str) -> OptimizerPair:
    """Return a row of the table beside its twin."""
    kind, settings, states = OPTIMIZERS[name]
    make = functools.partial(kind, **settings)
    names = {state: PYTORCH_NAMES.get(state, state) for state in states}
    return OptimizerPair(Holding(functools.partial(Shown, make)), optimizer_twin(make({})), state=names, name=name)


@parametrize_with_checks([pair(name) for name in OPTIMIZERS])
def test_optimizer(pair: OptimizerPair, check: PairCheck) -> None:
    check(pair)


def test_state_that_is_put_back_goes_on_where_it_was() -> None:
    """Two runs of two steps, the second one from copies of parameters and state, end where a run of four does, bit for bit."""
    rng = np.random.default_rng(0)
    grads = [{"w": rng.standard_normal(5)} for _ in range(4)]
    whole, first = {"w": np.ones(5)}, {"w": np.ones(5)}
    optimizer, before = scratch.Adam(whole, amsgrad=True), scratch.Adam(first, amsgrad=True)
    for grad in grads:
        optimizer.step(grad)
    for grad in grads[:2]:
        before.step(grad)
    resumed = {"w": first["w"].copy()}
    after = scratch.Adam(resumed, amsgrad=True)
    for name, arrays in before.state.items():
        after.state[name].update({param: array.copy() for param, array in arrays.items()})
    for grad in grads[2:]:
        after.step(grad)
    assert np.array_equal(resumed["w"], whole["w"])
    assert after.state["step"]["w"] == 4
