"""Training mode and evaluation mode: how a layer object is put into one of them, by its methods, an attribute or an argument of its forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MODES = ("training", "train", "is_training", "train_flg")
"""Names in use for an argument of the forward pass that says whether it is in training."""


@dataclass(frozen=True)
class Modes:
    """The mode that a layer is in.

    Attributes
    ----------
    exist : bool
        Whether it has modes at all.
    kept : bool
        Whether a caller can change the mode between two passes.
    arguments : mapping
        What the forward pass is given for it by name.
    """

    exist: bool = False
    kept: bool = False
    arguments: Mapping[str, bool] = field(default_factory=dict)

    @staticmethod
    def of(layer: Any, forward: Callable[..., Any], training: bool) -> Modes:
        """Put a layer into a mode in every way that it knows."""
        if methods := _callable_alone(getattr(layer, "train", None)) and _callable_alone(getattr(layer, "eval", None)):
            (layer.train if training else layer.eval)()
        if attribute := isinstance(getattr(layer, "training", None), bool):
            layer.training = training
        defaults = {name: parameter.default for name, parameter in inspect.signature(forward).parameters.items()}
        given = any(isinstance(defaults.get(name), bool | str) for name in (*_MODES, "mode"))
        named = {name: training for name in _MODES if isinstance(defaults.get(name), bool)}
        return Modes(methods or attribute or bool(named), methods or (attribute and not given), named)


def _callable_alone(method: Any) -> bool:
    """Return whether a method can be called without arguments; the ``train`` of a whole network, for one, takes its data."""
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    return True
