"""Decisions at kinks: a ReLU's sign, a pool's winner. Where the margin is within what rounding explains, either is right.

Then everything behind the kink jumps, on both sides rightly. A subject that shows its decisions is compared with an oracle that takes the same ones,
each of which must be admissible; for one that shows nothing the few ambiguous ones are tried both ways.
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
"""How often the inputs of a kink are moved at random to see which of its decisions may change: of two candidates that rounding may exchange one
move in four does, so that one pair in ten thousand is not seen."""
EXHAUSTIVE = 6
"""The number of ambiguous decisions up to which every combination is tried."""
MANY = 256
"""The number of them up to which each is tried."""


@dataclass(frozen=True)
class Decision:
    """Decisions of one layer at kinks that differ between subject and oracle.

    Attributes
    ----------
    differing : int
        Output elements whose value the oracle alone would take from elsewhere.
    margin : float
        The largest difference that this makes, as a fraction of what rounding before this layer explains. Above 1 it has no excuse.
    """

    layer: str
    differing: int
    margin: float

    @property
    def admissible(self) -> bool:
        """Whether rounding explains every one of them."""
        return self.margin <= 1


def differing(step: OracleStep, precision: Precision) -> Iterator[Decision]:
    """Yield, for each layer with decisions imposed on it, those that the oracle alone takes differently and what part of the rounding they need."""
    for index, name in enumerate(step.names):
        imposed = step.runs[index].stage.constants.get("decisions")
        if imposed is None:
            continue
        oracle, call = step.runs[index].stage.oracle, step.runs[index].call
        free = replace(call, constants={}, grad_output=None)
        own = oracle.decisions(call.x)
        count = int(np.count_nonzero(own != imposed))
        if not count:
            continue
        error = step.totals[index]["input"]
        reach = sum(oracle.vjp(replace(free, x=error).decided(decisions))["output"] for decisions in (own, imposed))
        margin = np.abs(oracle.vjp(free)["output"] - step.runs[index].result["output"])
        allowed = precision.tolerance(Bound(np.asarray(reach), 1.0))
        yield Decision(name, count, float((margin / allowed).max()))


@dataclass(frozen=True)
class Branch:
    """One decision that rounding may turn: its layer, its place in the array of decisions, and what else it may be."""

    layer: str
    place: int
    other: Any


def ambiguous(step: OracleStep, precision: Precision, seed: int) -> list[Branch]:
    """Return the decisions of a step that change when the values before them are off by as much as rounding explains."""
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
    """Return the step that comes closest to the subject's when ambiguous decisions are taken the other way, and what they leave open.

    Few of them are tried in every combination, which leaves nothing open. What a decision at a margin of nearly nothing changes hardly depends on
    the others; so of many those are chosen whose changes add up to the difference, by least squares, and what all of them together can change is
    left open.

    Parameters
    ----------
    step : OracleStep
        With the oracle's own decisions.
    choices : sequence of Branch
        From :func:`ambiguous`.
    again : callable
        Does the step with some decisions imposed.
    residual : callable
        The subject's numbers less those of a step, as fractions of their tolerances.

    Returns
    -------
    array
        How far each of the numbers may still be moved by decisions, as a fraction of its tolerance; infinite where there are too many to try.
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
    """Return the decisions of every layer that a choice belongs to, those choices taken."""
    imposed: Imposed = {}
    for choice in choices:
        run = step.runs[step.names.index(choice.layer)]
        if choice.layer not in imposed:
            own = run.stage.oracle.decisions(run.call.x)
            assert own is not None
            imposed[choice.layer] = own.copy()
        imposed[choice.layer].flat[choice.place] = choice.other
    return imposed
