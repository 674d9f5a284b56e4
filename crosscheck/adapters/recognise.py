"""Recognise the convention of an object that is declared without an adapter. If not exactly one convention fits, the error lists the options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Convention, ConventionError, expect_instance, methods_in_words, returns_nothing
from crosscheck.adapters.gradient_places import Written
from crosscheck.adapters.kept import Kept, dotted, find
from crosscheck.adapters.layer_object import Layer
from crosscheck.adapters.naming import same_statistic
from crosscheck.adapters.objects import Attributes, Dicts, ObjectConvention, Updating, array_attributes
from crosscheck.adapters.returned_grads import orders_of_returned
from crosscheck.references.resolve import framework_of

_DICTS = (("params", "grads"), ("parameters", "gradients"))

_FORWARD, _BACKWARD = ("forward", "fprop", "fwd", "call", "predict"), ("back", "bprop", "bwd", "grad")
"""Words in the names of methods that may be the forward or the backward pass."""

Observe = Callable[[Layer], Written | None]
"""Runs a forward and a backward pass on a copy of a layer; None if the layer fails."""


def recognise(subject: Any, params: Mapping[str, str], count: int = 0, kept: Sequence[str] = (), observe: Observe | None = None) -> Convention:
    """Return the adapter that fits a subject.

    Parameters
    ----------
    subject : object
        An adapter, which is returned unchanged unless it has to find its parameters, or a layer.
    params : mapping
        The declared parameters by the subject's names.
    count : int
        The number of parameters of the reference. If fewer are declared and the subject has exactly this many arrays, all of these are parameters.
    kept : sequence of str
        The reference's names of running statistics. The subject's arrays with such names are not parameters.
    observe : callable, optional
        Shows where a backward pass writes gradients; without it, only names tell.

    Raises
    ------
    ConventionError
        If not exactly one convention fits.
    """
    expect_instance(subject)
    if isinstance(subject, Layer) and subject.params is None and subject.kept is None:
        return _completed(subject, params, count, kept, observe)
    if callable(getattr(subject, "instance", None)) and hasattr(subject, "keeps"):
        convention: Convention = subject
        return convention
    ways = _ways(subject, params, count, kept, observe)
    if len(ways) == 1:
        return next(iter(ways.values()))
    name = type(subject).__name__ if not callable(subject) or not hasattr(subject, "__name__") else subject.__name__
    if ways:
        raise ConventionError(f"{name} can be called in {len(ways)} ways; declare one of them:\n" + "\n".join(f"    subject={way}" for way in ways))
    if callable(subject) and not hasattr(subject, "forward") and not _methods(subject, _BACKWARD):
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
        f"{methods_in_words(subject)}; if they have other names, declare them:\n{_other_methods(subject)}"
    )


def _completed(layer: Layer, params: Mapping[str, str], count: int, kept: Sequence[str], observe: Observe | None) -> Layer:
    """Return a declared adapter with what it leaves to be found."""
    written = None if observe is None else observe(layer.bare)
    found = _chosen(find(layer.layer, written), params, count, kept)
    _expect_one_place(layer.layer, found)
    if written is None:
        return replace(layer, kept=found)
    returned = layer.returned or _returned(layer.layer, found, written)
    return replace(layer, kept=found, returned=returned, output=layer.output or written.output, grad_input=layer.grad_input or written.grad_input)


def _other_methods(subject: Any) -> str:
    """Return the lines that declare which methods are the forward and the backward pass, the likeliest first."""
    back = _methods(subject, _BACKWARD)
    ahead = [name for name in _methods(subject, _FORWARD) if name not in back]
    some = [(forward, backward) for forward in ahead or ["NAME"] for backward in back or ["NAME"]]
    return "\n".join(f"    subject=Layer(layer, forward={forward!r}, backward={backward!r})" for forward, backward in some[:8])


def _methods(subject: Any, words: Sequence[str]) -> list[str]:
    """Return the names of an object's methods that have one of these words in them."""
    public = [name for name in dir(subject) if (not name.startswith("_") or name == "__call__") and callable(getattr(subject, name, None))]
    return [name for name in public if any(word in name.lower() for word in words)]


def _ways(subject: Any, declared: Mapping[str, str], count: int, kept: Sequence[str], observe: Observe | None) -> dict[str, Convention]:
    """Return the adapters that fit; each key is the expression with which a user would declare the adapter."""
    if not callable(getattr(subject, "forward", None)):
        return {}
    ways = list[ObjectConvention]()
    if callable(getattr(subject, "backprop", None)):
        found = array_attributes(subject)
        # An array dW beside an array W is a gradient, not a parameter.
        grads = {f"d{name}" for name in found}
        arrays = tuple(name for name in found if name not in grads and not any(same_statistic(name, other) for other in kept))
        ways.append(Updating(subject, arrays if not declared or len(declared) < count == len(arrays) else tuple(declared)))
    if callable(getattr(subject, "backward", None)):
        ways.append(_with_backward(subject, declared, count, kept, observe))
    return {way.declared(): way for way in ways}


def _with_backward(subject: Any, declared: Mapping[str, str], count: int, kept: Sequence[str], observe: Observe | None) -> Dicts | Attributes | Layer:
    """Return the adapter of an object with a backward method: the simplest one that says where its parameters and gradients are."""
    for params, grads in _DICTS:
        if (own := _arrays_of(subject, params)) and own == _arrays_of(subject, grads):
            return _dicts(subject, params, grads)
    found, written = find(subject), None
    if observe is not None and (found or returns_nothing(subject.forward) or returns_nothing(subject.backward)):
        written = observe(Layer(subject, {}))
        found = find(subject, written)
    chosen = _chosen(found, declared, count, kept)
    _expect_one_place(subject, chosen)
    returned = _returned(subject, chosen, written)
    if written is not None and (returned or written.output or written.grad_input):
        return Layer(subject, kept=chosen, returned=returned, output=written.output, grad_input=written.grad_input)
    return _stored(subject, found, chosen, declared)


def _stored(subject: Any, found: Mapping[str, Kept], chosen: Mapping[str, Kept], declared: Mapping[str, str]) -> Dicts | Attributes | Layer:
    """Return the simplest adapter of an object that stores its gradients."""
    for params, grads in _DICTS:
        simple = all(one.path == (params, name) and one.grad in (None, (grads, name)) for name, one in found.items())
        if simple and _arrays_of(subject, params) == {*found}:
            return _dicts(subject, params, grads)
    if not found and not declared:
        return Dicts(subject)
    if not {*declared} <= {*found} and all(hasattr(subject, name) for name in declared):
        return Attributes(subject, tuple(declared))
    if all(one.path == (name,) and one.grad in (None, (f"d{name}",)) for name, one in chosen.items()):
        return Attributes(subject, tuple(chosen))
    return Layer(subject, kept=chosen)


def _dicts(subject: Any, params: str, grads: str) -> Dicts:
    return Dicts(subject) if (params, grads) == _DICTS[0] else Dicts(subject, params, grads)


def _chosen(found: Mapping[str, Kept], declared: Mapping[str, str], count: int, kept: Sequence[str]) -> dict[str, Kept]:
    """Return those of the arrays that are parameters: the declared ones, or as many as the reference has."""
    found = {name: one for name, one in found.items() if not any(same_statistic(name, other) for other in kept)}
    with_gradient = {name: one for name, one in found.items() if one.seen}
    for arrays in (found, with_gradient):
        if len(declared) < count == len(arrays) and {*declared} <= {*arrays}:
            return arrays
    if declared and {*declared} <= {*found}:
        return {name: found[name] for name in declared}
    return found


def _returned(subject: Any, chosen: Mapping[str, Kept], written: Written | None) -> tuple[str, ...]:
    """Return the parameters whose gradients a backward pass returned and did not store, in their order; empty if it did not return any."""
    if written is None or any(one.read_grad(written.after) is not None for one in chosen.values()):
        return ()
    orders = orders_of_returned(written.returned, {name: np.shape(one.read(subject)) for name, one in chosen.items()})
    if len(orders) > 1:
        lines = "\n".join(f"    subject=Layer(layer, returned={order})" for order in orders)
        raise ConventionError(f"{type(subject).__name__}.backward returns several gradients of the same shape; declare their order:\n{lines}")
    return orders[0] if orders else ()


def _expect_one_place(subject: Any, chosen: Mapping[str, Kept]) -> None:
    """Raise :class:`ConventionError` if a backward pass wrote different values to two places that may be those of one gradient."""
    several = {name: (one.grad, *one.rivals) for name, one in chosen.items() if one.grad is not None}
    if name := next((name for name, places in several.items() if len(places) > 1), ""):
        places = " and ".join(map(dotted, several[name]))
        count = max(map(len, several.values()))
        lines = [{own: dotted(of[min(number, len(of) - 1)]) for own, of in several.items()} for number in range(count)]
        shown = "\n".join(f"    subject=Layer(layer, params={line})" for line in lines)
        title = type(subject).__name__
        raise ConventionError(f"{title} has different arrays for the gradient of {name!r}: {places}; declare which one it is:\n{shown}")


def _arrays_of(subject: Any, name: str) -> set[Any]:
    """Return the keys of a dict of arrays; empty if there is no such dict."""
    value = getattr(subject, name, None)
    return {*value} if isinstance(value, Mapping) and all(isinstance(v, np.ndarray | np.generic | float) for v in value.values()) else set()
