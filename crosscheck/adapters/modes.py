"""Training and evaluation mode: how a layer of somebody else's is told which one it is in.

Three ways are known: methods ``train()`` and ``eval()``, an attribute ``training`` that is True or False, and an argument of the forward pass with
True or False as its default, called ``training``, ``train``, ``is_training`` or ``train_flg``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_ARGUMENTS = ("training", "train", "is_training", "train_flg")


@dataclass(frozen=True)
class Modes:
    """The mode that a layer is in.

    Attributes
    ----------
    exist : bool
        Whether it has modes at all.
    arguments : mapping
        What the forward pass is given for it by name.
    """

    exist: bool = False
    arguments: Mapping[str, bool] = field(default_factory=dict)

    @staticmethod
    def of(layer: Any, forward: Callable[..., Any], training: bool) -> Modes:
        """Put a layer into a mode in every way that it knows."""
        exist = False
        if _callable_alone(getattr(layer, "train", None)) and _callable_alone(getattr(layer, "eval", None)):
            (layer.train if training else layer.eval)()
            exist = True
        if isinstance(getattr(layer, "training", None), bool):
            layer.training = training
            exist = True
        parameters = inspect.signature(forward).parameters
        named = {name: training for name in _ARGUMENTS if name in parameters and isinstance(parameters[name].default, bool)}
        return Modes(exist or bool(named), named)


def _callable_alone(method: Any) -> bool:
    """Return whether a method can be called without arguments; the ``train`` of a whole network, for one, takes its data."""
    if not callable(method):
        return False
    return all(
        parameter.default is not inspect.Parameter.empty or parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for parameter in inspect.signature(method).parameters.values()
    )
