"""The update of parameters: the settings of each optimizer, its formula, the theory of its rounding errors, and the verdict on a step.

An optimizer is one more pure function, ``update(param, grad, state) -> param, state``, for each parameter by itself.
"""

from crosscheck.update.checking import UpdatedParameter, judge_update
from crosscheck.update.descent import SgdUpdate, Updated, absolute_step, check_update, implied_gradient, update_bounds, update_carried
from crosscheck.update.settings import AdadeltaSettings, AdamSettings, RmspropSettings, Settings, SgdSettings
from crosscheck.update.theory import PARAM, RuledUpdate, Update, update_of

__all__ = [
    "PARAM",
    "AdadeltaSettings",
    "AdamSettings",
    "RmspropSettings",
    "RuledUpdate",
    "Settings",
    "SgdSettings",
    "SgdUpdate",
    "Update",
    "Updated",
    "UpdatedParameter",
    "absolute_step",
    "check_update",
    "implied_gradient",
    "judge_update",
    "update_bounds",
    "update_carried",
    "update_of",
]
