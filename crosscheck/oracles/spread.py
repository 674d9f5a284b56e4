r"""Measure how far rounding may change the results of a whole training step of a deep network.

The worst case to first order assumes that no errors cancel, so for fifty layers in a row it is too large to be useful. Instead, the oracle repeats
the step several times. In each run, each layer's results are perturbed at random, by as much as rounding *inside this layer* may change them. With
the branch at every kink held fixed, the step is linear in small perturbations, so tiny perturbations in float64 can be scaled up afterwards. Only the
norm of each quantity's error is measured, because a few runs estimate single elements badly. A correct step stays within

.. math:: \frac{t_M(\delta/N)}{\lambda} \; \mathrm{rms}_M \lVert \text{perturbed} - \text{unperturbed} \rVert,

where N is the number of norms judged in the whole comparison and :math:`\delta` the accepted probability of a false alarm. Each perturbation is
:math:`\lambda` times the standard deviation of the rounding error, hence the division by :math:`\lambda`. Student's quantile for M runs accounts for
the small number of runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision, student_quantile
from crosscheck.oracles.chain import INPUT, Stage, StageRun, backwards, joint, run, sources_of
from crosscheck.oracles.wrapped import WrappedOracle

RUNS = 8
"""The number of perturbed runs, M."""

SCALE = 2.0**-40
"""The size of a unit roundoff in the perturbed runs: far above float64's, and so small that the step is linear in it."""

Errors = Mapping[str, Array]


@dataclass(frozen=True)
class Spread:
    """The errors that several perturbed runs show at each stage, in multiples of the unit roundoff.

    ``norms`` has the largest norm of each quantity's error that rounding explains. ``sizes`` has roughly the largest error of each element: the
    spread of the element or of the whole array, whichever is larger. The key of a stage's input is ``"input"``.
    """

    norms: list[dict[str, float]]
    sizes: list[dict[str, Array]]


def spread(
    stages: Sequence[Stage], unperturbed: Sequence[StageRun], own: Sequence[Errors], first: int, precision: Precision, seed: int = 0
) -> Spread:
    """Measure how far rounding errors inside the layers change every quantity of a step.

    The decisions at kinks must be fixed in ``stages``. ``own`` are the largest errors made inside each stage, in multiples of the unit roundoff.
    Gradients are computed down to the stage ``first``.
    """
    x, last = unperturbed[0].call.x, unperturbed[-1].call.grad_output
    errors = _with_joints(stages, unperturbed, own, first, precision)
    squares: list[dict[str, Array]] = [{} for _ in stages]
    for number in range(RUNS):
        rng = np.random.default_rng([seed, number])
        moved = [replace(stage, oracle=_Perturbed(stage.oracle, inside, rng)) for stage, inside in zip(stages, errors, strict=True)]
        for at, after, before in zip(squares, run(moved, x, last, first), unperturbed, strict=True):
            pairs = {"input": (after.call.x, before.call.x)} | {name: (after.result[name], value) for name, value in before.result.items()}
            for name, (one, other) in pairs.items():
                at[name] = at.get(name, 0.0) + ((one - other) / SCALE) ** 2 / RUNS
    # The ratio of the number of norms to the number of elements is the same in the whole run as in this step.
    arrays, elements = sum(len(r.result) for r in unperturbed), sum(value.size for r in unperturbed for value in r.result.values())
    accepted = precision.false_alarms / precision.elements * elements / arrays
    factor = max(1.0, student_quantile(accepted, RUNS) / precision.confidence)
    norms = [{name: factor * math.sqrt(float(square.sum())) for name, square in at.items()} for at in squares]
    sizes = [{name: factor * np.sqrt(np.maximum(square, square.mean())) for name, square in at.items()} for at in squares]
    return Spread(norms, sizes)


def _with_joints(
    stages: Sequence[Stage], unperturbed: Sequence[StageRun], own: Sequence[Errors], first: int, precision: Precision
) -> list[dict[str, Array]]:
    """Return the errors made inside each stage. If several arrays are summed, the sum's rounding error is added to the error of the first array."""
    errors = [dict(inside) for inside in own]

    def add(quantity: str, wires: Sequence[int], parts: list[Array]) -> None:
        errors[wires[0]][quantity] = errors[wires[0]][quantity] + precision.error(joint(parts))

    for index in range(len(stages)):
        wires = [source for source in sources_of(stages, index) if source != INPUT]
        if len(sources_of(stages, index)) > 1 and wires:
            add("output", wires, [unperturbed[wire].result["output"] for wire in wires])
    for _, consumers in backwards(stages, first):
        if len(consumers) > 1:
            add("grad_input", consumers, [unperturbed[wire].result["grad_input"] for wire in consumers])
    return errors


@dataclass(frozen=True)
class _Perturbed(WrappedOracle):
    """An oracle that adds a random error to each element of its results: plus or minus the largest error that its own rounding explains."""

    errors: Errors
    rng: np.random.Generator

    def vjp(self, call: Call) -> dict[str, Array]:
        return {name: value + SCALE * self._move(name, value) for name, value in super().vjp(call).items()}

    def _move(self, name: str, value: Array) -> Array | float:
        if name not in self.errors:
            return 0.0
        return np.where(self.rng.integers(0, 2, value.shape, np.bool_), self.errors[name], -self.errors[name])
