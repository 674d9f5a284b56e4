"""Why the updates of a whole network are wrong although its gradients are right: mistakes in the optimizer, and in what stands around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosscheck.causes import Cause
from crosscheck.causes.optimizers import agreeing, explained
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Precision
from crosscheck.oracles.optimizers.runs import OptimizerOracle
from crosscheck.oracles.whole import FollowedOptimizer, MakeOracle

CLIPPED_ALONE = "each gradient is clipped by its own norm instead of the norm of all"

PARAMETERS = 6
"""How many parameters are looked at, the first wrong one among them; each mistake is then tried in a fraction of a second."""


@dataclass(frozen=True)
class Update:
    """What an update started from and led to.

    Attributes
    ----------
    grads : mapping of str to array
        The gradients by the parameters' names.
    clipped : bool
        Whether they are clipped already.
    after : mapping of str to array
        The parameters after the update.
    """

    grads: Arrays
    clipped: bool
    after: Arrays


def cause_of_update(
    make: MakeOracle, optimizer: FollowedOptimizer, start: Arrays, updates: Sequence[Update], first: Judgement, wrong: str, precision: Precision
) -> Cause | None:
    """Return the mistake that explains all updates so far; None if no known mistake does.

    Parameters
    ----------
    start : mapping of str to array
        The parameters before the first update.
    first : Judgement
        The first mismatch, of the parameter ``wrong``.
    """
    names = [wrong, *(name for name in start if name != wrong)][:PARAMETERS]
    before, found = {name: start[name] for name in names}, [{name: update.after[name] for name in names} for update in updates]

    def given(clip: bool) -> list[Arrays]:
        return [{name: one[name] for name in names} for one in (_clipped(optimizer, update) if clip else update.grads for update in updates)]

    cause = explained(make(0), before, given(clip=True), found, precision, first)
    if cause is not None and not cause.fitted:
        return cause
    for name, words, oracle, grads in _around(make, optimizer, updates, names):
        if (worst := agreeing(oracle, before, grads, found, precision, first)) is not None:
            return Cause(name, words, first.units, worst.units, worst.fraction)
    return cause


def _clipped(optimizer: FollowedOptimizer, update: Update) -> Arrays:
    return update.grads if update.clipped else optimizer.clipped(update.grads)


def _around(
    make: MakeOracle, optimizer: FollowedOptimizer, updates: Sequence[Update], names: Sequence[str]
) -> Iterator[tuple[str, str, OptimizerOracle, list[Arrays]]]:
    """Yield mistakes in clipping and in the schedule: a name, a sentence, the optimizer and the gradients that it gets."""
    right: list[Arrays] = [{name: _clipped(optimizer, update)[name].astype(np.float64) for name in names} for update in updates]
    plain: list[Arrays] = [{name: update.grads[name].astype(np.float64) for name in names} for update in updates]
    alone: list[Arrays] = [{name: optimizer.clipped({name: one[name]})[name] for name in names} for one in plain]
    declared = make(0)
    if any(not np.array_equal(one[name], other[name]) for one, other in zip(right, plain, strict=True) for name in names):
        yield "not clipped", "the gradients are not clipped", declared, plain
        yield "clipped one by one", CLIPPED_ALONE, declared, alone
    for shift, name, words in (
        (None, "no schedule", "the learning rate does not follow the schedule"),
        (1, "schedule ahead", "the schedule of the learning rate is one step ahead: the first step has the rate of the second"),
        (-1, "schedule behind", "the schedule of the learning rate is one step behind: the second step has the rate of the first"),
    ):
        try:
            yield name, words, make(shift), right
        except RefusedError:
            continue
