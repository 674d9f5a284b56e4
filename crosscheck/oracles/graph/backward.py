"""The backward pass of a graph, built step by step: each backward step knows the forward step that it belongs to.

There are two programs for the same gradients: the chain rule for each elementary step, and, for the units of a graph such as a softmax, the formula
that people write for the whole unit (:mod:`crosscheck.oracles.graph.units`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crosscheck.oracles.graph.derivatives import RULES, NoDerivativeError
from crosscheck.oracles.graph.graph import Argument, At, Graph, Unit
from crosscheck.oracles.graph.operations import WHOLE
from crosscheck.oracles.graph.units import DERIVATIVES


def derive(graph: Graph, cotangents: Mapping[At, At], wanted: Mapping[str, At], by_units: bool) -> None:
    """Add the backward pass to a graph, and the gradients to its outputs.

    Parameters
    ----------
    cotangents : mapping of At to At
        For each output with an upstream gradient, the input that holds this gradient.
    wanted : mapping of str to At
        For each gradient, its name as a quantity and the input that it belongs to.
    by_units : bool
        Whether units are differentiated by their formula; otherwise each step by the chain rule.

    Raises
    ------
    NoDerivativeError
        If a step on a path to a wanted input has no rule.
    """
    graph.end_forward()
    Backward(graph, set(wanted.values()), by_units).run(cotangents)
    gradients = {}
    for quantity, at in wanted.items():
        if (total := graph.gradient_of.get(at)) is not None:
            gradients[quantity] = total
    graph.outputs |= gradients


class Backward:
    """The backward pass while it is built."""

    def __init__(self, graph: Graph, wanted: set[At], by_units: bool) -> None:
        self.graph, self.count = graph, graph.forward
        self.parts: dict[int, list[At]] = {}
        self.leads = [False] * self.count  # whether a step's gradient leads to a wanted one
        for at, step in enumerate(graph.steps):
            whole = step.operation in WHOLE or step.operation == "stop"
            self.leads[at] = at in wanted or (not whole and any(self.leads[source] for source in step.sources))
        self.units = {unit.output: unit for unit in graph.units if unit.kind in DERIVATIVES} if by_units else {}

    def _is_closed(self, unit: Unit) -> bool:
        """Return whether gradients come into a unit through its output alone, and leave it through its inputs alone."""
        steps = self.graph.steps
        own = [at for at in range(unit.first, unit.output + 1) if at not in unit.inputs and not steps[at].is_leaf]
        sources = {source for at in own for source in steps[at].sources}
        return not any(at in self.parts for at in own if at != unit.output) and not any(
            self.leads[source] for source in sources.difference(own, unit.inputs)
        )

    def run(self, cotangents: Mapping[At, At]) -> None:
        """Add all steps of the backward pass."""
        graph = self.graph
        for output, cotangent in cotangents.items():
            self.parts.setdefault(output, []).append(cotangent)
        for at in range(self.count - 1, -1, -1):
            step = graph.steps[at]
            if not self.leads[at] or at not in self.parts:
                continue
            total = self.total(At(at))
            if step.is_leaf:
                continue
            graph.belongs(At(at))
            if (unit := self.units.get(At(at))) is not None and self._is_closed(unit):
                found = DERIVATIVES[unit.kind](graph, unit, total, [self.leads[one] for one in unit.inputs])
                arguments: Sequence[Argument] = unit.inputs
            else:
                if step.operation not in RULES:
                    raise NoDerivativeError(f"{step.operation} has no rule for its derivative")
                needed = [isinstance(arg, At) and self.leads[arg] for arg in step.args]
                found, arguments = RULES[step.operation](graph, step, At(at), total, needed), step.args
            first = len(graph.steps)
            for number, part in found:
                source = arguments[number]
                if isinstance(source, At) and self.leads[source]:
                    fitted = summed_to(graph, part, graph.shape(source))
                    path = graph.add("same", fitted, path=(source, number))
                    self.parts.setdefault(source, []).append(path)
                graph.number(first, number)
                first = len(graph.steps)
        graph.belongs(None)

    def total(self, at: At) -> At:
        """Add up the parts of a gradient, and return the sum."""
        graph, first = self.graph, len(self.graph.steps)
        graph.belongs(at)
        total, *others = self.parts[at]
        for part in others:
            total = graph.add("add", total, part, role="total")
        graph.number(first, -1)
        graph.gradient_of[at] = total
        return total


def summed_to(graph: Graph, at: At, shape: tuple[int, ...]) -> At:
    """Return a gradient summed over the axes along which the value was repeated, or repeated to the given shape."""
    own = graph.shape(at)
    if own == shape:
        return at
    lead = len(own) - len(shape)
    axes = tuple(axis for axis in range(len(own)) if axis < lead or (shape[axis - lead] == 1 != own[axis]))
    if axes:
        at = graph.add("sum", at, axes=axes, keepdims=False)
    return at if graph.shape(at) == shape else graph.add("reshape", at, shape=shape)
