"""Normalisations, recognised by their steps: by mean and variance, or by the mean square."""

from __future__ import annotations

from typing import NamedTuple

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import Argument, At
from crosscheck.references.jax.graph.pattern import Copy, Found, Pattern


class Normalised(NamedTuple):
    """The parts of a normalisation."""

    x: At
    axes: tuple[int, ...]
    eps: float
    mean: At
    variance: At
    centred: At
    std: At


def _root(pattern: Pattern, at: Argument) -> tuple[At, float] | None:
    """Return the variance and eps of sqrt(variance + eps)."""
    for variance, eps in pattern.orders(pattern.source(at, "sqrt") or 0, "add"):
        if isinstance(variance, At) and isinstance(eps, float):
            return variance, eps
    return None


def _of_statistics(pattern: Pattern, x: At, mean: Argument, root: Argument) -> Normalised | None:
    """Return the normalisation whose mean and standard deviation are these; both may have been given another shape."""
    found = _root(pattern, root)
    if found is None or not isinstance(mean, At) or not isinstance(root, At):
        return None
    average, variance = (pattern.rest(one) for one in (mean, found[0]))
    # The variance may be made from another step of the same mean, with or without its reduced axes.
    own = pattern.source(average, "mean") == x and pattern.graph.shape(mean) == pattern.graph.shape(found[0])
    squared = pattern.square(pattern.source(variance, "mean") or 0)
    centred = None if squared is None else pattern.pair(squared, "subtract")
    if not own or squared is None or centred is None or centred[0] != x or not isinstance(variance, At):
        return None
    first, second = pattern.step(average).settings, pattern.step(variance).settings
    same = pattern.source(pattern.rest(centred[1]), "mean") == x and pattern.step(pattern.rest(centred[1])).settings["axes"] == first["axes"]
    kept = tuple(1 if axis in first["axes"] else size for axis, size in enumerate(pattern.graph.shape(x)))
    fits = (*[1] * (len(kept) - len(pattern.graph.shape(mean))), *pattern.graph.shape(mean)) == kept
    if not same or not fits or first["axes"] != second["axes"] or first.get("less") or second.get("less"):
        return None
    return Normalised(x, first["axes"], found[1], mean, found[0], squared, root)


def normalised(pattern: Pattern, at: At) -> Found | None:
    """Recognise (x - mean) / sqrt(variance + eps) with the mean and the variance of x."""
    pair = pattern.pair(at, "divide")
    centred = None if pair is None else pattern.pair(pair[0], "subtract")
    if pair is None or centred is None or not isinstance(centred[0], At):
        return None
    found = _of_statistics(pattern, centred[0], centred[1], pair[1])
    return None if found is None else Found([found.x], lambda copy: _add_normalised(pattern, copy, found))


def _add_normalised(pattern: Pattern, copy: Copy, found: Normalised) -> At:
    graph = copy.graph
    y, mean, variance = units.normalised(graph, copy.places[found.x], found.axes, found.eps)
    centred, std = graph.steps[y].sources
    for new, old in ((mean, found.mean), (variance, found.variance), (centred, found.centred), (std, found.std)):
        for one in pattern.alike(old):
            graph.named(new, pattern.step(one).name)
            if one in copy.live and one not in copy.places:
                # What else reads the statistic reads the unit's own, so that there is only one.
                shape = pattern.graph.shape(one)
                copy.places[one] = new if graph.shape(new) == shape else graph.add("reshape", new, shape=shape)
    return y


def rms_normalised(pattern: Pattern, at: At) -> Found | None:
    """Recognise x / sqrt(mean(x**2) + eps)."""
    pair = pattern.pair(at, "divide")
    root = None if pair is None else _root(pattern, pair[1])
    if pair is None or root is None:
        return None
    settings, x = pattern.step(root[0]).settings, pair[0]
    if not isinstance(x, At) or pattern.square(pattern.source(root[0], "mean") or 0) != x or not settings["keepdims"] or settings.get("less"):
        return None
    return Found([x], lambda copy: units.rms_normalised(copy.graph, copy.places[x], settings["axes"], root[1]))


def scaled_normalised(pattern: Pattern, at: At) -> Found | None:
    """Recognise x * (weight / std) + (bias - mean * (weight / std)), as Keras writes it."""
    for product, shift in pattern.orders(at, "add"):
        for moved, bias in (*pattern.orders(shift, "add"), (shift, None)):
            if (found := _parts_of_scaled(pattern, product, moved)) is not None:
                return _expanded(pattern, *found, bias)
    return _of_scaled_quotient(pattern, at)


def _of_scaled_quotient(pattern: Pattern, at: At) -> Found | None:
    """Recognise (x - mean) * (weight / std)."""
    for centred, scale in pattern.orders(at, "multiply"):
        pair, quotient = pattern.pair(centred, "subtract"), pattern.pair(scale, "divide")
        if pair is None or quotient is None or _root(pattern, quotient[1]) is None:
            continue
        (x, mean), (weight, std) = pair, quotient
        if isinstance(x, At) and isinstance(mean, At) and isinstance(std, At):
            return _expanded(pattern, x, mean, std, weight, None)
    return None


def _parts_of_scaled(pattern: Pattern, product: Argument, moved: Argument) -> tuple[At, At, At, Argument] | None:
    """Return x, mean, standard deviation and weight of a product x * (weight / std), if ``moved`` is -mean * (weight / std)."""
    for x, scale in pattern.orders(product, "multiply"):
        quotient = pattern.pair(scale, "divide")
        for minus, own in pattern.orders(moved, "multiply"):
            mean = pattern.source(minus, "negative")
            if quotient is not None and own == scale and mean is not None and (found := _checked(pattern, x, mean, quotient[1])) is not None:
                return (*found, quotient[0])
    # Without a weight, x * (1 / std) was written as x / std.
    own_quotient, other = pattern.pair(product, "divide"), pattern.pair(moved, "divide")
    mean = None if other is None else pattern.source(other[0], "negative")
    if own_quotient is None or other is None or mean is None or own_quotient[1] != other[1]:
        return None
    found = _checked(pattern, own_quotient[0], mean, other[1])
    return None if found is None else (*found, 1.0)


def _checked(pattern: Pattern, x: Argument, mean: At, std: Argument) -> tuple[At, At, At] | None:
    """Return the parts of a normalisation, if the divisor is a root of a variance and a small number."""
    return (x, mean, std) if isinstance(x, At) and isinstance(std, At) and _root(pattern, std) is not None else None


def _expanded(pattern: Pattern, x: At, mean: At, std: At, weight: Argument, bias: Argument | None) -> Found:
    own, given = _of_statistics(pattern, x, mean, std), _root(pattern, std)
    assert given is not None
    inputs = [one for one in (x, weight, bias, *(() if own else (mean, given[0]))) if isinstance(one, At)]

    def build(copy: Copy) -> At:
        graph, places = copy.graph, copy.places
        if own is not None:
            y = _add_normalised(pattern, copy, own)
        else:
            y, _, _ = units.normalised(copy.graph, copy.places[x], (), given[1], places[mean], places[given[0]])
        for operation, one in (("multiply", weight), ("add", bias)):
            if isinstance(one, At):
                y = graph.add(operation, y, places[one])
            elif one is not None and one != (operation == "multiply"):
                y = graph.add(operation, y, one)
        return y

    return Found(inputs, build)
