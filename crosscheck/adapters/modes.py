"""Training and evaluation mode: how a layer of somebody else's is told which one it is in.

Three ways are known: methods ``train()`` and ``eval()``, an attribute ``training`` that is True or False, and an argument of the forward pass with
True or False as its default, called ``training``, ``train``, ``is_training`` or ``train_flg``.

An argument is given to one forward pass and nobody can change it afterwards, even if the layer keeps it in an attribute. So an attribute is only
taken for a switch where the forward pass has no such argument.
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
        given = any(isinstance(defaults.get(name), bool | str) for name in (*_ARGUMENTS, "mode"))
        named = {name: training for name in _ARGUMENTS if isinstance(defaults.get(name), bool)}
        return Modes(methods or attribute or bool(named), methods or (attribute and not given), named)


def _callable_alone(method: Any) -> bool:
    """Return whether a method can be called without arguments; the ``train`` of a whole network, for one, takes its data."""
    if not callable(method):
        return False
    return all(
        parameter.default is not inspect.Parameter.empty or parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for parameter in inspect.signature(method).parameters.values()
    )
