"""The derivative of each operation of a graph, as the steps that compute the gradients of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from crosscheck.oracles.graph.graph import CONSTANT, Argument, At, Graph, Step
from crosscheck.oracles.graph.operations import FORMATS, swapped_axes

Parts: TypeAlias = Iterator[tuple[int, At]]
"""For each argument of a step that has a gradient, its number and the part of the gradient that comes through this step."""


class NoDerivativeError(ValueError):
    """A step has no rule for its derivative; the message names its operation."""


def swapped(graph: Graph, at: At) -> At:
    """Return a stack of matrices with each matrix transposed."""
    return graph.add("transpose", at, axes=swapped_axes(len(graph.shape(at))))


Rule: TypeAlias = Callable[[Graph, Step, At, At, Sequence[bool]], Parts]
"""Gets the graph, the step, its place, its gradient, and which arguments need a gradient."""


def _elementwise(slope: Callable[[Graph, Argument, At], Argument]) -> Rule:
    """Return the rule of a function of each number, whose ``slope`` is made of the argument and the result."""

    def rule(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
        yield 0, graph.add("multiply", grad, slope(graph, step.args[0], at))

    return rule


def _divided(divisor: Callable[[Graph, Argument, At], Argument], negative: bool = False) -> Rule:
    """Return the rule of a function of each number whose gradient is divided by ``divisor``, made of the argument and the result."""

    def rule(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
        part = graph.add("divide", grad, divisor(graph, step.args[0], at))
        yield 0, graph.add("negative", part) if negative else part

    return rule


def _add(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield from ((number, grad) for number in range(2) if needed[number])


def _subtract(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    if needed[0]:
        yield 0, grad
    if needed[1]:
        yield 1, graph.add("negative", grad)


def _multiply(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield from ((number, graph.add("multiply", grad, step.args[1 - number])) for number in range(2) if needed[number])


def _divide(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    x, y = step.args
    if needed[0]:
        yield 0, graph.add("divide", grad, y)
    if needed[1]:
        yield 1, graph.add("negative", graph.add("divide", graph.add("multiply", grad, x), graph.add("square", y)))


def _power(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    x, exponent = step.args
    if needed[0]:
        less = graph.add("subtract", exponent, 1.0) if isinstance(exponent, At) else exponent - 1
        yield 0, graph.add("multiply", grad, graph.add("multiply", exponent, graph.add("power", x, less)))
    if needed[1]:
        yield 1, graph.add("multiply", grad, graph.add("multiply", at, graph.add("log", x)))


def _larger(than: str) -> Rule:
    """Return the rule of the larger or smaller of two numbers; of two equal arrays each gets a half, of an equal constant the array gets all."""

    def rule(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
        x, y = step.args
        if isinstance(x, At) and isinstance(y, At) and all(graph.steps[one].operation != CONSTANT for one in (x, y)):
            half = graph.add("multiply", 0.5, graph.add("as_number", graph.add("equal", x, y)))
            for number in range(2):
                if needed[number]:
                    chosen = graph.add("as_number", graph.add(than, step.args[number], step.args[1 - number]))
                    yield number, graph.add("multiply", grad, graph.add("add", chosen, half))
            return
        for number in range(2):
            if needed[number]:
                yield number, graph.add("where", graph.add(f"{than}_equal", step.args[number], step.args[1 - number]), grad, 0.0)

    return rule


def _relu(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("where", graph.add("greater", step.args[0], 0.0), grad, 0.0)


def _where(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    if needed[1]:
        yield 1, graph.add("where", step.args[0], grad, 0.0)
    if needed[2]:
        yield 2, graph.add("where", step.args[0], 0.0, grad)


def _matmul(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    x, y = (arg for arg in step.args if isinstance(arg, At))
    if needed[0]:
        yield 0, graph.add("matmul", grad, swapped(graph, y))
    if needed[1] and len(graph.shape(y)) == 2 < len(graph.shape(x)):
        # A matrix that all samples share gets the sum over samples: one product of matrices with a row for each sample.
        rows, of_grad = (graph.add("reshape", one, shape=(-1, graph.shape(one)[-1])) for one in (x, grad))
        yield 1, graph.add("matmul", swapped(graph, rows), of_grad)
    elif needed[1]:
        yield 1, graph.add("matmul", swapped(graph, x), grad)


def _einsum(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    inputs, output = step.settings["equation"].split("->")
    terms = inputs.split(",")
    for number, term in enumerate(terms):
        if not needed[number]:
            continue
        others = [(other, arg) for place, (other, arg) in enumerate(zip(terms, step.args, strict=True)) if place != number]
        there = set(output).union(*(other for other, _ in others))
        kept = "".join(letter for letter in term if letter in there)
        equation = ",".join([output, *(other for other, _ in others)]) + "->" + kept
        part = graph.add("einsum", grad, *(arg for _, arg in others), equation=equation)
        if kept != term:
            shape = graph.shape(step.source(number))
            part = graph.add("reshape", part, shape=tuple(size if letter in kept else 1 for letter, size in zip(term, shape, strict=True)))
            part = graph.add("expand", part, shape=shape)
        yield number, part


def _spread(graph: Graph, step: Step, grad: At) -> At:
    """Return the gradient of a reduction, repeated along the reduced axes."""
    shape, axes = graph.shape(step.source()), step.settings["axes"]
    kept = tuple(1 if axis in {a % len(shape) for a in axes} else size for axis, size in enumerate(shape))
    if graph.shape(grad) != kept:
        grad = graph.add("reshape", grad, shape=kept)
    return grad if kept == shape else graph.add("expand", grad, shape=shape)


def _sum(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, _spread(graph, step, grad)


def _mean(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    shape = graph.shape(step.source())
    count = math.prod(shape[axis] for axis in step.settings["axes"]) - step.settings.get("less", 0)
    yield 0, graph.add("divide", _spread(graph, step, grad), float(count), role="count")


def _amax(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    mask = graph.add("first_largest", step.args[0], axes=step.settings["axes"])
    yield 0, graph.add("multiply", _spread(graph, step, grad), mask)


def _amin(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    mask = graph.add("first_largest", graph.add("negative", step.args[0]), axes=step.settings["axes"])
    yield 0, graph.add("multiply", _spread(graph, step, grad), mask)


def _prod(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("divide", _spread(graph, step, graph.add("multiply", grad, at)), step.args[0])


def _cumsum(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    axis = step.settings["axis"]
    yield 0, graph.add("flip", graph.add("cumsum", graph.add("flip", grad, axes=(axis,)), axis=axis), axes=(axis,))


def _reshape(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("reshape", grad, shape=graph.shape(step.source()))


def _transpose(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("transpose", grad, axes=tuple(int(axis) for axis in np.argsort(step.settings["axes"])))


def _same(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, grad  # the sum over repeated axes follows for every part


def _index(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("place", grad, shape=graph.shape(step.source()), key=step.settings["key"])


def _place(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("index", grad, key=step.settings["key"])


def _replace_at(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    key = step.settings["key"]
    if needed[0]:
        yield 0, graph.add("replace_at", grad, 0.0, key=key)
    if needed[1]:
        yield 1, graph.add("index", grad, key=key)


def _concatenate(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    axis, start = step.settings["axis"] % len(graph.shape(at)), 0
    for number in range(len(step.args)):
        end = start + graph.shape(step.source(number))[axis]
        if needed[number]:
            yield number, graph.add("index", grad, key=(*[slice(None)] * axis, slice(start, end)))
        start = end


def _stack(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    axis = step.settings["axis"] % len(graph.shape(at))
    for number in range(len(step.args)):
        if needed[number]:
            yield number, graph.add("index", grad, key=(*[slice(None)] * axis, number))


def _pad(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    if step.settings.get("mode", "constant") != "constant":
        raise NoDerivativeError(f"padding by {step.settings['mode']} has no rule for its derivative")
    yield 0, graph.add("pad", grad, widths=tuple((-before, -after) for before, after in step.settings["widths"]))


def _again(operation: str, *changed: str) -> Rule:
    """Return the rule of an operation whose derivative is an operation with the same settings, in which some change their sign."""

    def rule(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
        yield 0, graph.add(operation, grad, **{name: -value if name in changed else value for name, value in step.settings.items()})

    return rule


def _take(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("add_rows", grad, step.args[1], rows=graph.shape(step.source())[0])


def _add_rows(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("take", grad, step.args[1])


def _take_along(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    axis = step.settings["axis"]
    yield 0, graph.add("add_along", grad, step.args[1], axis=axis, length=graph.shape(step.source())[axis])


def _add_along(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("take_along", grad, step.args[1], axis=step.settings["axis"])


def _windows(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("add_windows", grad, shape=graph.shape(step.source()), **step.settings)


def _add_windows(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    yield 0, graph.add("windows", grad, **{name: value for name, value in step.settings.items() if name != "shape"})


def _nothing(graph: Graph, step: Step, at: At, grad: At, needed: Sequence[bool]) -> Parts:
    return iter(())


RULES: Mapping[str, Rule] = {
    "negative": lambda graph, step, at, grad, needed: iter([(0, graph.add("negative", grad))]),
    "exp": _elementwise(lambda graph, x, y: y),
    "log": _divided(lambda graph, x, y: x),
    "log1p": _divided(lambda graph, x, y: graph.add("add", 1.0, x)),
    "expm1": _elementwise(lambda graph, x, y: graph.add("add", y, 1.0)),
    "sqrt": _divided(lambda graph, x, y: graph.add("multiply", 2.0, y)),
    "tanh": _elementwise(lambda graph, x, y: graph.add("subtract", 1.0, graph.add("square", y))),
    "sigmoid": _elementwise(lambda graph, x, y: graph.add("multiply", y, graph.add("subtract", 1.0, y))),
    "erf": _elementwise(
        lambda graph, x, y: graph.add("multiply", 2 / math.sqrt(math.pi), graph.add("exp", graph.add("negative", graph.add("square", x))))
    ),
    "sin": _elementwise(lambda graph, x, y: graph.add("cos", x)),
    "cos": _elementwise(lambda graph, x, y: graph.add("negative", graph.add("sin", x))),
    "tan": _elementwise(lambda graph, x, y: graph.add("add", 1.0, graph.add("square", y))),
    "sinh": _elementwise(lambda graph, x, y: graph.add("cosh", x)),
    "cosh": _elementwise(lambda graph, x, y: graph.add("sinh", x)),
    "arctan": _divided(lambda graph, x, y: graph.add("add", 1.0, graph.add("square", x))),
    "arcsin": _divided(lambda graph, x, y: graph.add("sqrt", graph.add("subtract", 1.0, graph.add("square", x)))),
    "arccos": _divided(lambda graph, x, y: graph.add("sqrt", graph.add("subtract", 1.0, graph.add("square", x))), negative=True),
    "arcsinh": _divided(lambda graph, x, y: graph.add("sqrt", graph.add("add", graph.add("square", x), 1.0))),
    "arccosh": _divided(lambda graph, x, y: graph.add("sqrt", graph.add("subtract", graph.add("square", x), 1.0))),
    "arctanh": _divided(lambda graph, x, y: graph.add("subtract", 1.0, graph.add("square", x))),
    "abs": _elementwise(lambda graph, x, y: graph.add("sign", x)),
    "square": _elementwise(lambda graph, x, y: graph.add("multiply", 2.0, x)),
    "reciprocal": _elementwise(lambda graph, x, y: graph.add("negative", graph.add("square", y))),
    "softplus": _elementwise(lambda graph, x, y: graph.add("sigmoid", x)),
    "relu": _relu,
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "maximum": _larger("greater"),
    "minimum": _larger("less"),
    "where": _where,
    "matmul": _matmul,
    "einsum": _einsum,
    "sum": _sum,
    "mean": _mean,
    "amax": _amax,
    "amin": _amin,
    "prod": _prod,
    "cumsum": _cumsum,
    "reshape": _reshape,
    "transpose": _transpose,
    "expand": _same,
    "same": _same,
    **dict.fromkeys(FORMATS, _same),
    "as_number": _same,
    "index": _index,
    "place": _place,
    "replace_at": _replace_at,
    "concatenate": _concatenate,
    "stack": _stack,
    "pad": _pad,
    "flip": _again("flip"),
    "roll": _again("roll", "shift"),
    "tril": _again("tril"),
    "triu": _again("triu"),
    "take": _take,
    "add_rows": _add_rows,
    "take_along": _take_along,
    "add_along": _add_along,
    "windows": _windows,
    "add_windows": _add_windows,
    **dict.fromkeys(("sign", "floor", "ceil", "trunc", "rint", "floor_divide", "first_largest", "one_hot"), _nothing),
}
"""For each operation, the rule of its derivative."""
