"""An optimizer's step as a pure function, and the bounds of its rounding errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.optimizers.rules import COUNTERS, RULES, Settings, SgdSettings
from crosscheck.oracles.running_error import Tracked

PARAM = ""
"""The key of the parameter itself in a dict that also has its states."""


@dataclass(frozen=True)
class Update:
    """An optimizer's step for one parameter, on float64 arrays. The state maps names to arrays, and is empty before the first step."""

    settings: Settings

    @cached_property
    def states(self) -> tuple[str, ...]:
        """PyTorch's names of the states that are kept for each parameter, such as ``exp_avg``."""
        return self.settings.states

    def update(self, param: Array, grad: Array, state: Arrays) -> tuple[Array, dict[str, Array]]:
        """Return the parameter and its state after a step."""
        with np.errstate(all="ignore"):
            after, states = RULES[type(self.settings)](self.settings, param, grad, state)
        return np.asarray(after), {name: np.asarray(states[name]) for name in self.states}

    def bounded(self, param: Array, grad: Array, state: Arrays, precision: Precision) -> dict[str, tuple[Array, Bound]]:
        """Return the updated parameter, with the key ``""``, and each state, with bounds that hold for all usual orders; a counter is exact."""
        tracked = self._tracked(param, Tracked.exact(grad, precision), state, {})
        return {name: (after.value, Bound(after.error, 0.0 if name in COUNTERS else 1.0)) for name, after in tracked.items()}

    def propagated(self, param: Array, grad: Array, state: Arrays, error_grad: Array, error_state: Arrays) -> dict[str, Array]:
        """Return the first-order errors of the updated parameter (key ``""``) and states that follow from errors of the gradient and the state."""
        return {name: after.error for name, after in self._tracked(param, Tracked(grad, error_grad), state, error_state).items()}

    def _tracked(self, param: Array, grad: Tracked, state: Arrays, error_state: Arrays) -> dict[str, Tracked]:
        """Return the updated parameter and states as tracked numbers."""
        kept = {name: value if name in COUNTERS else Tracked.of(value, error_state.get(name), grad.precision) for name, value in state.items()}
        after, states = RULES[type(self.settings)](self.settings, Tracked.exact(param, grad.precision), grad, kept)
        return {PARAM: after} | {name: Tracked.exact(np.asarray(states[name])) if name in COUNTERS else states[name] for name in self.states}


def implied_gradient(settings: Settings, before: Array, after: Array, buffer: Array | None) -> tuple[Array, float]:
    """Return the gradient that explains a parameter's update, and the factor by which an error of the gradient changes the updated parameter.

    ``before`` and ``after`` are the parameter before and after the step, in float64; ``buffer`` is its momentum buffer before the step. If the update
    does not depend on the gradient, because the learning rate is 0 or the dampening 1, raise ``ZeroDivisionError``; if it is not linear in the
    gradient, raise ``TypeError``.
    """
    if not isinstance(settings, SgdSettings):
        kind = type(settings).__name__.removesuffix("Settings")
        raise TypeError(f"the gradient cannot be computed from a step of {kind}, which is not linear in it; expected settings of gradient descent")
    s = settings
    share, kept = (1.0, 0.0) if not s.momentum or buffer is None else (1 - s.dampening, s.momentum * buffer)
    # The direction of a step is share * g + kept, with Nesterov's g + momentum * (share * g + kept).
    share, kept = (1 + s.momentum * share, s.momentum * kept) if s.nesterov else (share, kept)
    factor = s.lr * share
    if not factor:
        raise ZeroDivisionError("the parameter does not depend on the gradient")
    return np.asarray((before - after) / factor - kept / share - s.weight_decay * before), factor
