"""Edits of whole units: a logarithm of probabilities that are kept away from 0, all means of a backward formula over other axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from crosscheck.causes.variants.axes import in_words
from crosscheck.causes.variants.change import Edit, Rewrite, made
from crosscheck.causes.variants.numbers import EPSILONS
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import At


def edits_of(program: Program) -> Iterator[Edit]:
    """Yield all edits of units."""
    yield from _of_log_softmax(program)
    yield from _of_approximations(program)
    yield from _of_outputs(program)
    yield from _of_backward(program)


def _of_approximations(program: Program) -> Iterator[Edit]:
    """Yield the edits in which the approximation of a function stands for it."""
    graph = program.graph
    for unit in graph.units:
        if unit.kind == "gelu":
            (x,) = unit.inputs
            inner = made("multiply", math.sqrt(2 / math.pi), made("add", x, made("multiply", 0.044715, made("power", x, 3.0))))
            approximate = made("multiply", made("multiply", 0.5, x), made("add", 1.0, made("tanh", inner)))
            words = "the approximation of gelu by tanh stands for the exact function, which has erf"
            yield Edit(("approximation", program.group[unit.output]), "approximation", 1, words, (), {unit.output: approximate})


def _of_log_softmax(program: Program) -> Iterator[Edit]:
    graph = program.graph
    for at, step in enumerate(graph.steps[: graph.forward]):
        if step.role != "log-probabilities":
            continue
        place, key = At(at), program.group[at]
        probabilities = made("exp", made(step.operation, *step.args))
        for epsilon in EPSILONS:
            low = made("maximum", probabilities, epsilon)
            for name, kept, words in (
                ("add", made("add", probabilities, epsilon), f"{epsilon:g} is added to the probabilities before the logarithm"),
                ("maximum", low, f"the probabilities are raised to at least {epsilon:g} before the logarithm"),
                ("clip", made("minimum", low, 1 - epsilon), f"the probabilities are clipped to {epsilon:g} and 1 - {epsilon:g} before the logarithm"),
            ):
                yield Edit(("log", key, name, epsilon), "log", 1, words, (), {place: made("log", kept)})
        exponentials = made("exp", probabilities)
        twice = made("subtract", probabilities, made("log", made("sum", exponentials, axes=(-1,), keepdims=True)))
        yield Edit(("log", key, "twice"), "log", 1, "the softmax is taken twice", (), {place: twice})
        words = "the logarithm has another base than e: "
        for base in (2.0, 10.0):
            other = made("divide", made(step.operation, *step.args), math.log(base))
            yield Edit(("log", key, "base", base), "log", 1, f"{words}{base:g}", (), {place: other})


_EXTRA = ("sqrt", "square", "exp", "log", "tanh", "sigmoid", "relu", "abs", "floor", "rint")


def _of_outputs(program: Program) -> Iterator[Edit]:
    """Yield the edits in which an output goes through one function more, or a border of it is not computed."""
    graph = program.graph
    for name, at in program.forward_outputs.items():
        step, shape = graph.steps[at], graph.shape(at)
        if step.is_leaf:
            continue
        right = made(step.operation, *step.args, **step.settings)
        for function in _EXTRA:
            yield Edit(("extra", name, function), "extra", 2, f"{function} is taken of the result", (), {at: made(function, right)})
        if shape:
            powers = made("exp", made("subtract", right, made("amax", right, axes=(-1,), keepdims=True)))
            softmax = made("divide", powers, made("sum", powers, axes=(-1,), keepdims=True))
            yield Edit(("extra", name, "softmax"), "extra", 2, "a softmax is taken of the result", (), {at: softmax})
        for axis, length in enumerate(shape):
            for place, word in ((0, "first"), (length - 1, "last")):
                if length > 1:
                    words = f"the {word} index along axis {axis} of the result stays 0"
                    border = made("replace_at", right, 0.0, key=(*[slice(None)] * axis, place))
                    yield Edit(("border", name, axis, word), "border", 2, words, (), {at: border})


def _of_backward(program: Program) -> Iterator[Edit]:
    """Yield the edits in which all means of the backward formula of a unit run over other axes, or are sums divided by another number."""
    graph, by_origin = program.graph, dict[Group, list[At]]()
    for number in range(graph.forward, len(graph.steps)):
        step = graph.steps[number]
        if step.operation in ("mean", "sum") and step.origin is not None and step.settings.get("keepdims"):
            by_origin.setdefault(program.group[step.origin.step], []).append(At(number))
    for group, steps in by_origin.items():
        settings = [graph.steps[at].settings for at in steps]
        if len(steps) < 2 or any(one != settings[0] for one in settings):
            continue
        source = graph.steps[steps[0]].source()
        shape, axes = graph.shape(source), tuple(settings[0]["axes"])
        for size in range(1, len(shape) + 1):
            for chosen in itertools.combinations(range(len(shape)), size):
                if set(chosen) != {axis % len(shape) for axis in axes}:
                    words = f"the {graph.steps[steps[0]].operation}s are taken over {in_words(chosen)}, not over {in_words(axes)}"
                    yield Edit(("backward axes", group, chosen), "backward axes", 1, words, (), _each(program, steps, axes=chosen))
        yield from _of_counts(program, group, steps, shape)


def _of_counts(program: Program, group: Group, steps: list[At], shape: tuple[int, ...]) -> Iterator[Edit]:
    """Yield the edits in which sums are divided by a length that is not the number of their terms."""
    graph, settings = program.graph, program.graph.steps[steps[0]].settings
    count = math.prod(shape[axis] for axis in settings["axes"])
    if graph.steps[steps[0]].operation == "mean":
        for axis, length in enumerate(shape):
            if 1 < length != count:
                words = f"the sums are divided by {length}, the length of axis {axis}, not by the number of terms, {count}"
                rewrites: dict[At, Rewrite] = {}
                for at in steps:
                    total = made("sum", *graph.steps[at].args, **{name: value for name, value in settings.items() if name != "less"})
                    rewrites[at] = made("divide", total, float(length))
                yield Edit(("backward count", group, axis), "backward count", 1, words, (), rewrites)


def _each(program: Program, steps: list[At], **changed: object) -> dict[At, Rewrite]:
    found: dict[At, Rewrite] = {}
    for at in steps:
        step = program.graph.steps[at]
        found[at] = made(step.operation, *step.args, **{**step.settings, **changed})
    return found
