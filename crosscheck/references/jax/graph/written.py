"""A translated graph without the steps that nothing needs, in which units such as a softmax are recognised by their steps."""

from __future__ import annotations

from crosscheck.oracles.graph.graph import CONSTANT, INPUT, Argument, At, Graph
from crosscheck.references.jax.graph.pattern import Copy, Found, Pattern
from crosscheck.references.jax.graph.units import recognised


def written(raw: Graph) -> Graph:
    """Return a graph with the same inputs and outputs, whose units are those that :mod:`crosscheck.oracles.graph.units` knows."""
    pattern = Pattern(raw)
    found: dict[int, Found] = {}
    live: set[int] = {int(at) for at in (*raw.outputs.values(), *raw.inputs.values())}
    for at in range(len(raw.steps) - 1, -1, -1):
        if at in live:
            unit = recognised(pattern, At(at))
            if unit is not None:
                found[at] = unit
            live.update(unit.inputs if unit is not None else raw.steps[at].sources)
    return _copied(raw, live, found)


def _copied(raw: Graph, live: set[int], found: dict[int, Found]) -> Graph:
    """Return the steps that are needed; a unit stands where its inputs are known, before steps of its own that others read as well."""
    copy = Copy(Graph(), {}, live)
    graph, places = copy.graph, copy.places
    waiting = sorted(found, key=lambda at: (max(found[at].inputs), at))

    def place(argument: Argument) -> Argument:
        return places[argument] if isinstance(argument, At) else argument

    for at, step in enumerate(raw.steps):
        for output in [one for one in waiting if max(found[one].inputs) < at and step.operation != INPUT]:
            waiting.remove(output)
            places[output] = graph.named(found[output].build(copy), raw.steps[output].name)
        if at not in live or at in places:
            continue
        if step.operation == INPUT:
            places[at] = graph.input(step.name, raw.values[at])
        elif step.operation == CONSTANT:
            places[at] = graph.constant(raw.values[at], step.name)
        else:
            new = graph.add(step.operation, *map(place, step.args), role=step.role, **step.settings)
            places[at] = graph.named(new, step.name)
    graph.outputs = {name: places[at] for name, at in raw.outputs.items()}
    return graph
