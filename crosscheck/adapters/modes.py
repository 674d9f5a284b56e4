"""Switch a layer object between training and evaluation mode: by its methods, by an attribute, or by an argument of its forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MODES = ("training", "train", "is_training", "train_flg")
"""Names in common use for the boolean argument of a forward pass that is true in training."""


@dataclass(frozen=True)
class Modes:
    """The way in which a layer was put into training or evaluation mode."""

    exist: bool = False  # whether the layer has modes
    kept: bool = False  # whether the mode is stored in the layer, so that a caller can change it between the forward and the backward pass
    arguments: Mapping[str, bool] = field(default_factory=dict)  # keyword arguments that select the mode in the forward pass

    @staticmethod
    def of(layer: Any, forward: Callable[..., Any], training: bool) -> Modes:
        """Put a layer into training or evaluation mode in every way that the layer supports."""
        if methods := _callable_alone(getattr(layer, "train", None)) and _callable_alone(getattr(layer, "eval", None)):
            (layer.train if training else layer.eval)()
        if attribute := isinstance(getattr(layer, "training", None), bool):
            layer.training = training
        defaults = {name: parameter.default for name, parameter in inspect.signature(forward).parameters.items()}
        given = any(isinstance(defaults.get(name), bool | str) for name in (*_MODES, "mode"))
        named = {name: training for name in _MODES if isinstance(defaults.get(name), bool)}
        return Modes(methods or attribute or bool(named), methods or (attribute and not given), named)


def _callable_alone(method: Any) -> bool:
    """Return whether a method can be called without arguments; a ``train`` method that takes data is not a mode switch."""
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    return True
