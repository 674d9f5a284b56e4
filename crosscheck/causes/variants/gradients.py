"""Changes of the backward pass alone: parts of a gradient that are not passed on, replaced or repeated, and the upstream gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crosscheck.causes.variants.change import Change, made
from crosscheck.causes.variants.numbers import sizes
from crosscheck.oracles.graph.graph import INPUT, At, Graph
from crosscheck.oracles.graph.operations import swapped_axes

_MOST_ELEMENTS = 2_000
"""Borders of larger arrays are not tried one by one."""


def changes(graph: Graph, at: At) -> Iterator[Change]:
    """Yield the changes of one backward step."""
    step, shape = graph.steps[at], graph.shape(at)
    x = step.args[0] if step.args else None
    if step.operation == INPUT and step.name.startswith("grad_"):
        words = f"the upstream gradient {step.name} is ignored, as if it were 1"
        yield Change(("ignored",), 0, words, made("same", np.ones(shape)))
        yield Change(("squared",), 0, f"the upstream gradient {step.name} is multiplied in twice", made("square", made("same", at)))
    if step.operation == "add_rows":
        words = "repeated indices overwrite each other; their gradients have to be added up"
        yield Change(("overwritten",), 0, words, made("set_rows", *step.args, **step.settings))
    if step.path is None or not isinstance(x, At):
        return
    yield Change(("left out",), 0, "this part of the gradient is left out", made("same", np.zeros(shape)))
    yield Change(("sign",), 0, "this part of the gradient has the wrong sign", made("negative", x))
    yield from _passed_on(graph, at, shape)
    yield from _differentiated_twice(graph, at, shape)
    yield from _scaled(graph, x)
    n = len(shape)
    if n >= 2 and shape[-1] == shape[-2] > 1:
        yield Change(("transposed",), 1, "the gradient is transposed", made("transpose", x, axes=swapped_axes(n)))
    for axis in range(n):
        if shape[axis] == 1:
            continue
        words = f"the gradient is summed over axis {axis} and repeated along it"
        summed = made("expand", made("sum", x, axes=(axis,), keepdims=True), shape=shape)
        yield Change(("summed", axis), 3, words, summed)
        if graph.values[at].size <= _MOST_ELEMENTS:
            for place, word in ((0, "first"), (shape[axis] - 1, "last")):
                key = (*[slice(None)] * axis, place)
                missing = made("replace_at", x, 0.0, key=key)
                yield Change(("border", axis, word), 2, f"the {word} index of axis {axis} of the gradient stays 0", missing)
    if n > 1:
        words = "the gradient is summed over everything"
        yield Change(("summed",), 3, words, made("expand", made("sum", x, axes=tuple(range(n)), keepdims=True), shape=shape))


def _passed_on(graph: Graph, at: At, shape: tuple[int, ...]) -> Iterator[Change]:
    """Yield the change in which a step hands its gradient on as it is, as if it had no derivative."""
    origin = graph.steps[at].origin
    total = None if origin is None else graph.gradient_of.get(origin.step)
    if total is not None and graph.shape(total) == shape:
        yield Change(("passed on",), 0, "the derivative is left out: the gradient is passed on as it is", total)


def _differentiated_twice(graph: Graph, at: At, shape: tuple[int, ...]) -> Iterator[Change]:
    """Yield the changes in which the derivative of a sigmoid or a tangent, or the diagonal of a softmax's, is multiplied in once more."""
    x = graph.steps[at].args[0]
    for number in range(at):
        step = graph.steps[number]
        if graph.shape(At(number)) != shape or (step.operation not in ("sigmoid", "tanh") and "probabilities" not in (step.role, step.name)):
            continue
        y = At(number)
        slope = made("subtract", 1.0, made("square", y)) if step.operation == "tanh" else made("multiply", y, made("subtract", 1.0, y))
        words = f"the derivative of {step.operation if step.operation in ('sigmoid', 'tanh') else 'softmax'} is multiplied in once too often"
        yield Change(("differentiated twice", step.operation), 2, words, made("multiply", x, slope))


def _scaled(graph: Graph, x: At) -> Iterator[Change]:
    """Yield the changes in which a part of a gradient is multiplied or divided by a length or by 2."""
    for kind, size, change in (("divided", "half", made("divide", x, 2.0)), ("multiplied", "twice", made("multiply", x, 2.0))):
        yield Change((kind, "two"), 1, f"this part of the gradient is {size} as large as it should be", change)
    for one in sizes(graph):
        what = f"{one.value:g}, {one.words}"
        yield Change(("divided", *one.key), 1, f"this part of the gradient is divided by {what}, once too often", made("divide", x, one.value))
        yield Change(
            ("multiplied", *one.key), 1, f"this part of the gradient is multiplied by {what}, once too often", made("multiply", x, one.value)
        )
