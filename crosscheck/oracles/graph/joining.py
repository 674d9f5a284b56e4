"""Graphs joined to one: the steps of a graph are added to another one, with other steps in place of its inputs."""

from __future__ import annotations

from collections.abc import Mapping

from crosscheck.oracles.graph.graph import CONSTANT, INPUT, At, Graph


def joined(graph: Graph, part: Graph, arguments: Mapping[str, At]) -> dict[str, At]:
    """Add the steps of a forward pass to a graph.

    Parameters
    ----------
    graph : Graph
        Gets the steps.
    part : Graph
        A forward pass.
    arguments : mapping of str to At
        For each input of ``part``, the step of ``graph`` that takes its place.

    Returns
    -------
    dict of str to At
        For each output of ``part``, its place in ``graph``.
    """
    places: dict[int, At] = {}
    firsts = {unit.first for unit in part.units}
    begun: dict[int, int] = {}
    ends = [(unit.output, unit) for unit in part.units]
    for number, step in enumerate(part.steps):
        if number in firsts:
            begun[number] = len(graph.steps)
        if step.operation == INPUT:
            places[number] = arguments[step.name]
        elif step.operation == CONSTANT:
            places[number] = graph.constant(part.values[number], step.name)
        else:
            args = [places[arg] if isinstance(arg, At) else arg for arg in step.args]
            places[number] = graph.add(step.operation, *args, role=step.role, **step.settings)
            graph.named(places[number], step.name)
        for unit in (unit for output, unit in ends if output == number):
            parts = {name: places[at] for name, at in unit.parts.items()}
            graph.unit(unit.kind, [places[at] for at in unit.inputs], places[number], begun[unit.first], parts, **unit.settings)
    return {quantity: places[at] for quantity, at in part.outputs.items()}
