"""Units of a graph, recognised by their steps, however their author called them: softmax, cross-entropy and others."""

from __future__ import annotations

import math

import numpy as np

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import Argument, At, Step
from crosscheck.references.jax.graph.normalisations import normalised, rms_normalised, scaled_normalised
from crosscheck.references.jax.graph.pattern import Copy, Found, Pattern


def _softmax(pattern: Pattern, at: At) -> Found | None:
    pair = pattern.pair(at, "divide")
    shifted = None if pair is None else pattern.shifted(pattern.source(pair[0], "exp") or 0)
    if pair is None or shifted is None or not isinstance(pair[1], At) or len(shifted[1]) != 1:
        return None
    x, axes, _ = shifted
    if not pattern.is_sum_of_exponentials(pair[1], pattern.step(pair[0]).args[0], axes, keepdims=True):
        return None
    return Found([x], lambda copy: units.softmax(copy.graph, copy.places[x], axes[0]))


def _log_softmax(pattern: Pattern, at: At) -> Found | None:
    if (found := pattern.log_softmax(at)) is None:
        return None
    x, axis = found
    return Found([x], lambda copy: units.log_softmax(copy.graph, copy.places[x], axis))


def _log_sum_exp(pattern: Pattern, at: At) -> Found | None:
    for left, right in pattern.orders(at, "add"):
        total = pattern.source(left, "log")
        powers = None if total is None else pattern.source(total, "sum")
        inner = None if powers is None else pattern.source(powers, "exp")
        if total is None or inner is None or (shifted := pattern.shifted(inner)) is None:
            continue
        x, axes, _ = shifted
        keepdims = pattern.step(total).settings["keepdims"]
        other = pattern.step(pattern.source(right, "stop") or right)
        same = other.operation == "amax" and other.args[0] == x and other.settings["axes"] == axes and other.settings["keepdims"] == keepdims
        if same and pattern.is_sum_of_exponentials(total, inner, axes, keepdims):
            return _found_log_sum_exp(x, axes, keepdims)
    return None


def _found_log_sum_exp(x: At, axes: tuple[int, ...], keepdims: bool) -> Found:
    return Found([x], lambda copy: units.log_sum_exp(copy.graph, copy.places[x], axes, keepdims))


def _gelu(pattern: Pattern, at: At) -> Found | None:
    """Recognise x * cdf(x), whose cdf is (1 + erf(x / sqrt 2)) / 2."""
    factors = pattern.factors(at)
    steps = [one for one in factors if isinstance(one, At)]
    numbers = [one for one in factors if not isinstance(one, At)]
    if len(steps) != 2 or math.prod(numbers) != 0.5:
        return None
    for x, other in (steps, steps[::-1]):
        for one, inner in (pattern.orders(other, "add"), pattern.orders(other, "subtract")[:1])[pattern.step(other).operation == "subtract"]:
            argument = pattern.source(inner, "erf")
            sign = 1 if pattern.step(other).operation == "add" else -1
            if one == 1.0 and argument is not None and _is_over_root(pattern, argument, x, sign):
                return Found([x], lambda copy, x=x: units.gelu(copy.graph, copy.places[x]))  # type: ignore[misc]
    return None


def _is_over_root(pattern: Pattern, at: At, x: At, sign: int) -> bool:
    """Return whether a step is x / sqrt(2), or its negative."""
    factors = pattern.factors(at)
    if (pair := pattern.pair(at, "divide")) is not None and isinstance(pair[1], float):
        factors = [pair[0], 1 / pair[1]]
    steps = [one for one in factors if isinstance(one, At)]
    size = math.prod(one for one in factors if not isinstance(one, At))
    if len(steps) == 1 and (inner := pattern.source(steps[0], "negative")) is not None:
        steps, size = [inner], -size
    return steps == [x] and bool(np.float32(sign * size) == np.float32(math.sqrt(0.5)))


def _silu(pattern: Pattern, at: At) -> Found | None:
    for x, gate in pattern.orders(at, "multiply"):
        if isinstance(x, At) and pattern.source(gate, "sigmoid") == x:
            return Found([x], lambda copy, x=x: units.silu(copy.graph, copy.places[x]))  # type: ignore[misc]
    return None


def _cross_entropy(pattern: Pattern, at: At) -> Found | None:
    """Recognise the mean or the sum of the log-probabilities at the labels, with a negative sign."""
    negated = pattern.source(at, "negative")
    step = pattern.step(negated or at)
    if step.operation not in {"mean", "sum"} or pattern.graph.shape(at) or step.settings.get("less"):
        return None
    picked: Argument = step.args[0]
    if negated is None:
        picked = pattern.source(picked, "negative") or 0
    count = float(pattern.graph.values[step.sources[0]].size)
    found = _at_labels(pattern, pattern.source(picked, "reshape") or picked)
    if found is None:
        return None
    x, labels, one_hot = found
    total = count if step.operation == "mean" else None

    def build(copy: Copy) -> At:
        graph, places = copy.graph, copy.places
        first = len(graph.steps)
        logarithms = units.log_softmax(copy.graph, copy.places[x], len(pattern.graph.shape(x)) - 1)
        if one_hot is None:
            own = places[labels]
            own = own if graph.shape(own) == graph.shape(logarithms)[:-1] else graph.add("reshape", own, shape=graph.shape(logarithms)[:-1])
            target = graph.add("one_hot", own, classes=graph.shape(logarithms)[-1], role="one-hot labels")
        else:
            target = graph.add("one_hot", places[labels], **one_hot.settings, role="one-hot labels")
        return units.cross_entropy(graph, logarithms, target, None, total, places[x], first)

    return Found([x, labels], build)


def _at_labels(pattern: Pattern, picked: Argument) -> tuple[At, At, Step | None] | None:
    """Return the logits and the labels of log-probabilities at labels; and the step of the one-hot labels, if there is one."""
    step, last = pattern.step(picked), 0
    if step.operation == "take_along" and isinstance(step.args[0], At) and isinstance(step.args[1], At):
        logarithms, ids = step.args
        found, last = pattern.log_softmax(logarithms), len(pattern.graph.shape(step.args[0])) - 1
        labels = pattern.source(ids, "reshape") or step.args[1]
        single = pattern.graph.shape(step.args[1])[-1] == 1 and math.prod(pattern.graph.shape(labels)) == pattern.graph.values[step.args[1]].size
        return (found[0], labels, None) if found is not None and found[1] == last == step.settings["axis"] and single else None
    for target, logarithms in pattern.orders(pattern.source(picked, "sum") or 0, "multiply"):
        found, labels_of = pattern.log_softmax(logarithms), pattern.source(target, "one_hot")
        if found is not None and labels_of is not None and isinstance(logarithms, At):
            last = len(pattern.graph.shape(logarithms)) - 1
            if (
                found[1] == last
                and step.settings["axes"] == (last,)
                and pattern.graph.shape(logarithms) == pattern.graph.values[step.sources[0]].shape
            ):
                return found[0], labels_of, pattern.step(target)
    return None


_PATTERNS = (_cross_entropy, scaled_normalised, _softmax, _log_softmax, _log_sum_exp, normalised, rms_normalised, _gelu, _silu)


def recognised(pattern: Pattern, at: At) -> Found | None:
    """Return the unit whose result a step is; None if it is no unit's."""
    return next((found for one in _PATTERNS if (found := one(pattern, at)) is not None), None)
