"""Recognises the convention of a bare object, if exactly one fits; an error lists the ways if several do or none does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention, ConventionError, expect_instance, methods_in_words
from crosscheck.adapters.match_params import same_statistic
from crosscheck.adapters.objects import Attributes, Dicts, Updating, array_attributes
from crosscheck.references.resolve import framework_of

_DICTS = (("params", "grads"), ("parameters", "gradients"))


def recognise(subject: Any, params: Mapping[str, str], count: int = 0, kept: Sequence[str] = ()) -> Convention:
    """Return the convention of a subject.

    Parameters
    ----------
    subject : object
        An adapter, which is returned as it is, or a layer.
    params : mapping
        The parameters that were declared, by the subject's names.
    count : int
        How many parameters the reference has: where fewer were declared and the subject has just as many arrays, those are the parameters.
    kept : sequence of str
        Names of running statistics, which are no parameters.

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
        raise ConventionError(f"{name} can be called in {len(ways)} ways; say which one:\n" + "\n".join(f"    subject={way}" for way in ways))
    if callable(subject) and not hasattr(subject, "forward"):
        raise ConventionError(
            f"{name} is a function; say how it is called, with its backward pass:\n    subject=Functions({name}, BACKWARD)\n"
            f"    subject=LossFunction({name})"
        )
    if framework := framework_of(subject):
        raise ConventionError(
            f"{name} is {framework}'s, which differentiates by itself: it has no backward pass to check. It can be the reference; "
            "the subject is hand-written code"
        )
    raise ConventionError(
        f"{name} is of no known convention: expected the methods forward and backward, or forward and backprop; it has {methods_in_words(subject)}. "
        "Other names are declared: subject=Dicts(layer, forward='f', backward='b')"
    )


def _ways(subject: Any, declared: Mapping[str, str], count: int, kept: Sequence[str]) -> dict[str, Convention]:
    """Return the conventions that fit, by how one would write them."""
    if not callable(getattr(subject, "forward", None)):
        return {}
    ways: dict[str, Convention] = {}
    found = array_attributes(subject)
    # Those that are not called like the gradient of another one.
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
            # Whether backward replaces or adds cannot be seen from outside.
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
