"""A whole training step computed by the oracle alone, and how far rounding may change the results of a correct step.

If the subject's layers are visible, every quantity of its step is compared with the oracle's; otherwise only the loss and the updated parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.check_layer import backward_quantities, forward_quantities
from crosscheck.core.operation import Arrays, Labels
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Trace
from crosscheck.core.training import TrainState
from crosscheck.oracles.chain import INPUT, Stage, StageRun, accumulate, own_errors, run
from crosscheck.oracles.network import LOSS, Architecture
from crosscheck.oracles.optimizers import PARAM
from crosscheck.oracles.spread import spread


@dataclass(frozen=True)
class OracleStep:
    """One training step of the oracle."""

    names: list[str]  # the names of the layers, and ``"loss"``
    runs: list[StageRun]  # the call and the result of each layer and the loss
    totals: list[dict[str, Array]]  # for each layer and the loss, the largest error of each quantity, in multiples of the unit roundoff
    expected: dict[tuple[str, str], tuple[Array, Bound]]  # the value of each quantity with its bound, in execution order, the updated parameters last
    # state, state_errors: the optimizer's state for each parameter after the step, and its errors
    state: dict[str, Arrays]
    state_errors: dict[str, Arrays]
    # For a deep network, the largest norm of each quantity's error, in multiples of the unit roundoff; the bounds in ``expected`` are then only
    # the usual sizes of the errors of single elements.
    norms: dict[tuple[str, str], float] = field(default_factory=dict)


DEEP = 20
"""If a network has more stages than this, the worst case of rounding errors is too large to be useful, so their spread is measured."""


def stages_of(
    architecture: Architecture, start: TrainState, labels: Labels, decisions: Mapping[str, npt.NDArray[Any]] | None = None
) -> dict[str, Stage]:
    """Return each layer and the loss as a float64 stage, by name, with the parameters and buffers before the step and the imposed decisions."""
    index = {name: place for place, name in enumerate(architecture.names)}
    stages = {}
    for name, sources in architecture.wiring.items():
        before = tuple(index.get(source, INPUT) for source in sources)
        if name == LOSS:
            stages[name] = Stage(architecture.loss, constants={"labels": labels}, sources=before)
            continue
        params = {p: start.params[f"{name}.{p}"].astype(np.float64) for p in architecture.params[name]}
        buffers = {b: start.buffers[f"{name}.{b}"].astype(np.float64) for b in architecture.buffers.get(name, ())}
        imposed = {"decisions": decisions[name]} if decisions and name in decisions else {}
        stages[name] = Stage(architecture.layers[name], params, {**start.constants.get(name, {}), **imposed}, buffers, before)
    return stages


def oracle_step(
    architecture: Architecture,
    start: TrainState,
    x: Array,
    labels: Labels,
    precision: Precision,
    decisions: Mapping[str, npt.NDArray[Any]],
    own: Sequence[Mapping[str, Array]] | None = None,
) -> OracleStep:
    """Compute one training step on a batch in float64.

    ``decisions`` fixes the decisions at kinks of some layers; the oracle decides at all other kinks. ``own`` are the errors made inside each layer;
    by default, they are computed from the oracle's values.
    """
    stages = stages_of(architecture, start, labels, decisions)
    first = architecture.first_trained
    backward = first < len(architecture.names)
    runs = run(list(stages.values()), x.astype(np.float64), np.ones(()) if backward else None, first)
    own = own_errors(runs, precision) if own is None else own
    measured = spread(list(stages.values()), runs, own, first, precision) if len(stages) > DEEP else None
    totals = accumulate(runs, own, precision=precision) if measured is None else measured.sizes
    step = OracleStep(list(stages), runs, totals, {}, {}, {})
    if measured is not None:
        step.norms.update({(name, q): norm for name, norms in zip(stages, measured.norms, strict=True) for q, norm in norms.items()})
    forward = [(index, quantity) for index, own in enumerate(runs) for quantity in forward_quantities(own.call)]
    backwards = [(index, quantity) for index in reversed(range(len(runs))) for quantity in backward_quantities(runs[index].call)]
    for index, quantity in forward + backwards:
        step.expected[step.names[index], quantity] = runs[index].result[quantity], Bound(totals[index][quantity], 1.0)
    return updated_from(architecture, step, start, precision)


def updated_from(architecture: Architecture, step: OracleStep, start: TrainState, precision: Precision) -> OracleStep:
    """Return a step with the updates of its parameters computed from the optimizer's state in ``start``; its gradients stay as they are."""
    updated = replace(step, expected=dict(step.expected), state={}, state_errors={}, norms=dict(step.norms))
    for name in architecture.names[architecture.first_trained :]:
        if name not in architecture.frozen:
            _update(architecture, updated, name, start, precision)
    return updated


def _update(architecture: Architecture, step: OracleStep, name: str, start: TrainState, precision: Precision) -> None:
    """Compute one layer's updated parameters from the oracle's gradients, and add them to ``step``."""
    index, update = step.names.index(name), architecture.update
    stage = step.runs[index]
    for parameter in architecture.params[name]:
        key = f"{name}.{parameter}"
        before, grad = stage.call.params[parameter], stage.result[f"{parameter}.grad"]
        state = {kept: value.astype(np.float64) for kept, value in start.state.get(key, {}).items()}
        bounded = update.bounded(before, grad, state, precision)
        moved = update.propagated(before, grad, state, step.totals[index][f"{parameter}.grad"], start.state_errors.get(key, {}))
        errors = {which: precision.error(bound) + moved[which] for which, (_, bound) in bounded.items()}
        after = bounded[PARAM][0]
        step.expected[name, parameter] = after, Bound(errors[PARAM], 1.0)
        if step.norms:
            step.norms[name, parameter] = float(np.linalg.norm(np.broadcast_to(errors[PARAM], after.shape)))
        step.state[key] = {kept: bounded[kept][0] for kept in update.states}
        step.state_errors[key] = {kept: errors[kept] for kept in update.states}


def elements_per_step(architecture: Architecture, start: TrainState, x: Array, labels: Labels) -> int:
    """Return the largest number of comparisons in one step: each value and gradient as received, tested alone, and at the end of the step."""
    kept = {name: {"mask": np.ones(1, bool)} for name in architecture.masked}
    stages = stages_of(architecture, replace(start, constants=kept), labels)
    runs = run(list(stages.values()), x.astype(np.float64), np.ones(()))
    values = sum(value.size for r in runs for value in r.result.values())
    ways, wires, updates = 3, 1, 2 + 2 * len(architecture.update.states)
    return (ways + wires) * values + updates * sum(value.size for value in start.params.values())


def start_of(architecture: Architecture, trace: Trace) -> TrainState:
    """Return the state from which the subject's step started."""
    params = [(layer, parameter) for layer in architecture.names for parameter in architecture.params[layer]]
    buffers = {f"{layer}.{name}": trace[layer, f"{name}.before"] for layer, own in architecture.buffers.items() for name in own}
    return TrainState(
        {f"{layer}.{p}": trace[layer, f"{p}.before"] for layer, p in params},
        {f"{layer}.{p}": trace.state(layer, p, before=True) for layer, p in params},
        buffers=buffers,
        constants={layer: trace.constants(layer) for layer in architecture.names},
    )
