"""What Keras's own layers and losses take and return: their further inputs, the numbers that these hold, and the names of the results.

A layer that is not listed here takes one input and returns one output, unless the declaration of a pair says more. Losses of Keras take the target
first. Here, as everywhere in crosscheck, they take the prediction first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from crosscheck.core.arguments import GivenSettings, Input, Inputs, Integers, Labels, Mask, Of, Signature, Target, axes_of

Make = Callable[[Any], Signature]
"""A function of a layer, or of the settings of a loss as attributes, that returns its signature."""

TARGETS = ("y_true", "target", "labels")
"""The names of a loss's target, in the order in which they are looked for."""

WEIGHTS = "sample_weight"
"""The name of the weights that a loss multiplies the samples by."""


def signature_of(reference: Any) -> Signature | None:
    """Return the signature of a layer, a loss or a loss function of Keras; None if it is not known."""
    if isinstance(reference, keras.losses.Loss):
        make = _LOSSES.get(type(reference))
        return None if make is None else make(GivenSettings(settings_of(reference)))
    if isinstance(reference, keras.Layer):
        call: Any = type(reference).call
        known = (make for kind, make in _LAYERS.items() if isinstance(reference, kind) and call is kind.call)
        return next((make(reference) for make in known), None)
    given: Mapping[str, Any] = {}
    if isinstance(reference, functools.partial) and not reference.args:
        given, reference = reference.keywords, reference.func
    make = _FUNCTIONS.get(reference) if inspect.isfunction(reference) else None
    return None if make is None else make(GivenSettings(given))


def settings_of(loss: Any) -> dict[str, Any]:
    """Return the settings of a loss, also those that its config lacks, such as the delta of Huber's loss and the axis of the classes."""
    return {**loss.get_config(), **getattr(loss, "_fn_kwargs", {})}


@dataclass(frozen=True)
class Passed:
    """The positional and the keyword arguments of a layer."""

    positional: tuple[Any, ...]
    named: Mapping[str, Any]


def passed(layer: Any, arguments: Mapping[str, Any]) -> Passed:
    """Return the arguments with which a layer gets inputs that are given by name, in order.

    They are passed by name if these are names of the layer's arguments. First states, and the inputs and masks of layers that take a list, are put
    together.
    """
    given: dict[str, Any] = dict(arguments)
    if isinstance(layer, keras.layers.Attention):
        masks = {name: given.pop(name) for name in list(given) if "mask" in name}
        names = ("query", "value", "key") if {"query", "value"} <= set(given) else list(given)
        mask = [masks.get("query_mask"), masks.get("value_mask", masks.get("mask"))]
        return Passed(([given[name] for name in names if name in given],), {"mask": mask} if masks else {})
    if isinstance(layer, keras.layers.RNN):
        states = [given.pop(name) for name in list(given) if name in _STATES]
        masks = {"mask": given.pop("mask")} if "mask" in given else {}
        if len(given) > 1:
            first, *others = given.values()
            given, states = {"sequences": first}, [*others, *states]
        # A single state is passed as it is, because Keras takes a list of one for a batch.
        return Passed(tuple(given.values()), masks | ({"initial_state": states if len(states) > 1 else states[0]} if states else {}))
    own = list(inspect.signature(layer.call).parameters)
    if own[:1] == ["inputs"] and len(given) > 1 and len(own) == 1:
        return Passed((list(given.values()),), {})
    if len(given) > 1 and set(given) <= set(own):
        return Passed((), given)
    return Passed(tuple(given.values()), {})


def turned_round(arguments: Mapping[str, Any]) -> Sequence[Any]:
    """Return the arguments of a loss of Keras, the target before the prediction, given a prediction and a target in any order.

    The target is recognised by its name, or is the second. The weights of samples come last.
    """
    given = dict(arguments)
    weights = [given.pop(WEIGHTS)] if WEIGHTS in given else []
    target = next((name for name in TARGETS if name in given), list(given)[1] if len(given) > 1 else "")
    targets = [given.pop(target)] if target else []
    return [*targets, *given.values(), *weights]


def takes_target_first(function: Any) -> bool:
    """Return whether the first two arguments of a function have the names that Keras gives to a loss's target and prediction."""
    try:
        return list(inspect.signature(function).parameters)[:2] == ["y_true", "y_pred"]
    except (TypeError, ValueError):
        return False


def _alike(targets: Of, of: Of = "real") -> Make:
    """Return the signature of a loss of predictions and targets with the same shape."""
    signature = Signature(lambda count: {"input": Input(axes_of(count), of), "target": Target(axes_of(count), targets)})
    return lambda settings: signature


def _probabilities(targets: Of, of: Of) -> Make:
    """Return the signature of a loss of logits or, by default, of probabilities."""
    return lambda settings: _alike(targets, "real" if settings.from_logits else of)(settings)


def _labels(settings: Any) -> Signature:
    """Return the signature of a loss of logits or probabilities and labels; one axis, by default the last, holds the classes."""

    def inputs(count: int) -> Inputs:
        others = axes_of(count)
        classes = others.pop(-1 if settings.axis is None else settings.axis)
        of: Of = "real" if settings.from_logits else "distribution"
        return {"input": Input(axes_of(count), of), "labels": Labels(others, below=classes, ignored=settings.ignore_class)}

    return Signature(inputs)


def _embedding(layer: Any) -> Signature:
    return Signature(lambda count: {"ids": Integers(axes_of(count), below=layer.input_dim, also=[0] if layer.mask_zero else [])})


_STATES = ("h_0", "c_0")


def _recurrent(layer: Any) -> Signature:
    """Return the signature of a recurrent layer: a sequence, ``(batch, time, features)``, and its first states, which may be left out."""
    states = _STATES if isinstance(layer, keras.layers.LSTM) else _STATES[:1]
    features = layer.cell.kernel.shape[0] if layer.cell.built else "features"

    def inputs(count: int) -> Inputs:
        return {"input": Input(["batch", "time", features])} | {name: Input(["batch", layer.units]) for name in states}

    after = tuple(f"{name[0]}_n" for name in states) if layer.return_state else ()
    return Signature(inputs, ("output", *after), states)


def _multi_head(layer: Any) -> Signature:
    """Return the signature of multi-head attention: query, value, key, which is the value if it is left out, and masks, true for what takes part."""

    def sequence(length: str, dense: str) -> Input:
        own = getattr(layer, f"{dense}_dense", None)
        return Input(["batch", length, own.kernel.shape[0] if layer.built and own is not None else f"{dense}_features"])

    def inputs(count: int) -> Inputs:
        return {
            "query": sequence("target", "query"),
            "value": sequence("source", "value"),
            "key": sequence("source", "key"),
            "value_mask": Mask(["batch", "source"]),
            "attention_mask": Mask(["batch", "target", "source"]),
        }

    return Signature(inputs, optional=("key", "value_mask", "attention_mask"), by_name=True)


def _attention(layer: Any) -> Signature:
    """Return the signature of attention without parameters: query, value, key, which is the value if it is left out, and the mask of the value."""

    def inputs(count: int) -> Inputs:
        return {
            "query": Input(["batch", "target", "features"]),
            "value": Input(["batch", "source", "features"]),
            "key": Input(["batch", "source", "features"]),
            "value_mask": Mask(["batch", "source"]),
        }

    return Signature(inputs, optional=("key", "value_mask"), by_name=True)


def _merged(layer: Any) -> Signature:
    return Signature(lambda count: {"x1": Input(axes_of(count)), "x2": Input(axes_of(count))})


def _concatenated(layer: Any) -> Signature:
    def inputs(count: int) -> Inputs:
        other: list[str] = axes_of(count)
        other[layer.axis] = f"other_{other[layer.axis]}"
        return {"x1": Input(axes_of(count)), "x2": Input(other)}

    return Signature(inputs)


def _dot(layer: Any) -> Signature:
    """Return the signature of a sum of products along one axis of each input."""

    def inputs(count: int) -> Inputs:
        mine, theirs = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
        other: list[str] = [axis if number == 0 else f"other_{axis}" for number, axis in enumerate(axes_of(count))]
        other[theirs] = axes_of(count)[mine]
        return {"x1": Input(axes_of(count)), "x2": Input(other)}

    return Signature(inputs)


_LAYERS: Mapping[Any, Make] = {
    keras.layers.Embedding: _embedding,
    keras.layers.SimpleRNN: _recurrent,
    keras.layers.GRU: _recurrent,
    keras.layers.LSTM: _recurrent,
    keras.layers.MultiHeadAttention: _multi_head,
    keras.layers.Attention: _attention,
    keras.layers.AdditiveAttention: _attention,
    keras.layers.Add: _merged,
    keras.layers.Average: _merged,
    keras.layers.Maximum: _merged,
    keras.layers.Minimum: _merged,
    keras.layers.Multiply: _merged,
    keras.layers.Subtract: _merged,
    keras.layers.Concatenate: _concatenated,
    keras.layers.Dot: _dot,
}

_LOSSES: Mapping[type, Make] = {
    keras.losses.BinaryCrossentropy: _probabilities("unit", "unit"),
    keras.losses.BinaryFocalCrossentropy: _probabilities("unit", "unit"),
    keras.losses.CategoricalCrossentropy: _probabilities("distribution", "distribution"),
    keras.losses.CategoricalFocalCrossentropy: _probabilities("distribution", "distribution"),
    keras.losses.CategoricalHinge: _alike("distribution"),
    keras.losses.CosineSimilarity: _alike("real"),
    keras.losses.Dice: _alike("unit", "unit"),
    keras.losses.Hinge: _alike("sign"),
    keras.losses.Huber: _alike("real"),
    keras.losses.KLDivergence: _alike("distribution", "distribution"),
    keras.losses.LogCosh: _alike("real"),
    keras.losses.MeanAbsoluteError: _alike("real"),
    keras.losses.MeanAbsolutePercentageError: _alike("positive"),
    keras.losses.MeanSquaredError: _alike("real"),
    keras.losses.MeanSquaredLogarithmicError: _alike("positive", "positive"),
    keras.losses.Poisson: _alike("positive", "positive"),
    keras.losses.SparseCategoricalCrossentropy: _labels,
    keras.losses.SquaredHinge: _alike("sign"),
    keras.losses.Tversky: _alike("unit", "unit"),
}

_FUNCTIONS: Mapping[Any, Make] = {
    keras.losses.binary_crossentropy: _LOSSES[keras.losses.BinaryCrossentropy],
    keras.losses.binary_focal_crossentropy: _LOSSES[keras.losses.BinaryFocalCrossentropy],
    keras.losses.categorical_crossentropy: _LOSSES[keras.losses.CategoricalCrossentropy],
    keras.losses.categorical_focal_crossentropy: _LOSSES[keras.losses.CategoricalFocalCrossentropy],
    keras.losses.categorical_hinge: _LOSSES[keras.losses.CategoricalHinge],
    keras.losses.cosine_similarity: _LOSSES[keras.losses.CosineSimilarity],
    keras.losses.hinge: _LOSSES[keras.losses.Hinge],
    keras.losses.huber: _LOSSES[keras.losses.Huber],
    keras.losses.kl_divergence: _LOSSES[keras.losses.KLDivergence],
    keras.losses.log_cosh: _LOSSES[keras.losses.LogCosh],
    keras.losses.mean_absolute_error: _LOSSES[keras.losses.MeanAbsoluteError],
    keras.losses.mean_absolute_percentage_error: _LOSSES[keras.losses.MeanAbsolutePercentageError],
    keras.losses.mean_squared_error: _LOSSES[keras.losses.MeanSquaredError],
    keras.losses.mean_squared_logarithmic_error: _LOSSES[keras.losses.MeanSquaredLogarithmicError],
    keras.losses.poisson: _LOSSES[keras.losses.Poisson],
    keras.losses.sparse_categorical_crossentropy: _LOSSES[keras.losses.SparseCategoricalCrossentropy],
    keras.losses.squared_hinge: _LOSSES[keras.losses.SquaredHinge],
}
