"""The update of parameters by gradient descent: its settings, and the theory of its rounding errors.

An optimizer is one more pure function, ``update(params, grads, state) -> params, state``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.judgement import Judgement, Kind, Verdict, judge
from crosscheck.operation import Arrays
from crosscheck.trace import Place


@dataclass(frozen=True)
class SgdSettings:
    """Stochastic gradient descent with PyTorch's meaning of each setting."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


PARAM = ""
"""The key of the parameter itself among an update's bounds and errors; the others are names of states."""

State = Arrays
"""What an optimizer keeps of one parameter, by the state's name; empty before its first step."""


class Update(Protocol):
    """An optimizer's step of one parameter as a pure function."""

    @property
    def settings(self) -> Any:
        """The settings of the optimizer."""

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what it keeps of each parameter."""

    def update(self, param: Array, grad: Array, state: State) -> tuple[Array, dict[str, Array]]:
        """Return the parameter and its state after a step."""

    def bounds(self, param: Array, grad: Array, state: State) -> dict[str, Bound]:
        """Return the bounds of the parameter after a step, under :data:`PARAM`, and of each state by its name."""

    def carried(self, param: Array, grad: Array, state: State, error_grad: Array, error_state: State) -> dict[str, Array]:
        """Return how far they move when gradient and state before the step are off by up to these errors, in multiples of the unit roundoff."""


def absolute_step(settings: SgdSettings, param: Array, grad: Array, buffer: Array | None) -> tuple[Array, Array]:
    """Return the sums of absolute terms of the updated parameter and of its momentum buffer.

    The optimizer's own formula on absolute values, with every sign a plus.
    """
    s = settings
    grad = np.abs(grad) + s.weight_decay * np.abs(param)
    buffer = grad if buffer is None else s.momentum * np.abs(buffer) + abs(1 - s.dampening) * grad
    direction = (grad + s.momentum * buffer if s.nesterov else buffer) if s.momentum else grad
    return np.abs(param) + s.lr * direction, buffer


def update_bounds(settings: SgdSettings, param: Array, grad: Array, buffer: Array | None) -> tuple[Bound, Bound]:
    """Return the bounds of the updated parameter and of its momentum buffer.

    Each product rounds twice, because its scalar (lr = 0.005, say) is itself rounded to the parameter's precision; each sum rounds once.
    """
    product_and_sum = 3.0
    param_terms, buffer_terms = absolute_step(settings, param, grad, buffer)
    decay = product_and_sum if settings.weight_decay else 0.0
    smoothing = decay + (0.0 if buffer is None else product_and_sum + 2)
    direction = (smoothing + (product_and_sum if settings.nesterov else 0.0)) if settings.momentum else decay
    return Bound(param_terms, direction + product_and_sum), Bound(buffer_terms, smoothing)


def update_carried(settings: SgdSettings, error_grad: Array, error_buffer: Array | None) -> tuple[Array, Array]:
    """Return how far an updated parameter and its momentum buffer move when gradient and buffer before the step are off by up to these errors.

    Parameters
    ----------
    settings : SgdSettings
    error_grad : array
    error_buffer : array, optional
        None where there was no buffer.
    """
    return absolute_step(settings, np.zeros_like(error_grad), error_grad, error_buffer)


def implied_gradient(settings: SgdSettings, before: Array, after: Array, buffer: Array | None) -> tuple[Array, float]:
    """Return the gradient that turns one parameter into another, and the factor between an error of it and one of the parameter after the step.

    Parameters
    ----------
    settings : SgdSettings
    before, after : array
        The parameter, in float64.
    buffer : array, optional
        Its momentum buffer before the step.

    Raises
    ------
    ZeroDivisionError
        If the parameter does not depend on the gradient: the learning rate is 0, or the dampening 1.
    """
    s = settings
    share, kept = (1.0, 0.0) if not s.momentum or buffer is None else (1 - s.dampening, s.momentum * buffer)
    # The direction of a step is share * g + kept, with Nesterov's g + momentum * (share * g + kept).
    share, kept = (1 + s.momentum * share, s.momentum * kept) if s.nesterov else (share, kept)
    factor = s.lr * share
    if not factor:
        raise ZeroDivisionError("the parameter does not depend on the gradient")
    return np.asarray((before - after) / factor - kept / share - s.weight_decay * before), factor


@dataclass(frozen=True)
class Updated:
    """One parameter before and after an optimizer's step.

    Attributes
    ----------
    before, grad, after : array
        The parameter, its gradient and the parameter after the step, in the subject's precision.
    state, state_after : mapping of str to array
        What the optimizer keeps of it.
    """

    before: Array
    grad: Array
    after: Array
    state: Arrays
    state_after: Arrays


def check_update(update: Update, updated: Updated, place: Place, arithmetic: Arithmetic, reading: Bound | None = None) -> Iterator[Judgement]:
    """Yield the verdict on an updated parameter and, with momentum, on its buffer.

    Parameters
    ----------
    update : Update
        The oracle, which starts from the same parameter, gradient and buffer.
    updated : Updated
    place : Place
        Of the parameter.
    arithmetic : Arithmetic
        The subject's.
    reading : Bound, optional
        The error made in reading the gradient, if it is not stored.
    """
    given = [updated.before, updated.grad, *updated.state.values()]
    if not all(np.isfinite(array).all() for array in given):
        yield Judgement(place, Kind.UPDATE, Verdict.UNDECIDED, reason="the gradient, the parameter or its state is not finite")
        return
    before, grad, *kept = (array.astype(np.float64) for array in given)
    state = dict(zip(updated.state, kept, strict=True))
    after, left = update.update(before, grad, state)
    bounds = update.bounds(before, grad, state)
    if reading is not None:
        moved = update.carried(before, grad, state, arithmetic.error(reading), {})
        bounds = {which: Bound(arithmetic.error(bound) + moved[which], 1.0) for which, bound in bounds.items()}
    yield judge(place, Kind.UPDATE, updated.after, after, bounds[PARAM], arithmetic)
    for name, value in left.items():
        at = place._replace(quantity=f"{place.quantity}.{name}")
        if name not in updated.state_after:
            yield Judgement(at, Kind.UPDATE, Verdict.MISMATCH, reason=f"the optimizer keeps no {name} of it")
        else:
            yield judge(at, Kind.UPDATE, updated.state_after[name], value, bounds[name], arithmetic)


@dataclass(frozen=True)
class Sgd:
    """Gradient descent in float64, the oracle of an update."""

    settings: SgdSettings

    @property
    def states(self) -> tuple[str, ...]:
        """The momentum buffer, where there is one."""
        return ("momentum",) if self.settings.momentum else ()

    def update(self, param: Array, grad: Array, state: State) -> tuple[Array, dict[str, Array]]:
        """Return the parameter and its momentum buffer after a step."""
        s = self.settings
        buffer = state.get("momentum")
        grad = grad + s.weight_decay * param
        buffer = grad if buffer is None else s.momentum * buffer + (1 - s.dampening) * grad
        direction = (grad + s.momentum * buffer if s.nesterov else buffer) if s.momentum else grad
        return param - s.lr * direction, {"momentum": buffer} if s.momentum else {}

    def bounds(self, param: Array, grad: Array, state: State) -> dict[str, Bound]:
        """Return the bounds of both."""
        own, buffer = update_bounds(self.settings, param, grad, state.get("momentum"))
        return {PARAM: own, **({"momentum": buffer} if self.settings.momentum else {})}

    def carried(self, param: Array, grad: Array, state: State, error_grad: Array, error_state: State) -> dict[str, Array]:
        """Return how far both move with gradient and buffer."""
        error_buffer = error_state.get("momentum", np.zeros_like(param)) if "momentum" in state else None
        moved, buffer = update_carried(self.settings, error_grad, error_buffer)
        return {PARAM: moved, **({"momentum": buffer} if self.settings.momentum else {})}
