"""The update of parameters by gradient descent: its settings, and the theory of its rounding errors.

An optimizer is one more pure function, ``update(params, grads, state) -> params, state``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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


class Update(Protocol):
    """An optimizer's step as a pure function."""

    @property
    def settings(self) -> SgdSettings:
        """The settings of the optimizer."""

    def update(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the parameters after a step, and the state: the momentum buffers, named like the parameters, empty before the first step."""


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
    buffer, buffer_after : array, optional
        Its momentum buffer, where there is one.
    """

    before: Array
    grad: Array
    after: Array
    buffer: Array | None = None
    buffer_after: Array | None = None


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
    given = [updated.before, updated.grad, *([] if updated.buffer is None else [updated.buffer])]
    if not all(np.isfinite(array).all() for array in given):
        yield Judgement(place, Kind.UPDATE, Verdict.UNDECIDED, reason="the gradient, the parameter or its state is not finite")
        return
    name = place.quantity
    before, grad = updated.before.astype(np.float64), updated.grad.astype(np.float64)
    buffer = None if updated.buffer is None else updated.buffer.astype(np.float64)
    params, buffers = update.update({name: before}, {name: grad}, {} if buffer is None else {name: buffer})
    bound, buffer_bound = update_bounds(update.settings, before, grad, buffer)
    if reading is not None:
        moved, _ = update_carried(update.settings, arithmetic.error(reading), None if buffer is None else np.zeros_like(buffer))
        bound = Bound(arithmetic.error(bound) + moved, 1.0)
    yield judge(place, Kind.UPDATE, updated.after, params[name], bound, arithmetic)
    if name in buffers:
        place = place._replace(quantity=f"{name}.momentum")
        if updated.buffer_after is None:
            yield Judgement(place, Kind.UPDATE, Verdict.MISMATCH, reason="the optimizer keeps no momentum buffer")
        else:
            yield judge(place, Kind.UPDATE, updated.buffer_after, buffers[name], buffer_bound, arithmetic)
