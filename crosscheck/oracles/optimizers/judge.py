"""Judge an updated parameter and the state that the optimizer keeps for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers.rules import COUNTERS
from crosscheck.oracles.optimizers.theory import PARAM, Update


@dataclass(frozen=True)
class UpdatedParameter:
    """A parameter before and after a step, in the subject's precision. Its state has PyTorch's names, and is empty before the first step."""

    before: Array
    grad: Array
    after: Array
    state: Arrays = field(default_factory=dict)
    state_after: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Updating:
    """An updated parameter to be judged, and its place. ``reading`` bounds the error made in inferring its gradient, if this is not stored."""

    updated: UpdatedParameter
    place: Place
    reading: Bound | None = None


Decided: TypeAlias = dict[str, tuple[Array, Bound]]
"""The expected parameter, with the key ``""``, and each expected state, with their bounds; empty if they are unknown."""


def judge_updates(update: Update, updatings: Sequence[Updating], precision: Precision) -> Iterator[list[Judgement]]:
    """Yield, for each parameter, the verdicts on the parameter and on each of its states, such as ``weight.exp_avg``.

    ``update`` is the oracle. It starts from the subject's parameters, gradients and states; ``precision`` is the subject's precision.
    """
    reasons = [_why_undecided(update, one.updated) for one in updatings]
    # Parameters that start alike are computed in one call: rules are elementwise, and a call on a small array takes longer than its arithmetic.
    alike: dict[Any, list[int]] = {}
    for index, one in enumerate(updatings):
        if not reasons[index]:
            alike.setdefault(_start(update, one.updated) or (index,), []).append(index)
    decided: dict[int, Decided] = {}
    for group in alike.values():
        decided.update(zip(group, _together(update, [updatings[index].updated for index in group], precision), strict=True))
    for index, one in enumerate(updatings):
        yield list(_verdicts(update, one, decided.get(index, {}), reasons[index], precision))


def judge_update(update: Update, updated: UpdatedParameter, place: Place, precision: Precision, reading: Bound | None = None) -> Iterator[Judgement]:
    """Yield the verdicts on one parameter and each of its states, as :func:`judge_updates` does."""
    for judgements in judge_updates(update, [Updating(updated, place, reading)], precision):
        yield from judgements


def _start(update: Update, updated: UpdatedParameter) -> tuple[Any, ...]:
    """Return a key: parameters with equal keys (dtypes, names of states, values of counters) are computed in one call.

    The key is empty if an array's shape differs from its parameter's shape. This parameter is computed separately.
    """
    kept = {name: updated.state[name] for name in update.states if name in updated.state}
    shapes = {array.shape for name, array in kept.items() if name not in COUNTERS} | {updated.grad.shape}
    counters = [array for name, array in kept.items() if name in COUNTERS]
    if shapes != {updated.before.shape} or any(counter.ndim for counter in counters):
        return ()
    return updated.before.dtype, updated.grad.dtype, tuple(kept), tuple(map(float, counters))


def _together(update: Update, group: Sequence[UpdatedParameter], precision: Precision) -> list[Decided]:
    """Return the oracle's results for parameters with equal keys, computed in one call."""

    def joined(arrays: Sequence[Array]) -> Array:
        flat = arrays[0] if len(arrays) == 1 else np.concatenate([array.ravel() for array in arrays])
        return flat.astype(np.float64)

    kept = [name for name in update.states if name in group[0].state]
    state = {name: group[0].state[name].astype(np.float64) if name in COUNTERS else joined([one.state[name] for one in group]) for name in kept}
    bounded = update.bounded(joined([one.before for one in group]), joined([one.grad for one in group]), state, precision)
    if len(group) == 1:
        return [bounded]
    ends = np.cumsum([one.before.size for one in group])
    parts = [(slice(end - one.before.size, end), one.before.shape) for end, one in zip(ends, group, strict=True)]
    return [{name: _part(name, result, *part) for name, result in bounded.items()} for part in parts]


def _part(name: str, result: tuple[Array, Bound], own: slice, shape: tuple[int, ...]) -> tuple[Array, Bound]:
    """Return one parameter's part of the results for several parameters; a counter is the same for all of them."""
    value, bound = result
    if name in COUNTERS:
        return result
    terms = np.broadcast_to(bound.abs_sum, value.shape)
    return value[own].reshape(shape), Bound(terms[own].reshape(shape), bound.n_roundings)


def _verdicts(update: Update, updating: Updating, decided: Decided, reason: str, precision: Precision) -> Iterator[Judgement]:
    """Yield the verdicts on one parameter and its states."""
    updated, place = updating.updated, updating.place
    places = {PARAM: place, **{name: place._replace(quantity=f"{place.quantity}.{name}") for name in update.states}}
    found = {PARAM: updated.after, **updated.state_after}
    if updating.reading is not None and decided:
        before, grad = updated.before.astype(np.float64), updated.grad.astype(np.float64)
        state = {name: value.astype(np.float64) for name, value in updated.state.items() if name in update.states}
        moved = update.propagated(before, grad, state, precision.error(updating.reading), {})
        decided = {
            name: (value, Bound(precision.error(bound) + moved[name], 1.0) if moved[name].any() else bound)
            for name, (value, bound) in decided.items()
        }
    for name, own in places.items():
        if name not in found:
            yield Judgement(own, Kind.UPDATE, Verdict.MISMATCH, reason=f"the optimizer does not keep the state {name}")
        elif name not in decided:
            yield Judgement(own, Kind.UPDATE, Verdict.UNDECIDED, found[name].size, reason=reason)
        else:
            # A counter may have any number type.
            value = found[name].astype(precision.dtype) if name in COUNTERS else found[name]
            yield judge(own, Kind.UPDATE, value, *decided[name], precision)


def _why_undecided(update: Update, updated: UpdatedParameter) -> str:
    """Return the reason why the expected result of a step is unknown; an empty string if it is known."""
    if not all(np.isfinite(array).all() for array in (updated.before, updated.grad, *updated.state.values())):
        return "the gradient, the parameter or its state is not finite"
    missing = [name for name in update.states if name not in updated.state]
    if updated.state and missing:
        return f"the state that the step started from lacks {', '.join(missing)}"
    return ""
