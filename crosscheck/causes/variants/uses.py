"""Edits of one use of an array alone, of the arguments of an operation, and of what a gradient is added to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from crosscheck.causes.variants import arithmetic
from crosscheck.causes.variants.change import Edit, Rewrite, made
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import INPUT, At

_FUNCTIONS = {
    "sqrt": "square root",
    "square": "square",
    "exp": "exponential",
    "log": "logarithm",
    "abs": "absolute value",
    "tanh": "hyperbolic tangent",
    "relu": "positive part",
    "reciprocal": "reciprocal",
}
"""Functions, with their names, that are taken of a known quantity by mistake, as of a variance the root."""


def edits_of(program: Program, forward: bool) -> Iterator[Edit]:
    """Yield the edits of one pass."""
    graph = program.graph
    for group, members in program.groups.items():
        if (members[0] < graph.forward) == forward and graph.steps[members[0]].operation not in (INPUT, "constant", "same", "stop"):
            yield from _of_one_use(program, group, members)
            if forward:
                yield from _of_known(program, group, members)
    yield from _of_arguments(program) if forward else _of_sums(program)


def _of_one_use(program: Program, group: Group, members: Sequence[At]) -> Iterator[Edit]:
    """Yield the edits in which an array that several steps read is wrong for one of them."""
    graph, sample = program.graph, members[len(members) // 2]
    for number, arg in enumerate(graph.steps[sample].args):
        if not isinstance(arg, At) or len(program.users[arg]) < 2 or graph.steps[arg].operation in (INPUT, "constant"):
            continue
        for change in arithmetic.changes(graph, arg):
            if change.stage > 0:
                continue
            rewrites: dict[At, Rewrite] = {}
            for at in members:
                step = graph.steps[at]
                own = step.args[number] if number < len(step.args) else None
                same = next((one for one in arithmetic.changes(graph, own) if one.key == change.key), None) if isinstance(own, At) else None
                if same is not None:
                    args = (*step.args[:number], same.rewrite, *step.args[number + 1 :])
                    rewrites[at] = made(step.operation, *args, **step.settings)
            if rewrites:
                key = (group, "use", number, change.key)
                about = change.about or graph.steps[arg].args
                yield Edit(key, str(change.key[0]), 2, f"{change.words} (in this use alone)", about, rewrites)


def _of_known(program: Program, group: Group, members: Sequence[At]) -> Iterator[Edit]:
    """Yield the edits in which one more function is taken of a quantity with a name."""
    graph = program.graph
    step = graph.steps[members[0]]
    if not step.role and not step.name:
        return
    for function, called in _FUNCTIONS.items():
        rewrites: dict[At, Rewrite] = {}
        for at in members:
            rewrites[at] = made(function, made(graph.steps[at].operation, *graph.steps[at].args, **graph.steps[at].settings))
        yield Edit((group, "extra", function), "extra", 1, f"its {called} is taken", (), rewrites)


def _of_arguments(program: Program) -> Iterator[Edit]:
    """Yield the edits in which an argument of the operation is ignored."""
    graph = program.graph
    for name, at in graph.inputs.items():
        if at < graph.forward and graph.values[at].dtype.kind == "f":
            shape = graph.shape(at)
            for value, words in ((np.zeros(shape), "0"), (np.ones(shape), "1")):
                yield Edit(("ignored", name, words), "ignored", 1, f"{{0}} is not used: {words} is taken", (at,), {at: value})


def _of_sums(program: Program) -> Iterator[Edit]:
    """Yield the edits in which a gradient is added to an array that was not cleared to 0."""
    graph = program.graph
    for quantity, at in program.gradients.items():
        if at is not None and at >= graph.forward:
            step = graph.steps[at]
            words = f"{quantity} is added to an array of ones; it has to start at 0"
            yield Edit(("start", quantity), "start", 2, words, (), {at: made("add", made(step.operation, *step.args, **step.settings), 1.0)})
