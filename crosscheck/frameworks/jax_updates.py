"""JAX: the step of each optimizer for one parameter, as a pure function that is compiled with everything before it.

State goes by PyTorch's names, and so do the settings; what is not there yet is zero, but for the first buffer of momentum, which is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from crosscheck.update import AdadeltaSettings, AdamSettings, RmspropSettings, SgdSettings

State = Mapping[str, Any]
Updated = tuple[Any, dict[str, Any]]


def sgd(s: SgdSettings, param: Any, grad: Any, state: State) -> Updated:
    """Return a step of gradient descent with momentum."""
    grad = _decayed(s.weight_decay, param, grad)
    if not s.momentum:
        return param - s.lr * grad, {}
    buffer = s.momentum * state["momentum"] + (1 - s.dampening) * grad if "momentum" in state else grad
    return param - s.lr * (grad + s.momentum * buffer if s.nesterov else buffer), {"momentum": buffer}


def adadelta(s: AdadeltaSettings, param: Any, grad: Any, state: State) -> Updated:
    """Return a step as long as those before them, relative to the gradients (Zeiler, 2012)."""
    grad = _decayed(s.weight_decay, param, grad)
    square_avg = _mean(s.rho, state, "square_avg", grad * grad)
    acc_delta = state.get("acc_delta", jnp.zeros_like(param))
    delta = jnp.sqrt(acc_delta + s.eps) / jnp.sqrt(square_avg + s.eps) * grad
    return param - s.lr * delta, {"square_avg": square_avg, "acc_delta": s.rho * acc_delta + (1 - s.rho) * delta * delta}


def rmsprop(s: RmspropSettings, param: Any, grad: Any, state: State) -> Updated:
    """Return a step along the gradient over the root of its mean square (Hinton, 2012)."""
    grad = _decayed(s.weight_decay, param, grad)
    after = {"square_avg": _mean(s.alpha, state, "square_avg", grad * grad)}
    variance = after["square_avg"]
    if s.centered:
        after["grad_avg"] = _mean(s.alpha, state, "grad_avg", grad)
        variance = variance - after["grad_avg"] ** 2
    direction = grad / (jnp.sqrt(variance) + s.eps)
    if s.momentum:
        direction = after["momentum"] = s.momentum * state.get("momentum", jnp.zeros_like(param)) + direction
    return param - s.lr * direction, after


def adam(s: AdamSettings, param: Any, grad: Any, state: State) -> Updated:
    """Return a step along the mean gradient over the root of the mean square, both corrected for their start at zero (Kingma and Ba, 2015)."""
    if s.decoupled:
        param = param * (1 - s.lr * s.weight_decay)
    else:
        grad = _decayed(s.weight_decay, param, grad)
    step = state.get("step", jnp.zeros((), param.dtype)) + 1
    first, second = _mean(s.betas[0], state, "exp_avg", grad), _mean(s.betas[1], state, "exp_avg_sq", grad * grad)
    after = {"exp_avg": first, "exp_avg_sq": second, "step": step}
    if s.amsgrad:
        second = after["max_exp_avg_sq"] = jnp.maximum(state.get("max_exp_avg_sq", jnp.zeros_like(param)), second)
    correction, correction_sq = (1 - beta**step for beta in s.betas)
    return param - s.lr * (first / correction) / (jnp.sqrt(second / correction_sq) + s.eps), after


def _mean(kept: float, state: State, name: str, fresh: Any) -> Any:
    return kept * state.get(name, jnp.zeros_like(fresh)) + (1 - kept) * fresh


def _decayed(weight_decay: float, param: Any, grad: Any) -> Any:
    return grad + weight_decay * param if weight_decay else grad


STEPS: Mapping[type, Callable[[Any, Any, Any, State], Updated]] = {
    SgdSettings: sgd,
    AdadeltaSettings: adadelta,
    RmspropSettings: rmsprop,
    AdamSettings: adam,
}
"""The step that belongs to each kind of settings."""
