"""The verdict on an updated parameter and on the state that the optimizer keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.judgement import Judgement, Kind, Verdict, judge
from crosscheck.operation import Arrays
from crosscheck.trace import Place
from crosscheck.update.rules import COUNTERS
from crosscheck.update.theory import PARAM, Update


@dataclass(frozen=True)
class UpdatedParameter:
    """One parameter before and after an optimizer's step, in the subject's precision.

    Attributes
    ----------
    before, grad, after : array
        The parameter, its gradient and the parameter after the step.
    state, state_after : mapping of str to array
        What the optimizer keeps of it, by PyTorch's names; ``state`` is empty before the first step.
    """

    before: Array
    grad: Array
    after: Array
    state: Arrays = field(default_factory=dict)
    state_after: Arrays = field(default_factory=dict)


def judge_update(
    update: Update, updated: UpdatedParameter, place: Place, arithmetic: Arithmetic, reading: Bound | None = None
) -> Iterator[Judgement]:
    """Yield the verdict on an updated parameter and on each of its states, whose quantity is named ``weight.exp_avg``.

    Parameters
    ----------
    update : Update
        The oracle, which starts from the same parameter, gradient and state.
    updated : UpdatedParameter
    place : Place
        Of the parameter.
    arithmetic : Arithmetic
        The subject's.
    reading : Bound, optional
        The error made in reading the gradient, if it is not stored.
    """
    places = {PARAM: place, **{name: place._replace(quantity=f"{place.quantity}.{name}") for name in update.states}}
    found = {PARAM: updated.after, **updated.state_after}
    unkept = [name for name in update.states if name not in found]
    if reason := _why_undecided(update, updated):
        decided: dict[str, tuple[Array, Bound]] = {}
    else:
        before, grad = updated.before.astype(np.float64), updated.grad.astype(np.float64)
        state = {name: updated.state[name].astype(np.float64) for name in update.states if name in updated.state}
        decided = update.bounded(before, grad, state, arithmetic)
        if reading is not None:
            moved = update.carried(before, grad, state, arithmetic.error(reading), {})
            decided = {name: (value, _moved(bound, moved[name], arithmetic)) for name, (value, bound) in decided.items()}
    for name, own in places.items():
        if name in unkept:
            yield Judgement(own, Kind.UPDATE, Verdict.MISMATCH, reason=f"the optimizer keeps no {name}")
        elif name not in decided:
            yield Judgement(own, Kind.UPDATE, Verdict.UNDECIDED, found[name].size, reason=reason)
        else:
            # A counter is a number, in whatever type.
            value = found[name].astype(arithmetic.dtype) if name in COUNTERS else found[name]
            yield judge(own, Kind.UPDATE, value, *decided[name], arithmetic)


def _why_undecided(update: Update, updated: UpdatedParameter) -> str:
    """Return why nobody can say what the step should lead to, or nothing."""
    if not all(np.isfinite(array).all() for array in (updated.before, updated.grad, *updated.state.values())):
        return "the gradient, the parameter or its state is not finite"
    missing = [name for name in update.states if name not in updated.state]
    if updated.state and missing:
        return f"the state that the step started from lacks {', '.join(missing)}"
    return ""


def _moved(bound: Bound, moved: Array, arithmetic: Arithmetic) -> Bound:
    return Bound(arithmetic.error(bound) + moved, 1.0) if moved.any() else bound
