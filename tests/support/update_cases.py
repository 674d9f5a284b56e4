"""Optimizers that are right: PyTorch's own, and others with every setting in the precision of the arrays, judged one step after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers import (
    AdadeltaSettings,
    AdamSettings,
    RmspropSettings,
    Settings,
    SgdSettings,
    Update,
    UpdatedParameter,
    judge_update,
)

State = dict[str, Array]
Step = Callable[[Any, Array, Array, State], tuple[Array, State]]

FORMS: Mapping[str, Settings] = {
    "sgd": SgdSettings(0.005),
    "sgd-decay": SgdSettings(0.1, weight_decay=0.01),
    "sgd-momentum": SgdSettings(0.05, momentum=0.9),
    "sgd-dampening-decay": SgdSettings(0.05, momentum=0.9, dampening=0.3, weight_decay=0.02),
    "sgd-nesterov": SgdSettings(0.05, momentum=0.8, nesterov=True),
    "adadelta": AdadeltaSettings(),
    "adadelta-keras": AdadeltaSettings(lr=0.3, rho=0.95, eps=1e-7, weight_decay=0.02),
    "rmsprop": RmspropSettings(),
    "rmsprop-momentum-decay": RmspropSettings(lr=0.003, alpha=0.9, momentum=0.7, weight_decay=0.02),
    "rmsprop-centered": RmspropSettings(centered=True),
    "rmsprop-centered-momentum": RmspropSettings(alpha=0.8, eps=1e-3, momentum=0.9, centered=True),
    "adam": AdamSettings(),
    "adam-decay": AdamSettings(lr=0.02, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.01),
    "adam-amsgrad": AdamSettings(lr=0.01, amsgrad=True),
    "adamw": AdamSettings(weight_decay=0.01, decoupled=True),
    "adamw-amsgrad": AdamSettings(lr=0.1, weight_decay=0.1, decoupled=True, amsgrad=True),
}
GRADIENTS = ("normal", "ties", "kinks", "wide", "tiny", "huge")
DTYPES = ("float64", "float32")
STEPS, SHAPE = 6, (7, 5)
ELEMENTS = 1_000_000


def by_torch(settings: Settings, param: Any) -> Any:
    match settings:
        case SgdSettings():
            s = settings
            return torch.optim.SGD([param], s.lr, s.momentum, s.dampening, s.weight_decay, s.nesterov)
        case AdadeltaSettings():
            return torch.optim.Adadelta([param], settings.lr, settings.rho, settings.eps, settings.weight_decay)
        case RmspropSettings():
            r = settings
            return torch.optim.RMSprop([param], r.lr, r.alpha, r.eps, r.weight_decay, r.momentum, r.centered)
        case AdamSettings():
            make = torch.optim.AdamW if settings.decoupled else torch.optim.Adam
            return make([param], settings.lr, settings.betas, settings.eps, settings.weight_decay, settings.amsgrad)


class Torch:
    """PyTorch's optimizer, asked for one step after another."""

    def __init__(self) -> None:
        self.param: Any = None

    def __call__(self, settings: Settings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
        if self.param is None:
            self.param = torch.from_numpy(param.copy()).requires_grad_()
            self.optimizer = by_torch(settings, self.param)
        self.param.grad = torch.from_numpy(np.array(grad, order="C"))
        self.optimizer.step()
        kept = self.optimizer.state[self.param]
        names = {"momentum": "momentum_buffer"}
        after = {name: np.asarray(kept[names.get(name, name)].numpy().copy()) for name in settings.states}
        return self.param.detach().numpy().copy(), after


def mixed(beta: Any, old: Any, new: Array) -> Array:
    return np.asarray(beta * old + (1 - beta) * new)


def held(settings: Settings, dtype: Any) -> list[Any]:
    """Return settings as code holds them that computes with them in its own precision."""
    return [dtype.type(value) for value in vars(settings).values() if isinstance(value, float)]


def adam_compiled(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take Adam's step as it was published, with every setting in the array's own precision, as compiled code may."""
    one = param.dtype.type(1)
    lr, eps, decay = held(settings, param.dtype)
    betas = [param.dtype.type(beta) for beta in settings.betas]
    step = param.dtype.type(state.get("step", 0)) + one
    param, grad = (param - lr * decay * param, grad) if settings.decoupled else (param, grad + decay * param)
    m = (one - betas[0]) * (grad - state.get("exp_avg", one * 0)) + state.get("exp_avg", one * 0)
    v = mixed(betas[1], state.get("exp_avg_sq", one * 0), grad**2)
    after = {"exp_avg": m, "exp_avg_sq": v, "step": np.asarray(step)}
    if settings.amsgrad:
        after["max_exp_avg_sq"] = v = np.maximum(state.get("max_exp_avg_sq", one * 0), v)
    first, second = (one - beta**step for beta in betas)
    return np.asarray(param - lr * (m / first) / (np.sqrt(v / second) + eps)), after


def adadelta_compiled(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take Adadelta's step in Keras's order: the quotient of the roots last."""
    lr, rho, eps, decay = held(settings, param.dtype)
    grad = grad + decay * param
    zero = np.zeros_like(param)
    square_avg = mixed(rho, state.get("square_avg", zero), grad**2)
    delta = grad * np.sqrt(state.get("acc_delta", zero) + eps) / np.sqrt(square_avg + eps)
    return param - lr * delta, {"square_avg": square_avg, "acc_delta": mixed(rho, state.get("acc_delta", zero), delta**2)}


def rmsprop_compiled(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    lr, alpha, eps, decay, momentum = held(settings, param.dtype)
    grad, zero = grad + decay * param, np.zeros_like(param)
    after = {"square_avg": state.get("square_avg", zero) + (1 - alpha) * (grad * grad - state.get("square_avg", zero))}
    variance = after["square_avg"]
    if settings.centered:
        after["grad_avg"] = mixed(alpha, state.get("grad_avg", zero), grad)
        variance = variance - after["grad_avg"] ** 2
    direction = grad / (np.sqrt(variance) + eps)
    if settings.momentum:
        direction = after["momentum"] = momentum * state.get("momentum", zero) + direction
    return param - lr * direction, after


def sgd_compiled(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    lr, momentum, dampening, decay = held(settings, param.dtype)
    grad = grad + decay * param
    if not settings.momentum:
        return param - lr * grad, {}
    buffer = momentum * state["momentum"] + (1 - dampening) * grad if state else grad
    return param - (lr * grad + lr * momentum * buffer if settings.nesterov else lr * buffer), {"momentum": buffer}


COMPILED: Mapping[type, Step] = {
    SgdSettings: sgd_compiled,
    AdadeltaSettings: adadelta_compiled,
    RmspropSettings: rmsprop_compiled,
    AdamSettings: adam_compiled,
}


def judged(settings: Settings, take: Step, family: str, dtype: str, seed: int = 0) -> list[Judgement]:
    """Judge several steps of an optimizer, each on what it started from."""
    rng, precision = np.random.default_rng(seed), Precision(np.dtype(dtype), ELEMENTS)
    judgements: list[Judgement] = []
    param: Array = rng.standard_normal(SHAPE).astype(dtype)
    state: State = {}
    for step in range(1, STEPS + 1):
        grad = FAMILIES[family].grad_output(rng, SHAPE, dtype)
        with np.errstate(all="ignore"):
            after, state_after = take(settings, param, grad, state)
        updated = UpdatedParameter(param, grad, after, state, state_after)
        judgements += judge_update(Update(settings), updated, Place(step, "layer", "weight"), precision)
        param, state = after, state_after
    return judgements


def wrong(judgements: list[Judgement]) -> list[tuple[str, str, float]]:
    return [(str(j.place), j.reason, j.fraction) for j in judgements if j.verdict is not Verdict.MATCH]
