"""A reference's call as a graph: trace the reference as it is called, and translate the trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import BackwardCFunction

from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.functions import reason_of
from crosscheck.references.pytorch.graph.table import RULES
from crosscheck.references.pytorch.graph.tensors import Own, View
from crosscheck.references.pytorch.graph.trace import taken_apart, traced
from crosscheck.references.pytorch.graph.translate import Translation
from crosscheck.references.pytorch.graph.views import VIEWS

Run = Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], list[torch.Tensor]]
"""Gets the call's arrays and the reference's own buffers as tensors by name; returns the outputs, and writes to buffers."""


def _has_own_derivative(output: torch.Tensor) -> bool:
    """Return whether an output depends on a :class:`torch.autograd.Function`."""
    to_do, seen = [output.grad_fn], set()
    while to_do:
        node = to_do.pop()
        if isinstance(node, BackwardCFunction):
            return True
        if node is not None and node not in seen:
            seen.add(node)
            to_do += [before for before, _ in node.next_functions]
    return False


def graph_of(run: Run, call: Call, own: Mapping[str, torch.Tensor]) -> Graph:
    """Return the forward pass of a call as a graph.

    Parameters
    ----------
    run : callable
        The reference.
    call : Call
        In float64.
    own : mapping of str to tensor
        Buffers of the reference that the call does not give; they are constants of the graph.

    Raises
    ------
    NoGraphError
        If the reference cannot be traced, or has a step that no elementary operations are known for.
    """
    graph = Graph()
    given: dict[str, npt.NDArray[Any]] = {**call.inputs, **call.params, **call.constants, **call.buffers}
    with_gradient = {*call.inputs, *call.params}
    tensors = [torch.from_numpy(np.array(value, order="C")).requires_grad_(name in with_gradient) for name, value in given.items()]
    arguments: list[Own | View] = [Own(graph.input(name, value)) for name, value in given.items()]
    for name, value in own.items():
        tensors.append(value)
        arguments.append(Own(graph.constant(np.array(value.numpy()), name)))

    def function(*placed: torch.Tensor) -> list[torch.Tensor]:
        called = dict(zip([*given, *own], placed, strict=True))
        outputs = run({name: called[name] for name in given}, {name: called[name] for name in own})
        if any(map(_has_own_derivative, outputs)):
            raise NoGraphError("the reference writes a derivative of its own, which does not follow from its forward pass")
        return outputs

    program = traced(function, tensors)
    try:
        outputs = Translation(graph, RULES, VIEWS, taken_apart).run(program, arguments)
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, NoGraphError):
            raise
        raise NoGraphError(f"its steps cannot be written: {reason_of(error)}") from error
    for name, output in zip(call.outputs, outputs, strict=True):
        if not isinstance(output, Own | View):
            raise NoGraphError(f"{name} is no tensor")
        at = output.read()
        graph.outputs[name] = at if graph.values[at].dtype == np.float64 else graph.add("as_number", at)
    changed = dict(zip(given, arguments, strict=False))
    graph.outputs |= {name: changed[name].read() for name in call.buffers}
    return graph
