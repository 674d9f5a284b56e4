"""Units: operations made of several steps, such as a softmax, with the formula that people write for their derivative.

A function of this module adds the steps of a unit to a graph and returns the place of its result. Each step has the role that it plays in the usual
formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from crosscheck.oracles.graph.graph import Argument, At, Graph, Unit

Derivative: TypeAlias = Callable[[Graph, Unit, At, Sequence[bool]], Iterator[tuple[int, At]]]
"""Gets the graph, the unit, its gradient, and which inputs need a gradient; yields the number of each such input with its gradient."""


def softmax(graph: Graph, x: At, axis: int) -> At:
    """Add a softmax along an axis: exp(x - max) / sum(exp(x - max))."""
    first = len(graph.steps)
    shifted = graph.add("subtract", x, graph.add("stop", graph.add("amax", x, axes=(axis,), keepdims=True, role="maximum")), role="shifted")
    powers = graph.add("exp", shifted, role="exponentials")
    y = graph.add("divide", powers, graph.add("sum", powers, axes=(axis,), keepdims=True, role="sum of exponentials"), role="probabilities")
    return graph.unit("softmax", (x,), y, first, axis=axis)


def _of_softmax(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    y = unit.output
    along = graph.add("sum", graph.add("multiply", grad, y), axes=(unit.settings["axis"],), keepdims=True)
    yield 0, graph.add("multiply", y, graph.add("subtract", grad, along))


def log_softmax(graph: Graph, x: At, axis: int) -> At:
    """Add a log-softmax along an axis: x - max - log(sum(exp(x - max)))."""
    first = len(graph.steps)
    shifted = graph.add("subtract", x, graph.add("stop", graph.add("amax", x, axes=(axis,), keepdims=True, role="maximum")), role="shifted")
    total = graph.add("sum", graph.add("exp", shifted, role="exponentials"), axes=(axis,), keepdims=True, role="sum of exponentials")
    y = graph.add("subtract", shifted, graph.add("log", total), role="log-probabilities")
    return graph.unit("log_softmax", (x,), y, first, axis=axis)


def _of_log_softmax(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    along = graph.add("sum", grad, axes=(unit.settings["axis"],), keepdims=True)
    yield 0, graph.add("subtract", grad, graph.add("multiply", graph.add("exp", unit.output, role="probabilities"), along))


def log_sum_exp(graph: Graph, x: At, axes: Sequence[int], keepdims: bool) -> At:
    """Add the logarithm of a sum of exponentials along axes."""
    first = len(graph.steps)
    largest = graph.add("stop", graph.add("amax", x, axes=tuple(axes), keepdims=True, role="maximum"))
    powers = graph.add("exp", graph.add("subtract", x, largest, role="shifted"), role="exponentials")
    total = graph.add("sum", powers, axes=tuple(axes), keepdims=True, role="sum of exponentials")
    y = graph.add("add", graph.add("log", total), largest)
    graph.unit("log_sum_exp", (x,), y, first)
    kept = tuple(size for axis, size in enumerate(graph.shape(x)) if axis not in {one % len(graph.shape(x)) for one in axes})
    return y if keepdims else graph.add("reshape", y, shape=kept)


def _of_log_sum_exp(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    x = unit.inputs[0]
    yield 0, graph.add("multiply", grad, graph.add("exp", graph.add("subtract", x, unit.output), role="probabilities"))


def normalised(graph: Graph, x: At, axes: Sequence[int], eps: float, mean: At | None = None, variance: At | None = None) -> tuple[At, At, At]:
    """Add (x - mean) / sqrt(variance + eps) over axes; return it with mean and variance, which keep their axes.

    Given statistics, as in evaluation, are used as they are.
    """
    axes, given = tuple(axes), mean is not None
    first = len(graph.steps)
    mean = graph.add("mean", x, axes=axes, keepdims=True, role="mean") if mean is None else mean
    centred = graph.add("subtract", x, mean, role="x - mean")
    if variance is None:
        variance = graph.add("mean", graph.add("square", centred), axes=axes, keepdims=True, role="variance")
    std = graph.add("sqrt", graph.add("add", variance, eps), role="standard deviation")
    y = graph.add("divide", centred, std, role="normalised x")
    if not given:
        graph.unit("normalised", (x,), y, first, {"std": std}, axes=axes)
    return y, mean, variance


def _of_normalised(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    axes, y = unit.settings["axes"], unit.output
    of_mean = graph.add("mean", grad, axes=axes, keepdims=True)
    of_variance = graph.add("multiply", y, graph.add("mean", graph.add("multiply", grad, y), axes=axes, keepdims=True))
    yield 0, graph.add("divide", graph.add("subtract", graph.add("subtract", grad, of_mean), of_variance), unit.parts["std"])


def rms_normalised(graph: Graph, x: At, axes: Sequence[int], eps: float) -> At:
    """Add x / sqrt(mean(x**2) + eps) over axes."""
    axes, first = tuple(axes), len(graph.steps)
    mean = graph.add("mean", graph.add("square", x), axes=axes, keepdims=True, role="mean square")
    root = graph.add("sqrt", graph.add("add", mean, eps), role="root mean square")
    y = graph.add("divide", x, root, role="normalised x")
    return graph.unit("rms_normalised", (x,), y, first, {"root": root}, axes=axes)


def _of_rms_normalised(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    along = graph.add("mean", graph.add("multiply", grad, unit.output), axes=unit.settings["axes"], keepdims=True)
    yield 0, graph.add("divide", graph.add("subtract", grad, graph.add("multiply", unit.output, along)), unit.parts["root"])


def cross_entropy(graph: Graph, log_probabilities: At, target: At, weights: At | None, total: At | float | None, x: At, first: int) -> At:
    """Add a cross-entropy loss of log-probabilities along the last axis, and make it a unit together with the log-softmax.

    Parameters
    ----------
    target : At
        The probability that each class should have, of the shape of the log-probabilities: 1 for the label and 0 elsewhere.
    weights : At or None
        The weight of each row, as a column; None if all count the same.
    total : At, float or None
        By what the sum over rows is divided; None if it is not.
    x : At
        The logits.
    first : int
        The first step of the unit.
    """
    picked = graph.add("sum", graph.add("multiply", target, log_probabilities), axes=(-1,), keepdims=True, role="log-probability of the label")
    loss = graph.add("negative", picked, role="loss of each sample")
    if weights is not None:
        loss = graph.add("multiply", weights, loss)
    added = graph.add("sum", loss, axes=tuple(range(len(graph.shape(loss)))), keepdims=False)
    y = added if total is None else graph.add("divide", added, total, role="loss")
    given = {"log": log_probabilities, "target": target}
    given |= {} if weights is None else {"weights": weights}
    given |= {"total": total} if isinstance(total, At) else {}
    return graph.unit("cross_entropy", (x,), y, first, given, total=None if isinstance(total, At) else total)


def _of_cross_entropy(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    parts = unit.parts
    error = graph.add("subtract", graph.add("exp", parts["log"], role="probabilities"), parts["target"], role="probabilities - target")
    if "weights" in parts:
        error = graph.add("multiply", parts["weights"], error)
    if (total := parts.get("total", unit.settings["total"])) is not None:
        error = graph.add("divide", error, total, role="count")
    yield 0, graph.add("multiply", grad, error)


def gelu(graph: Graph, x: At) -> At:
    """Add x * cdf(x), where cdf is the normal distribution's."""
    first = len(graph.steps)
    cdf = graph.add("multiply", 0.5, graph.add("add", 1.0, graph.add("erf", graph.add("divide", x, math.sqrt(2)))), role="cdf(x)")
    return graph.unit("gelu", (x,), graph.add("multiply", x, cdf), first, {"cdf": cdf})


def _of_gelu(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    x = unit.inputs[0]
    power = graph.add("exp", graph.add("multiply", -0.5, graph.add("square", x)))
    density = graph.add("divide", power, math.sqrt(2 * math.pi), role="pdf(x)")
    slope = graph.add("add", unit.parts["cdf"], graph.add("multiply", x, density))
    yield 0, graph.add("multiply", grad, slope)


def silu(graph: Graph, x: At) -> At:
    """Add x * sigmoid(x)."""
    first = len(graph.steps)
    gate = graph.add("sigmoid", x)
    return graph.unit("silu", (x,), graph.add("multiply", x, gate), first, {"gate": gate})


def _of_silu(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    x, gate = unit.inputs[0], unit.parts["gate"]
    inner = graph.add("add", 1.0, graph.add("multiply", x, graph.add("subtract", 1.0, gate)))
    yield 0, graph.add("multiply", grad, graph.add("multiply", gate, inner))


def binary_cross_entropy(graph: Graph, x: At, target: At) -> At:
    """Add the binary cross-entropy of logits, element by element: softplus(x) - target * x."""
    first = len(graph.steps)
    loss = graph.add("subtract", graph.add("softplus", x), graph.add("multiply", target, x), role="loss of each element")
    return graph.unit("binary_cross_entropy", (x,), loss, first, {"target": target})


def _of_binary_cross_entropy(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    x = unit.inputs[0]
    yield 0, graph.add("multiply", grad, graph.add("subtract", graph.add("sigmoid", x), unit.parts["target"]))


def _of_sigmoid(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    y = unit.output
    yield 0, graph.add("multiply", grad, graph.add("multiply", y, graph.add("subtract", 1.0, y)))


def _of_softplus(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    x, way = unit.inputs[0], unit.settings.get("way")
    slope = stable_sigmoid(graph, x) if way == "stable" else plain_sigmoid(graph, x) if way == "plain" else graph.add("sigmoid", x)
    yield 0, graph.add("multiply", grad, slope)


def stable_sigmoid(graph: Graph, x: Argument) -> At:
    """Add a sigmoid by an exponential that cannot overflow: e / (1 + e) or 1 / (1 + e), with e = exp(-abs(x))."""
    small = graph.add("exp", graph.add("negative", graph.add("abs", x)))
    chosen = graph.add("where", graph.add("less", x, 0.0), small, 1.0)
    return graph.add("divide", chosen, graph.add("add", 1.0, small))


def plain_sigmoid(graph: Graph, x: Argument) -> At:
    """Add a sigmoid by its formula: 1 / (1 + exp(-x))."""
    return graph.add("divide", 1.0, graph.add("add", 1.0, graph.add("exp", graph.add("negative", x))))


def huber(graph: Graph, error: At, delta: float) -> At:
    """Add Huber's loss of errors, element by element: error**2 / 2 where it is at most delta, delta * (abs(error) - delta / 2) elsewhere."""
    first = len(graph.steps)
    size = graph.add("abs", error)
    far = graph.add("multiply", delta, graph.add("subtract", size, 0.5 * delta))
    near = graph.add("multiply", 0.5, graph.add("square", error))
    y = graph.add("where", graph.add("less_equal", size, delta), near, far, role="loss of each element")
    return graph.unit("huber", (error,), y, first, delta=delta)


def _of_huber(graph: Graph, unit: Unit, grad: At, needed: Sequence[bool]) -> Iterator[tuple[int, At]]:
    error, delta = unit.inputs[0], unit.settings["delta"]
    near = graph.add("less_equal", graph.add("abs", error), delta)
    yield 0, graph.add("multiply", grad, graph.add("where", near, error, graph.add("multiply", delta, graph.add("sign", error))))


DERIVATIVES: Mapping[str, Derivative] = {
    "softmax": _of_softmax,
    "log_softmax": _of_log_softmax,
    "log_sum_exp": _of_log_sum_exp,
    "normalised": _of_normalised,
    "rms_normalised": _of_rms_normalised,
    "cross_entropy": _of_cross_entropy,
    "gelu": _of_gelu,
    "silu": _of_silu,
    "sigmoid": _of_sigmoid,  # where its steps are spelled out
    "softplus": _of_softplus,
    "huber": _of_huber,
    "binary_cross_entropy": _of_binary_cross_entropy,
}
"""For each kind of unit, the formula of its derivative."""
