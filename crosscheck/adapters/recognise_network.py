"""How a network that is declared without an adapter is trained: its method for a training step, and where its parameters and gradients are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crosscheck.adapters.convention import ConventionError, methods_in_words, positional
from crosscheck.adapters.layer_object import LayerObject
from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.whole_step import WholeStep, returns_arrays

STEPS = (
    "train_step",
    "training_step",
    "train_on_batch",
    "train_batch",
    "step",
    "fit_batch",
    "train_one_batch",
    "partial_fit",
    "update",
    "train",
    "fit",
    "learn",
)
"""Names in common use for the method that does a training step, the clearest first."""

LOSSES = ("loss_and_grads", "loss_and_gradients", "compute_loss_and_grads", "loss", "compute_loss", "forward_backward", "backprop")
"""Names in common use for the method that returns the loss and the gradients, and leaves the parameters as they are."""

PREDICTIONS = ("predict", "predict_logits", "logits", "predict_proba")
"""Names in common use for the method that returns the network's output."""


def as_whole_step(network: Any, arrays: Sequence[str], trains: bool) -> WholeStep:
    """Return how a network is trained.

    Parameters
    ----------
    network : object
        A :class:`WholeStep`, which is returned unchanged, a :class:`Network`, or an object with its parameters somewhere in it.
    arrays : sequence of str
        The names of the arrays of a batch.
    trains : bool
        Whether the step updates the parameters.

    Raises
    ------
    ConventionError
        If it has no method of a usual name that takes a batch. The message ends with the line to add.
    """
    if isinstance(network, WholeStep):
        takes_params = len([one for one in positional(network.step) if one.default is one.empty]) == len(arrays) + 1
        return _with_own_params(network) if takes_params else network
    if isinstance(network, Network):
        return _of_layers(network)
    if network is None:
        raise ConventionError("subject returned None, expected a new network: an object that trains itself, a WholeStep or a Network")
    given = ", ".join(arrays)
    step = _named(network, STEPS if trains else LOSSES, len(arrays))
    if step is None and len(found := _like_a_step(network, len(arrays))) == 1:
        step = found[0]
    if step is None and trains and (more := _taking_more(network, len(arrays))):
        raise ConventionError(
            f"{type(network).__name__}.{more[0]} takes a batch ({given}) and also {', '.join(more[1])}; say what it gets:\n"
            f"    return WholeStep(lambda {given}: network.{more[0]}({', '.join([given, *map(str.upper, more[1])])}), network)"
        )
    step = _named(network, LOSSES if trains else STEPS, len(arrays)) if step is None else step
    if step is None:
        raise ConventionError(
            f"{type(network).__name__} has no method that takes a batch ({given}) and has a usual name, such as {STEPS[0]}; its methods are "
            f"{methods_in_words(network)}; say which does a training step:\n"
            f"    return WholeStep(lambda {given}: network.METHOD({given}), network)"
        )
    inputs = max(1, len(arrays) - 1)
    predict = next((method for name in PREDICTIONS if (method := _taking(network, name, inputs)) is not None), None)
    return WholeStep(step, network, predict=predict)


def _named(network: Any, names: Sequence[str], count: int) -> Callable[..., Any] | None:
    return next((method for name in names if (method := _taking(network, name, count)) is not None), None)


def _taking_more(network: Any, count: int) -> tuple[str, list[str]] | None:
    """Return the first name in common use of a method that takes more than so many arrays, and its further arguments."""
    for name in STEPS:
        method = getattr(network, name, None)
        required = [one.name for one in positional(method) if one.default is one.empty] if callable(method) else []
        if len(required) > count:
            return name, required[count:]
    return None


def _like_a_step(network: Any, count: int) -> list[Callable[..., Any]]:
    """Return the methods of a name like those in common use for a training step that take so many arrays."""
    names = [name for name in dir(type(network)) if not name.startswith("__") and any(part in name for part in ("train", "step", "fit", "learn"))]
    methods = [getattr(network, name) for name in names if callable(getattr(network, name, None))]
    return [method for method in methods if len([one for one in positional(method) if one.default is one.empty]) == count]


def _of_layers(network: Network) -> WholeStep:
    """Return how a network is trained that is declared by its layers."""
    given = network.layers.items() if isinstance(network.layers, Mapping) else ((str(number), layer) for number, layer in enumerate(network.layers))
    parts = {name: layer if isinstance(layer, Part) else Part(layer) for name, layer in given}
    names = {f"{name}.{own}": f"{name}.{theirs}" for name, part in parts.items() for own, theirs in part.params.items()}
    sizes = {axis: length for part in parts.values() for axis, length in part.sizes.items()}
    layers = {name: part.layer.layer if isinstance(part.layer, LayerObject) else part.layer for name, part in parts.items()}
    one_sample = any(isinstance(part.layer, LayerObject) and part.layer.one_sample for part in parts.values())
    return WholeStep(network.step, _Layers(layers), names, sizes, network.predict, one_sample)


class _Layers:
    """The layers of a network as its attributes."""

    def __init__(self, layers: Mapping[str, Any]) -> None:
        vars(self).update(layers)


def _with_own_params(declared: WholeStep) -> WholeStep:
    """Return how a network is trained by a function ``step(params, *batch)`` that returns the loss and new parameters, in any order."""
    kept = {"params": declared.params() if returns_arrays(declared.params) else declared.params}

    def step(*batch: Any) -> Any:
        returned = declared.step(kept["params"], *batch)
        several = list(returned) if isinstance(returned, tuple) else [returned]
        new = next((one for one in several if isinstance(one, type(kept["params"]))), None)
        if new is not None:
            kept["params"] = new
        return tuple(one for one in several if one is not new)

    step = functools.update_wrapper(step, declared.step)
    return replace(declared, step=step, params=lambda: kept["params"])


def _taking(network: Any, name: str, count: int) -> Callable[..., Any] | None:
    """Return a method if it can be called with so many arrays alone."""
    method = getattr(network, name, None)
    if not callable(method):
        return None
    try:
        inspect.signature(method).bind(*[None] * count)
    except (TypeError, ValueError):
        return None
    spread = any(one.kind is one.VAR_POSITIONAL for one in positional(method))
    required = [one for one in positional(method) if one.default is one.empty]
    return method if spread or len(required) == count or (len(required) <= count and name in STEPS) else None
