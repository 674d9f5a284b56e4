"""An optimizer's step as a pure function that knows how its own rounding errors are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.operation import Arrays
from crosscheck.tracked import Operand, Tracked
from crosscheck.update.rules import COUNTERS, RULES
from crosscheck.update.settings import Settings

PARAM = ""
"""The key of the parameter itself beside those of its states."""


class Update(Protocol):
    """The step of an optimizer for one parameter. A state is a mapping of name to array, empty before the first step; all arrays in float64."""

    @property
    def settings(self) -> Settings:
        """The settings of the optimizer."""

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what it keeps of each parameter, as PyTorch names them: ``exp_avg``."""

    def update(self, param: Array, grad: Array, state: Arrays) -> tuple[Array, dict[str, Array]]:
        """Return the parameter and its state after a step."""

    def bounds(self, param: Array, grad: Array, state: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return the bound of the updated parameter, under ``""``, and of each state, that a right implementation keeps on exactly these numbers."""

    def carried(self, param: Array, grad: Array, state: Arrays, error_grad: Array, error_state: Arrays) -> dict[str, Array]:
        """Return how far parameter, under ``""``, and states move, to first order, when gradient and state before are off by these errors."""


@dataclass(frozen=True)
class RuledUpdate:
    """The step that follows from settings by the rules written down in :mod:`~crosscheck.update.rules`."""

    settings: Settings

    @property
    def states(self) -> tuple[str, ...]:
        """The names of what the settings make an optimizer keep."""
        return self.settings.states

    def update(self, param: Array, grad: Array, state: Arrays) -> tuple[Array, dict[str, Array]]:
        """Return what the rule makes of these numbers."""
        with np.errstate(all="ignore"):
            after, states = RULES[type(self.settings)](self.settings, param, grad, state)
        return np.asarray(after), {name: np.asarray(states[name]) for name in self.states}

    def bounds(self, param: Array, grad: Array, state: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return the largest errors of the rule in its usual orders; a counter is exact."""
        errors = self._errors(param, grad, state, np.zeros_like(grad), {}, arithmetic)
        return {name: Bound(error, 0.0 if name in COUNTERS else 1.0) for name, error in errors.items()}

    def carried(self, param: Array, grad: Array, state: Arrays, error_grad: Array, error_state: Arrays) -> dict[str, Array]:
        """Return what errors of the gradient and of the state come to; a state that none is given for has none."""
        return self._errors(param, grad, state, error_grad, error_state, None)

    def _errors(
        self, param: Array, grad: Array, state: Arrays, error_grad: Array, error_state: Arrays, arithmetic: Arithmetic | None
    ) -> dict[str, Array]:
        tracked = {name: _tracked(name, value, error_state, arithmetic) for name, value in state.items()}
        rule, slope = RULES[type(self.settings)], Tracked(grad, error_grad, arithmetic)
        after, states = rule(self.settings, Tracked.exact(param, arithmetic), slope, tracked)
        return {PARAM: after.error} | {name: np.zeros(()) if name in COUNTERS else states[name].error for name in self.states}


def update_of(settings: Settings) -> RuledUpdate:
    """Return the step of an optimizer with these settings."""
    return RuledUpdate(settings)


def _tracked(name: str, value: Array, errors: Mapping[str, Array], arithmetic: Arithmetic | None) -> Operand:
    return value if name in COUNTERS else Tracked(value, errors.get(name, np.zeros_like(value)), arithmetic)
