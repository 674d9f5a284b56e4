"""Decisions at kinks, such as the sign in a ReLU or the maximum in a pooling window. If rounding may change a decision, either choice is right.

After such a decision, two right computations may differ by far more than rounding errors. If the subject shows its decisions, the oracle takes them,
too, and each must be admissible. If the subject does not show them, the few ambiguous decisions are tried both ways.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.step import OracleStep

Imposed = dict[str, npt.NDArray[Any]]

DRAWS = 32
"""The number of random perturbations of a kink's inputs that show which of its decisions may change. If rounding may exchange two candidates, one
perturbation in four does so; one such pair in ten thousand is missed."""
EXHAUSTIVE = 6
"""The largest number of ambiguous decisions of which every combination is tried."""
MANY = 256
"""The largest number of ambiguous decisions that are each tried separately."""


@dataclass(frozen=True)
class Decision:
    """The subject's decisions at the kinks of one layer that differ from the oracle's decisions."""

    layer: str
    differing: int  # the number of these decisions
    margin: float  # the largest change of the output that they cause, as a fraction of the change that rounding before this layer explains

    @property
    def admissible(self) -> bool:
        """Whether rounding explains all of these decisions."""
        return self.margin <= 1


def differing(step: OracleStep, precision: Precision) -> Iterator[Decision]:
    """Yield, for each layer, the imposed decisions that the oracle alone would take differently, if there are any."""
    for index, name in enumerate(step.names):
        imposed = step.runs[index].stage.constants.get("decisions")
        if imposed is None:
            continue
        oracle, call = step.runs[index].stage.oracle, step.runs[index].call
        free = replace(call, constants={}).forward
        own = oracle.decisions(call.x)
        count = int(np.count_nonzero(own != imposed))
        if not count:
            continue
        error = step.totals[index]["input"]
        reach = sum(oracle.vjp(free.with_x(error).decided(decisions))["output"] for decisions in (own, imposed))
        margin = np.abs(oracle.vjp(free)["output"] - step.runs[index].result["output"])
        allowed = precision.tolerance(Bound(np.asarray(reach), 1.0))
        yield Decision(name, count, float((margin / allowed).max()))


@dataclass(frozen=True)
class Branch:
    """A decision that rounding may change, and its other value."""

    layer: str
    place: int  # the flat index into the layer's array of decisions
    other: Any


def ambiguous(step: OracleStep, precision: Precision, seed: int) -> list[Branch]:
    """Return the decisions of a step that may change if their inputs have errors as large as rounding explains."""
    rng = np.random.default_rng(seed)
    choices: dict[Branch, None] = {}
    for index, name in list(enumerate(step.names))[1:]:
        oracle, x = step.runs[index].stage.oracle, step.runs[index].call.x
        own = None if name == "loss" else oracle.decisions(x)
        if own is None:
            continue
        reach = np.broadcast_to(precision.tolerance(Bound(step.totals[index]["input"], 1.0)), x.shape)
        for _ in range(DRAWS):
            moved = oracle.decisions(x + rng.choice([-1.0, 1.0], x.shape) * reach)
            assert moved is not None
            for place in np.flatnonzero(moved != own):
                choices[Branch(name, int(place), moved.flat[place].item())] = None
    return list(choices)


def tried(
    step: OracleStep, choices: Sequence[Branch], again: Callable[[Imposed], OracleStep], residual: Callable[[OracleStep], Array]
) -> tuple[OracleStep, Array]:
    """Try ambiguous decisions the other way; return the resulting step that is closest to the subject's, and how much remains uncertain.

    A few decisions are tried in every combination, and nothing remains uncertain. If there are more, each is tried separately: the change that a
    decision causes hardly depends on the others, because its margin is almost zero. A least-squares fit finds the decisions with changes that add up
    to the difference. These are taken the other way together, and the sum of all changes remains uncertain.

    Parameters
    ----------
    step : OracleStep
        The step with the oracle's own decisions.
    choices : sequence of Branch
        From :func:`ambiguous`.
    again : callable
        Computes the step with some decisions imposed.
    residual : callable
        Returns the differences between the subject's numbers and the numbers of a step, as fractions of their tolerances.

    Returns
    -------
    array
        The largest change of each number that decisions may still cause, as a fraction of its tolerance; infinite if there are too many to try.
    """

    def chosen(combination: Sequence[Branch]) -> OracleStep:
        return again(_imposed(step, combination))

    missing = residual(step)
    if len(choices) <= EXHAUSTIVE:
        combinations = (c for size in range(1, len(choices) + 1) for c in itertools.combinations(choices, size))
        return min([step, *map(chosen, combinations)], key=lambda s: float(np.linalg.norm(residual(s)))), np.zeros_like(missing)
    changes = np.stack([missing - residual(chosen([choice])) for choice in choices[:MANY]], axis=1)
    telling = np.abs(changes).max(axis=0) > 1
    if len(choices) > MANY:
        return step, np.where((np.abs(changes) > 1).any(axis=1), np.inf, 0.0)
    shares = np.linalg.lstsq(changes[:, telling], missing)[0] if telling.any() else np.zeros(0)
    others = [choice for choice, share in zip(itertools.compress(choices, telling), shares, strict=True) if share > 0.5]
    return min([step, chosen(others)], key=lambda s: float(np.linalg.norm(residual(s)))), np.abs(changes).sum(axis=1)


def _imposed(step: OracleStep, choices: Sequence[Branch]) -> Imposed:
    """Return all decisions of the layers in ``choices``, with the decisions in ``choices`` taken the other way."""
    imposed: Imposed = {}
    for choice in choices:
        run = step.runs[step.names.index(choice.layer)]
        if choice.layer not in imposed:
            own = run.stage.oracle.decisions(run.call.x)
            assert own is not None
            imposed[choice.layer] = own.copy()
        imposed[choice.layer].flat[choice.place] = choice.other
    return imposed
