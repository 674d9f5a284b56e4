"""Mistakes in the update of a parameter whose gradient is right: gradients that nobody asked to clip, and buffers of another parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.causes import Cause
from crosscheck.causes.scale import NEIGHBOURS, with_few_digits
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Bound, Precision
from crosscheck.oracles.optimizers import Settings, SgdSettings, Update, UpdatedParameter, implied_gradient, judge_update

_CLIPPED = "before the update: no clipping is declared, so leave it out"


@dataclass(frozen=True)
class OtherParameters:
    """What a wrong update may have taken from other parameters.

    ``norms`` are norms of several gradients together, by what they are the gradients of; ``states`` are the optimizer's states of other parameters
    of the same shape, before and after the step, by the parameter's name.
    """

    norms: Mapping[str, float]
    states: Mapping[str, Sequence[Arrays]]


def suspected_updates(
    first: Judgement, name: str, settings: Settings, updated: UpdatedParameter, others: OtherParameters, precision: Precision, reading: Bound | None
) -> Iterator[Cause]:
    """Yield the mistakes that explain a wrong update of the parameter ``name`` and its state; another step has to confirm them."""
    with suppress(ZeroDivisionError, TypeError, ValueError, LookupError), np.errstate(all="ignore"):
        for key, words, given, roundings in (*_clipped(settings, updated, others, precision), *_with_other_buffers(name, settings, updated, others)):
            error = Bound(np.abs(given.grad), roundings)
            room = error if reading is None else Bound(precision.error(reading) + precision.error(error), 1.0)
            judged = list(judge_update(Update(settings), given, first.place, precision, room if roundings else reading))
            # The states are judged, too, if the code under test shows them.
            if all(one.verdict is Verdict.MATCH for one in (judged if updated.state_after else judged[:1])):
                yield Cause(key, words, first.units, judged[0].units, judged[0].fraction)


def _clipped(
    settings: Settings, updated: UpdatedParameter, others: OtherParameters, precision: Precision
) -> Iterator[tuple[str, str, UpdatedParameter, float]]:
    """Yield updates with a clipped gradient; the limit has few digits, because an arbitrary one could explain any shorter step."""
    grad, before, after = (value.astype(np.float64) for value in (updated.grad, updated.before, updated.after))
    buffer = updated.state.get("momentum")
    if not isinstance(settings, SgdSettings):
        return
    implied, _ = implied_gradient(settings, before, after, None if buffer is None else buffer.astype(np.float64))
    norm = float(np.linalg.norm(grad))
    factor = float((implied * grad).sum()) / norm**2 if norm else 1.0
    if not 0 < factor < 1:
        return
    roundings = float(grad.size + 3)
    # In a large array in single precision, the error of the norm leaves room for too many limits.
    resolved = roundings * precision.unit < NEIGHBOURS**2
    for of, size in {"each parameter": norm, **others.norms}.items() if resolved else ():
        for limit in with_few_digits(factor * size):
            words = f"the gradient of {of} is clipped to a norm of {limit:g} {_CLIPPED}"
            yield "clipped by its norm", words, replace(updated, grad=grad * (limit / size)), roundings
    for limit in with_few_digits(float(np.abs(implied).max())):
        # A single number may be small for another reason.
        if np.count_nonzero(np.abs(grad) > limit) > 1:
            words = f"each number of the gradient is clipped to {limit:g} {_CLIPPED}"
            yield "clipped by value", words, replace(updated, grad=np.clip(grad, -limit, limit)), 0.0


def _with_other_buffers(
    name: str, settings: Settings, updated: UpdatedParameter, others: OtherParameters
) -> Iterator[tuple[str, str, UpdatedParameter, float]]:
    if not settings.states:
        return
    for other, states in others.states.items():
        for state in states:
            if set(state) == set(settings.states):
                words = f"{name} is updated with the optimizer's buffer of {other}: keep one buffer for each parameter"
                yield "shared buffer", words, replace(updated, state=state), 0.0
