"""Recognise the convention of an object that is declared without an adapter. If not exactly one convention fits, the error lists the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention, ConventionError, expect_instance, methods_in_words
from crosscheck.adapters.naming import same_statistic
from crosscheck.adapters.objects import Attributes, Dicts, Updating, array_attributes
from crosscheck.references.resolve import framework_of

_DICTS = (("params", "grads"), ("parameters", "gradients"))


def recognise(subject: Any, params: Mapping[str, str], count: int = 0, kept: Sequence[str] = ()) -> Convention:
    """Return the adapter that fits a subject.

    Parameters
    ----------
    subject : object
        An adapter, which is returned unchanged, or a layer.
    params : mapping
        The declared parameters by the subject's names.
    count : int
        The number of parameters of the reference. If fewer are declared and the subject has exactly this many arrays, all of these are parameters.
    kept : sequence of str
        The reference's names of running statistics. The subject's arrays with such names are not parameters.

    Raises
    ------
    ConventionError
        If not exactly one convention fits.
    """
    expect_instance(subject)
    if callable(getattr(subject, "instance", None)) and hasattr(subject, "keeps"):
        convention: Convention = subject
        return convention
    ways = _ways(subject, params, count, kept)
    if len(ways) == 1:
        return next(iter(ways.values()))
    name = type(subject).__name__ if not callable(subject) or not hasattr(subject, "__name__") else subject.__name__
    if ways:
        raise ConventionError(f"{name} can be called in {len(ways)} ways; declare one of them:\n" + "\n".join(f"    subject={way}" for way in ways))
    if callable(subject) and not hasattr(subject, "forward"):
        raise ConventionError(
            f"{name} is a function; declare its backward pass, or that it is a loss which returns loss and gradient:\n"
            f"    subject=Functions({name}, BACKWARD)\n    subject=LossFunction({name})"
        )
    if framework := framework_of(subject):
        raise ConventionError(
            f"{name} comes from {framework}, which differentiates automatically, so that it has no hand-written backward pass to check; "
            f"declare your own code as subject, and {name} as reference"
        )
    raise ConventionError(
        f"{name} follows no known convention: expected the methods forward and backward, or forward and backprop; its methods are "
        f"{methods_in_words(subject)}; if they have other names, declare them: subject=Dicts(layer, forward='f', backward='b')"
    )


def _ways(subject: Any, declared: Mapping[str, str], count: int, kept: Sequence[str]) -> dict[str, Convention]:
    """Return the adapters that fit; each key is the expression with which a user would declare the adapter."""
    if not callable(getattr(subject, "forward", None)):
        return {}
    ways: dict[str, Convention] = {}
    found = array_attributes(subject)
    # An array dW beside an array W is a gradient, not a parameter.
    arrays = tuple(name for name in found if name not in {f"d{other}" for other in found} and not any(same_statistic(name, other) for other in kept))
    names = arrays if not declared or len(declared) < count == len(arrays) else tuple(declared)
    if callable(getattr(subject, "backprop", None)):
        ways[f"Updating(layer, params={names})"] = Updating(subject, names)
    if not callable(getattr(subject, "backward", None)):
        return ways
    dicts = [(params, grads) for params, grads in _DICTS if _is_dict(subject, params) and _is_dict(subject, grads)]
    for params, grads in dicts:
        if (params, grads) == _DICTS[0]:
            ways["Dicts(layer)"] = Dicts(subject)
        else:
            # Whether backward replaces gradients or adds to them cannot be seen from outside.
            for adds in (False, True):
                ways[f"Dicts(layer, {params!r}, {grads!r}, accumulates={adds})"] = Dicts(subject, params, grads, accumulates=adds)
    if names and not dicts:
        ways[f"Attributes(layer, params={names})"] = Attributes(subject, names)
    elif not dicts:
        ways["Dicts(layer)"] = Dicts(subject)
    return ways


def _is_dict(subject: Any, name: str) -> bool:
    value = getattr(subject, name, None)
    return isinstance(value, Mapping) and all(isinstance(v, np.ndarray | np.generic | float) for v in value.values())
