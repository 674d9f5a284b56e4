"""Why the updates of a whole network are wrong although its gradients are right: mistakes in the optimizer, and in what stands around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosscheck.causes import Cause
from crosscheck.causes.optimizers.fault_models import agreeing, explained
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Bound, Precision
from crosscheck.oracles.optimizers.runs import OptimizerOracle
from crosscheck.oracles.whole import FollowedOptimizer, MakeOracle

CLIPPED_ALONE = "each gradient is clipped by its own norm instead of the norm of all"

PARAMETERS = 6
"""How many parameters are looked at, the first wrong one among them; each mistake is then tried in a fraction of a second."""


FOLLOWING = 3
"""How many updates after a wrong one are looked at for its cause."""

SAME = 16.0
"""Parameters that differ by less than this many times what rounding explains in one step are the same after several steps."""


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


@dataclass
class Updates:
    """The updates of a training so far.

    Attributes
    ----------
    make : callable or None
        Makes the declared optimizer; None if none is declared.
    wrong : int or None
        The number of updates up to the first wrong one.
    """

    make: MakeOracle | None
    optimizer: FollowedOptimizer
    precision: Precision
    start: Arrays = field(default_factory=dict)
    all: list[Update] = field(default_factory=list)
    wrong: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether a further update may help to tell what is wrong with one."""
        return self.wrong is not None and len(self.all) < self.wrong + FOLLOWING

    def decide(self, shown: Arrays, bounds: Mapping[str, Bound]) -> bool:
        """Return whether the last update, which is right, shows that its gradients were right, whatever is shown of them after the step.

        It does not if the gradients that are shown would lead to the same parameters, as gradients of twice the size do where only signs count.
        """
        if self.make is None or not set(shown) >= set(self.start):
            return False
        grads = [_clipped(self.optimizer, update) for update in self.all[:-1]]
        last = self.make(0).run(self.start, [*grads, {name: shown[name].astype(np.float64) for name in self.start}])[-1].params
        after = self.all[-1].after
        return any((np.abs(after[name] - last[name]) > SAME * self.precision.tolerance(bounds[name])).any() for name in self.start)

    def cause(self, first: Judgement, name: str) -> Cause | None:
        """Return the mistake that explains all updates so far; None if no known mistake does.

        ``first`` is the first mismatch, of the parameter ``name``.
        """
        if self.make is None or self.wrong is None or name not in self.start:
            return None
        return cause_of_update(self.make, self.optimizer, self.start, self.all, first, name, self.precision)


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
