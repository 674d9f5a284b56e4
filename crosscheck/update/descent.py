"""Gradient descent alone: the gradient that a change of its parameters implies."""

from __future__ import annotations

import numpy as np

from crosscheck.arithmetic import Array
from crosscheck.update.settings import Settings, SgdSettings


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
