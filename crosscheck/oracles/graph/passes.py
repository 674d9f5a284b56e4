"""Both passes of an operation in one graph, from a reference's forward steps and a call."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.graph.backward import derive
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.operations import Value


class NoGraphError(RefusedError):
    """An operation cannot be written as a graph of elementary steps; the message says why."""


@runtime_checkable
class Traceable(Protocol):
    """An oracle that can write its operation as a graph."""

    def graph(self, call: Call) -> Graph:
        """Return the forward pass of a call in float64 as a graph.

        Its inputs are the call's inputs, parameters, constants and buffers, by name; its outputs are the call's outputs and the buffers' new values.

        Raises
        ------
        NoGraphError
            If the operation has a step that no elementary operations are known for.
        """


def arguments_of(call: Call) -> dict[str, Value]:
    """Return the arguments of a graph for a call: the inputs by their names, and the upstream gradient of each output."""
    upstream = {upstream_name(quantity): value for quantity, value in call.cotangents.items()}
    return {**call.inputs, **call.params, **call.constants, **call.buffers, **upstream}


def upstream_name(quantity: str) -> str:
    """Return the name of an output's upstream gradient as an argument: ``grad_output``, or ``grad_output.h_n``."""
    return f"grad_{quantity}"


def differentiate(graph: Graph, call: Call, by_units: bool) -> Graph:
    """Add the backward pass of a call to the graph of its forward pass, and return it."""
    if not call.cotangents:
        graph.end_forward()
        return graph
    cotangents = {graph.outputs[name]: graph.input(upstream_name(name), value) for name, value in call.cotangents.items()}
    derive(graph, cotangents, wanted_of(graph, call), by_units)
    return graph


def wanted_of(graph: Graph, call: Call) -> dict[str, At]:
    """Return the input of a graph that each gradient belongs to."""
    of_inputs = {call.grad_input(name): graph.inputs[name] for name in call.inputs}
    return of_inputs | {f"{name}.grad": graph.inputs[name] for name in call.params}


def results_of(graph: Graph, call: Call, values: list[Value]) -> dict[str, Array]:
    """Return the results of a graph by quantity; a gradient that nothing leads to is 0."""
    found: dict[str, Array] = {quantity: np.asarray(values[at]) for quantity, at in graph.outputs.items()}
    if call.cotangents:
        for quantity, at in wanted_of(graph, call).items():
            if quantity not in found:
                found[quantity] = np.zeros_like(values[at])
    return found
