"""One whole training step as the oracle alone does it, and how far rounding may lead a right step away from its end.

Whatever is known about a step is judged by it: every quantity of a network that is listened to, or nothing but the loss and the updated parameters of
one that shows no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.architecture import Architecture
from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.chain import Stage, StageRun, accumulate, own_errors, run
from crosscheck.isolated import quantities
from crosscheck.operation import Arrays
from crosscheck.update import update_bounds, update_carried

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Start:
    """What a step starts from.

    Attributes
    ----------
    params : mapping of str to array
        Named ``layer.parameter``.
    buffers : mapping of str to array
        The momentum buffers, named like the parameters; empty before the first step.
    buffer_errors : mapping of str to array
        How large the error of each buffer may be, in multiples of the unit roundoff; none where it was read off the subject.
    """

    params: Arrays
    buffers: Arrays
    buffer_errors: Arrays


@dataclass(frozen=True)
class OracleStep:
    """A step of the oracle.

    Attributes
    ----------
    names : list of str
        The layers and ``"loss"``.
    runs : list of StageRun
        What each of them was given and gave.
    totals : list of mappings
        How large the error of each of their quantities may be, in multiples of the unit roundoff.
    expected : dict of (str, str) to (array, Bound)
        The value of each quantity in execution order, the updated parameters last, and how far rounding may lead from it.
    buffers, buffer_errors : dict of str to array
        The momentum buffers that the step leaves.
    """

    names: list[str]
    runs: list[StageRun]
    totals: list[dict[str, Array]]
    expected: dict[tuple[str, str], tuple[Array, Bound]]
    buffers: dict[str, Array]
    buffer_errors: dict[str, Array]


def oracle_step(
    architecture: Architecture,
    start: Start,
    x: Array,
    labels: Labels,
    arithmetic: Arithmetic,
    decisions: Mapping[str, npt.NDArray[Any]],
    own: Sequence[Mapping[str, Array]] | None = None,
) -> OracleStep:
    """Do one training step in float64.

    Parameters
    ----------
    architecture : Architecture
    start : Start
    x, labels : array
        The batch.
    arithmetic : Arithmetic
        The subject's.
    decisions : mapping of str to array
        By layer, those at kinks that are imposed; elsewhere the oracle decides.
    own : sequence of mappings, optional
        The errors made inside each layer; those on the oracle's own values if left out.
    """
    names = [*architecture.names, "loss"]
    stages = []
    for name in architecture.names:
        params = {p: start.params[f"{name}.{p}"].astype(np.float64) for p in architecture.params[name]}
        stages.append(Stage(architecture.layers[name], params, {"decisions": decisions[name]} if name in decisions else {}))
    stages.append(Stage(architecture.loss, {}, {"labels": labels}))
    first = architecture.first_trained
    backward = first < len(architecture.names)
    runs = run(stages, x.astype(np.float64), np.ones(()) if backward else None, first)
    totals = accumulate(runs, own_errors(runs, arithmetic) if own is None else own)
    step = OracleStep(names, runs, totals, {}, {}, {})
    for index, quantity in _order(runs, first if backward else len(runs)):
        step.expected[names[index], quantity] = runs[index].result[quantity], Bound(totals[index][quantity], 1.0)
    for index in range(first, len(architecture.names)):
        if names[index] not in architecture.frozen:
            _update(architecture, step, index, start, arithmetic)
    return step


def _order(runs: Sequence[StageRun], back_to: int) -> Iterator[tuple[int, str]]:
    """Yield the quantities of all stages in execution order: forward first to last, backward last to first."""
    for index in range(len(runs)):
        yield index, "output"
    for index in range(len(runs) - 1, back_to - 1, -1):
        for quantity in quantities(runs[index].call)[1:]:
            yield index, quantity


def _update(architecture: Architecture, step: OracleStep, index: int, start: Start, arithmetic: Arithmetic) -> None:
    """Add the updated parameters of one layer, as the oracle's own gradients make them."""
    settings, stage = architecture.update.settings, step.runs[index]
    for parameter in architecture.params[step.names[index]]:
        key = f"{step.names[index]}.{parameter}"
        before, grad = stage.call.params[parameter], stage.result[f"{parameter}.grad"]
        state = {parameter: start.buffers[key].astype(np.float64)} if key in start.buffers else {}
        buffer = state.get(parameter)
        params, buffers = architecture.update.update({parameter: before}, {parameter: grad}, state)
        own, own_buffer = update_bounds(settings, before, grad, buffer)
        error_buffer = None if buffer is None else start.buffer_errors.get(key, np.zeros_like(buffer))
        moved, moved_buffer = update_carried(settings, step.totals[index][f"{parameter}.grad"], error_buffer)
        step.expected[step.names[index], parameter] = params[parameter], Bound(arithmetic.error(own) + moved, 1.0)
        if parameter in buffers:
            step.buffers[key], step.buffer_errors[key] = buffers[parameter], arithmetic.error(own_buffer) + moved_buffer
