"""Faults planted in optimizers: each is a mismatch of the quantity that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings
from tests.support.update_cases import COMPILED, DTYPES, FORMS, State, Step, adadelta_compiled, adam_compiled, judged, rmsprop_compiled, sgd_compiled


def eps_inside(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    first, second = (1 - beta ** after["step"] for beta in settings.betas)
    return param - settings.lr * (after["exp_avg"] / first) / np.sqrt(after["exp_avg_sq"] / second + settings.eps), after


def uncorrected(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    return param - settings.lr * after["exp_avg"] / (np.sqrt(after["exp_avg_sq"]) + settings.eps), after


def corrected_late(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    first, second = (1 - beta ** (after["step"] + 1) for beta in settings.betas)
    return param - settings.lr * (after["exp_avg"] / first) / (np.sqrt(after["exp_avg_sq"] / second) + settings.eps), after


def largest_forgotten(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = adam_compiled(replace(settings, amsgrad=False), param, grad, state)
    return after, {**states, "max_exp_avg_sq": np.maximum(state.get("max_exp_avg_sq", 0 * param), states["exp_avg_sq"])}


def without_counting(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = adam_compiled(settings, param, grad, state)
    return after, {**states, "step": np.asarray(settings.lr * 0 + 1.0)}


def new_steps_first(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adadelta_compiled(settings, param, grad, state)
    return adadelta_compiled(settings, param, grad, {**state, "acc_delta": after["acc_delta"]})[0], after


def eps_beside_the_root(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adadelta_compiled(settings, param, grad, state)
    root = np.sqrt(state.get("acc_delta", 0 * param)) + settings.eps
    return param - settings.lr * grad * root / (np.sqrt(after["square_avg"]) + settings.eps), after


def inside_the_root(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = rmsprop_compiled(settings, param, grad, state)
    return param - settings.lr * grad / np.sqrt(after["square_avg"] + settings.eps), after


def not_centered(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = rmsprop_compiled(settings, param, grad, state)
    return rmsprop_compiled(replace(settings, centered=False), param, grad, state)[0], after


def lr_in_the_buffer(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = rmsprop_compiled(settings, param, grad, state)
    return after, {**states, "momentum": settings.lr * states["momentum"]}


def dampened_from_the_start(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    return sgd_compiled(settings, param, grad, state or {"momentum": np.zeros_like(param)})


def _settings(**changes: Any) -> Step:
    return lambda settings, param, grad, state: COMPILED[type(settings)](replace(settings, **changes), param, grad, state)


FAULTS: Mapping[str, tuple[str, Step, str]] = {
    "sgd, relative 1e-3": ("sgd", _settings(lr=0.005 * (1 + 1e-3)), "weight"),
    "sgd, decay with the other sign": ("sgd-decay", _settings(weight_decay=-0.01), "weight"),
    "sgd, dampened from the start": ("sgd-dampening-decay", dampened_from_the_start, "weight.momentum"),
    "sgd, dampening left out": ("sgd-dampening-decay", _settings(dampening=0.0), "weight.momentum"),
    "sgd, not nesterov": ("sgd-nesterov", _settings(nesterov=False), "weight"),
    "adadelta, rho the other way round": ("adadelta", _settings(rho=0.1), "weight.square_avg"),
    "adadelta, this step's mean": ("adadelta", new_steps_first, "weight"),
    "adadelta, eps beside the root": ("adadelta", eps_beside_the_root, "weight"),
    "adadelta, learning rate left out": ("adadelta-keras", _settings(lr=1.0), "weight"),
    "adadelta, decay left out": ("adadelta-keras", _settings(weight_decay=0.0), "weight"),
    "rmsprop, eps inside the root": ("rmsprop-eps", inside_the_root, "weight"),
    "rmsprop, not centered": ("rmsprop-centered", not_centered, "weight"),
    "rmsprop, learning rate in the buffer": ("rmsprop-momentum-decay", lr_in_the_buffer, "weight.momentum"),
    "rmsprop, alpha of another": ("rmsprop", _settings(alpha=0.9), "weight.square_avg"),
    "adam, eps inside the root": ("adam-eps", eps_inside, "weight"),
    "adam, uncorrected": ("adam", uncorrected, "weight"),
    "adam, corrected for a step more": ("adam", corrected_late, "weight"),
    "adam, betas exchanged": ("adam", _settings(betas=(0.999, 0.9)), "weight.exp_avg"),
    "adam, decoupled": ("adam-decay", _settings(decoupled=True), "weight"),
    "adamw, coupled": ("adamw", _settings(decoupled=False), "weight.exp_avg"),
    "adam, largest forgotten": ("adam-amsgrad", largest_forgotten, "weight"),
    "adam, steps not counted": ("adam", without_counting, "weight.step"),
}
PLANTED = {**FORMS, "adam-eps": AdamSettings(eps=1e-4), "rmsprop-eps": RmspropSettings(eps=1e-4)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, dtype: str) -> None:
    form, take, quantity = FAULTS[fault]
    found = [judgement.place.quantity for judgement in judged(PLANTED[form], take, "normal", dtype) if judgement.verdict is Verdict.MISMATCH]
    assert quantity in found


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("adam", _settings(eps=1e-7)),
        ("adam", _settings(betas=(0.9, 0.9990001))),
        ("rmsprop", _settings(eps=1e-10)),
        ("adadelta", _settings(eps=1e-7)),
        ("sgd", _settings(lr=0.005 * (1 + 1e-12))),
    ],
    ids=["adam-eps", "adam-beta", "rmsprop-eps", "adadelta-eps", "sgd-lr"],
)
def test_fault_that_single_precision_hides_is_found_in_double(form: str, fault: Step) -> None:
    assert any(judgement.verdict is Verdict.MISMATCH for judgement in judged(FORMS[form], fault, "normal", "float64"))
