"""Gradient descent alone: its sums of absolute terms, and the gradient that a change of its parameters implies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.judgement import Judgement
from crosscheck.operation import Arrays
from crosscheck.trace import Place
from crosscheck.update.checking import UpdatedParameter, judge_update
from crosscheck.update.settings import Settings, SgdSettings
from crosscheck.update.theory import update_of


class SgdUpdate(Protocol):
    """Gradient descent of several parameters at once, as a pure function."""

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


def implied_gradient(settings: Settings, before: Array, after: Array, buffer: Array | None) -> tuple[Array, float]:
    """Return the gradient that turns one parameter into another, and the factor between an error of it and one of the parameter after the step.

    Parameters
    ----------
    settings : Settings
        Of gradient descent: its step alone is linear in the gradient.
    before, after : array
        The parameter, in float64.
    buffer : array, optional
        Its momentum buffer before the step.

    Raises
    ------
    ZeroDivisionError
        If the parameter does not depend on the gradient: the learning rate is 0, or the dampening 1.
    TypeError
        For any other optimizer: it divides by what the gradient itself makes of its state, so that the change of a parameter does not tell it.
    """
    if not isinstance(settings, SgdSettings):
        kind = type(settings).__name__.removesuffix("Settings")
        raise TypeError(f"a gradient cannot be told from a step of {kind}, which is not linear in it; expected the settings of gradient descent")
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


def check_update(update: SgdUpdate, updated: Updated, place: Place, arithmetic: Arithmetic, reading: Bound | None = None) -> Iterator[Judgement]:
    """Yield the verdict on an updated parameter and, with momentum, on its buffer.

    Parameters
    ----------
    update : SgdUpdate
        Whose settings the step should follow.
    updated : Updated
    place : Place
        Of the parameter.
    arithmetic : Arithmetic
        The subject's.
    reading : Bound, optional
        The error made in reading the gradient, if it is not stored.
    """
    states = [{} if buffer is None else {"momentum": buffer} for buffer in (updated.buffer, updated.buffer_after)]
    whole = UpdatedParameter(updated.before, updated.grad, updated.after, *states)
    yield from judge_update(update_of(update.settings), whole, place, arithmetic, reading)
