"""A reference's call as a graph: trace the reference as it is called, translate the trace, and write it as people write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import Graph
from crosscheck.references.jax.graph.arithmetic import WHOLES
from crosscheck.references.jax.graph.table import RULES
from crosscheck.references.jax.graph.translate import Translation
from crosscheck.references.jax.graph.written import written

Run = Callable[[Mapping[str, Any]], Sequence[Any]]
"""Gets the call's arrays by name as arrays of JAX; returns the outputs, and then the buffers' new values."""


def graph_of(run: Run, call: Call) -> Graph:
    """Return the forward pass of a call as a graph.

    Parameters
    ----------
    run : callable
        The reference.
    call : Call
        In float64.

    Raises
    ------
    NoGraphError
        If the reference has a primitive that no elementary steps are known for; the message names the primitive.
    """
    graph = Graph()
    given = {name: np.asarray(value) for name, value in {**call.inputs, **call.params, **call.constants, **call.buffers}.items()}
    arguments = [graph.input(name, value) for name, value in given.items()]
    program = jax.make_jaxpr(lambda *arrays: tuple(run(dict(zip(given, arrays, strict=True)))))(*given.values())
    translation = Translation(graph, RULES, WHOLES)
    results = [translation.at(one) for one in translation.run(program, arguments)]
    graph.outputs = dict(zip((*call.outputs, *call.buffers), results, strict=True))
    return written(graph)
