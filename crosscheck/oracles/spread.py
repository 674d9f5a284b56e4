r"""How far rounding leads a whole step of a deep network astray, measured.

To first order the worst case is a theorem, and useless where fifty layers follow one another: it assumes that no errors cancel. Here the oracle does
the step again, several times, and each layer's results are moved at random by as much as rounding *inside that layer* may. With decisions at kinks
held fixed the step is linear in such small moves, so that they can be made small enough for float64 and scaled afterwards. What is measured of each
quantity is the norm of its error: a few runs estimate single elements badly. A right step keeps within

.. math:: \frac{t_M(\delta/N)}{\lambda} \; \mathrm{rms}_M \lVert \text{moved} - \text{unmoved} \rVert,

N being the number of norms that the run judges: the moves are :math:`\lambda` times a standard deviation already, and Student's quantile for M runs
makes up for there being so few.
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
"""M."""

SCALE = 2.0**-40
"""What a unit roundoff is taken to be in these runs, far above float64's own, and so small that the step is linear in it."""

Errors = Mapping[str, Array]


@dataclass(frozen=True)
class Spread:
    """What several runs with moved results came to, in multiples of the unit roundoff.

    Attributes
    ----------
    norms : list of dict of str to float
        For each stage, how large the norm of each quantity's error may be.
    sizes : list of dict of str to array
        For each stage, how large the error of each element may be, roughly: its own spread or that of the whole array, whichever is larger; under
        ``"input"`` that of what the stage got.
    """

    norms: list[dict[str, float]]
    sizes: list[dict[str, Array]]


def spread(stages: Sequence[Stage], unmoved: Sequence[StageRun], own: Sequence[Errors], first: int, precision: Precision, seed: int = 0) -> Spread:
    """Measure how far errors inside the layers lead.

    Parameters
    ----------
    stages : sequence of Stage
        With the decisions at their kinks imposed.
    unmoved : sequence of StageRun
        The step as the oracle does it.
    own : sequence of mappings
        The largest errors made inside each stage, in multiples of the unit roundoff.
    first : int
        The stage back to which gradients go.
    precision : Precision
        The subject's.
    """
    x, last = unmoved[0].call.x, unmoved[-1].call.grad_output
    errors = _with_joints(stages, unmoved, own, first, precision)
    squares: list[dict[str, Array]] = [{} for _ in stages]
    for number in range(RUNS):
        rng = np.random.default_rng([seed, number])
        moved = [replace(stage, oracle=_Moved(stage.oracle, inside, rng)) for stage, inside in zip(stages, errors, strict=True)]
        for at, after, before in zip(squares, run(moved, x, last, first), unmoved, strict=True):
            pairs = {"input": (after.call.x, before.call.x)} | {name: (after.result[name], value) for name, value in before.result.items()}
            for name, (one, other) in pairs.items():
                at[name] = at.get(name, 0.0) + ((one - other) / SCALE) ** 2 / RUNS
    # As many norms as elements are judged in the run as there are of both in this step.
    arrays, elements = sum(len(r.result) for r in unmoved), sum(value.size for r in unmoved for value in r.result.values())
    accepted = precision.false_alarms / precision.elements * elements / arrays
    factor = max(1.0, student_quantile(accepted, RUNS) / precision.confidence)
    norms = [{name: factor * math.sqrt(float(square.sum())) for name, square in at.items()} for at in squares]
    sizes = [{name: factor * np.sqrt(np.maximum(square, square.mean())) for name, square in at.items()} for at in squares]
    return Spread(norms, sizes)


def _with_joints(
    stages: Sequence[Stage], unmoved: Sequence[StageRun], own: Sequence[Errors], first: int, precision: Precision
) -> list[dict[str, Array]]:
    """Return the errors made inside the stages, and to the first of several wires that meet the error of their sum added."""
    errors = [dict(inside) for inside in own]

    def add(quantity: str, wires: Sequence[int], parts: list[Array]) -> None:
        errors[wires[0]][quantity] = errors[wires[0]][quantity] + precision.error(joint(parts))

    for index in range(len(stages)):
        wires = [source for source in sources_of(stages, index) if source != INPUT]
        if len(sources_of(stages, index)) > 1 and wires:
            add("output", wires, [unmoved[wire].result["output"] for wire in wires])
    for _, consumers in backwards(stages, first):
        if len(consumers) > 1:
            add("grad_input", consumers, [unmoved[wire].result["grad_input"] for wire in consumers])
    return errors


@dataclass(frozen=True)
class _Moved(WrappedOracle):
    """An oracle whose every result is moved at random, each element up or down by as much as its own rounding may."""

    errors: Errors
    rng: np.random.Generator

    def vjp(self, call: Call) -> dict[str, Array]:
        return {name: value + SCALE * self._move(name, value) for name, value in super().vjp(call).items()}

    def _move(self, name: str, value: Array) -> Array | float:
        if name not in self.errors:
            return 0.0
        return np.where(self.rng.integers(0, 2, value.shape, np.bool_), self.errors[name], -self.errors[name])
