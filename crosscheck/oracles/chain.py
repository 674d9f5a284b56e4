"""Several oracles connected to a network: compute all values, and add up the rounding errors of all stages.

This is used for a layer that combines several operations, such as a linear layer with its softmax, and for a whole training step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Constants, Oracle, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.joining import joined
from crosscheck.oracles.graph.passes import NoGraphError, Traceable

INPUT = -1
"""The index that stands for the network's input among a stage's sources."""


@dataclass(frozen=True)
class Stage:
    """One operation. Its input is the sum of the outputs of its ``sources``, earlier stages or :data:`INPUT`; by default the previous stage."""

    oracle: Oracle
    params: Arrays = field(default_factory=dict)
    constants: Constants = field(default_factory=dict)
    buffers: Arrays = field(default_factory=dict)
    sources: tuple[int, ...] | None = None

    def call(self, x: Array, grad_output: Array | None = None) -> Call:
        """Return the call of this stage's oracle for an input and an upstream gradient."""
        return Call(x, self.params, grad_output, self.constants, self.buffers)


@dataclass(frozen=True)
class StageRun:
    """The call of a stage's oracle, and the result of this call."""

    stage: Stage
    call: Call
    result: dict[str, Array]


def sum_wires(parts: Sequence[Array]) -> Array:
    """Return the sum of arrays, added in the given order."""
    value = parts[0]
    for part in parts[1:]:
        value = value + part
    return value


def joint(parts: Sequence[Array]) -> Bound:
    """Return the rounding error bound of the sum of arrays; a single array is not rounded."""
    return Bound(sum_wires([np.abs(part) for part in parts]), len(parts) - 1.0)


def sources_of(stages: Sequence[Stage], index: int) -> tuple[int, ...]:
    """Return the indices of the stages whose outputs are summed to form the input of stage ``index``."""
    own = stages[index].sources
    return (index - 1,) if own is None else own


def backwards(stages: Sequence[Stage], back_to: int = 0) -> Iterator[tuple[int, list[int]]]:
    """Yield each stage's index, last to first, with the indices of its consumers, the stages that use its output; the last stage has none."""
    for index in range(len(stages) - 1, back_to - 1, -1):
        yield index, [other for other in range(index + 1, len(stages)) for source in sources_of(stages, other) if source == index]


def run(stages: Sequence[Stage], x: Array, grad_output: Array | None, back_to: int = 0) -> list[StageRun]:
    """Run all stages forward and then, if the last output's upstream gradient is given, backward down to stage ``back_to``."""
    runs: list[StageRun] = []
    for index, stage in enumerate(stages):
        call = stage.call(sum_wires([x if source == INPUT else runs[source].result["output"] for source in sources_of(stages, index)]))
        runs.append(StageRun(stage, call, stage.oracle.vjp(call)))
    if grad_output is None:
        return runs
    for index, consumers in backwards(stages, back_to):
        stage, forward = stages[index], runs[index].call
        call = stage.call(forward.x, sum_wires([runs[other].result["grad_input"] for other in consumers]) if consumers else grad_output)
        runs[index] = StageRun(stage, call, stage.oracle.vjp(call))
    return runs


def own_errors(runs: Sequence[StageRun], precision: Precision) -> list[dict[str, Array]]:
    """Return, for each stage, the largest errors that its own rounding explains, in multiples of the unit roundoff."""
    bounds = [r.stage.oracle.rounding.bounds(r.stage.oracle, r.call, r.result, precision) for r in runs]
    return [{quantity: precision.error(bound) for quantity, bound in own.items()} for own in bounds]


def accumulate(
    runs: Sequence[StageRun],
    own: Sequence[Mapping[str, Array]],
    error_x: Array | None = None,
    error_grad_output: Array | None = None,
    precision: Precision | None = None,
) -> list[dict[str, Array]]:
    """Return, for each stage, the largest errors of its input and results that rounding in this and all earlier computations explains.

    This is the worst case to first order, element by element: each stage propagates the errors of its inputs and adds its ``own`` errors. All errors
    are in multiples of the unit roundoff. Errors of the network's input and upstream gradient are zero by default. The subject's precision is needed
    if several arrays are summed, because the sum is rounded, too.
    """
    stages = [r.stage for r in runs]

    def total(index: int, call: Call, error: Array, cotangent: Array | None) -> dict[str, Array]:
        oracle = runs[index].stage.oracle
        carried = oracle.rounding.propagated(oracle, call, runs[index].result, error, cotangent)
        return {"input": error} | {quantity: value + own[index].get(quantity, 0.0) for quantity, value in carried.items()}

    def meeting(values: list[Array], errors: list[Array]) -> Array:
        if len(values) == 1:
            return errors[0]
        assert precision is not None
        return np.asarray(sum_wires(errors) + precision.error(joint(values)))

    from_outside = np.zeros_like(runs[0].call.x) if error_x is None else error_x
    reaching: list[Array] = []
    totals: list[dict[str, Array]] = []
    for index, r in enumerate(runs):
        sources = sources_of(stages, index)
        values = [runs[0].call.x if source == INPUT else runs[source].result["output"] for source in sources]
        reaching.append(meeting(values, [from_outside if source == INPUT else totals[source]["output"] for source in sources]))
        totals.append(total(index, r.call.forward, reaching[-1], None))
    for index, consumers in backwards(stages):
        call = runs[index].call
        if call.grad_output is None:
            break
        if consumers:
            values = [runs[other].result["grad_input"] for other in consumers]
            cotangent = meeting(values, [totals[other]["grad_input"] for other in consumers])
        else:
            cotangent = np.zeros_like(call.grad_output) if error_grad_output is None else error_grad_output
        totals[index] = total(index, call, reaching[index], cotangent)
    return totals


@dataclass(frozen=True)
class Composite:
    """A chain of oracles as one oracle for a fused layer. For each stage, ``names`` maps the fused layer's parameter names to the stage's names."""

    oracles: tuple[Oracle, ...]
    names: tuple[Mapping[str, str], ...]
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def rounding(self) -> Rounding:
        """The object that bounds rounding errors: this oracle itself, which accumulates errors from stage to stage."""
        return self

    def stages(self, call: Call) -> list[Stage]:
        """Return the stages, each with its part of the call's parameters."""
        return [
            Stage(oracle, {own: call.params[name] for name, own in names.items()}, call.constants)
            for oracle, names in zip(self.oracles, self.names, strict=True)
        ]

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the last stage's output, the first stage's input gradient and the parameter gradients of all stages."""
        runs = run(self.stages(call), call.x, call.grad_output)
        return self.together([r.result for r in runs])

    def graph(self, call: Call) -> Graph:
        """Return the forward passes of all stages as one graph."""
        graph = Graph()
        places = {name: graph.input(name, value) for name, value in {**call.inputs, **call.params, **call.constants}.items()}
        at = places[next(iter(call.inputs))]
        for stage, oracle, names in zip(self.stages(call), self.oracles, self.names, strict=True):
            if not isinstance(oracle, Traceable):
                raise NoGraphError("a part of the chain cannot be written as a graph")
            own = stage.call(graph.values[at])
            given = {
                next(iter(own.inputs)): at,
                **{own: places[name] for name, own in names.items()},
                **{name: places[name] for name in own.constants},
            }
            at = joined(graph, oracle.graph(own), given)["output"]
        graph.outputs["output"] = at
        return graph

    def together(self, results: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """Return the results of the fused layer, collected from the results of its stages."""
        grads = {
            f"{name}.grad": result[f"{own}.grad"]
            for result, names in zip(results, self.names, strict=True)
            for name, own in names.items()
            if f"{own}.grad" in result
        }
        if "grad_input" in results[0]:
            grads["grad_input"] = results[0]["grad_input"]
        return {"output": results[-1]["output"], **grads}

    def decisions(self, x: Array) -> npt.NDArray[np.generic] | None:
        """Return None: decisions at kinks inside a fused layer are not visible from outside."""
        return None

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds of the errors that accumulate over all stages, each expressed as a single rounding."""
        runs = run(self.stages(call), call.x, call.grad_output)
        whole = self.together(accumulate(runs, own_errors(runs, precision)))
        # NaN is an infinite error times zero; it becomes an infinite error.
        return {quantity: Bound(np.nan_to_num(value, nan=np.inf, posinf=np.inf), 1.0) for quantity, value in whole.items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the errors of the results that follow from errors of the input and the upstream gradient."""
        runs = run(self.stages(call), call.x, call.grad_output)
        return self.together(accumulate(runs, [{}] * len(runs), error_x, error_grad_output))
