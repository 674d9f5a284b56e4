"""The update of parameters: each optimizer's settings, formula and rounding error bounds, and the verdict on a step.

An optimizer is a pure function, ``update(param, grad, state) -> param, state``, which is applied to each parameter separately.
"""

from crosscheck.oracles.optimizers.judge import UpdatedParameter, Updating, judge_update, judge_updates
from crosscheck.oracles.optimizers.rules import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings
from crosscheck.oracles.optimizers.theory import PARAM, Update, implied_gradient

__all__ = [
    "PARAM",
    "AdadeltaSettings",
    "AdamSettings",
    "RmspropSettings",
    "Settings",
    "SgdSettings",
    "Update",
    "UpdatedParameter",
    "Updating",
    "implied_gradient",
    "judge_update",
    "judge_updates",
]
