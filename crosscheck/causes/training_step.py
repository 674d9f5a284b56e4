"""The known mistakes of training steps: between a layer and the step that it is part of, and in the update of a parameter.

A step's trace has what a layer alone does not show: the parameters after the update, and the gradients of the step before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.causes import Candidate, Cause
from crosscheck.causes.candidate import recomputed
from crosscheck.causes.scale import chosen_by_people, multiple_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.chain import StageRun, sources_of
from crosscheck.oracles.optimizers import SgdSettings, Update, UpdatedParameter, judge_update, update_of


def explained_in_step(failure: Failure, after: Mapping[str, Array], earlier: Array | None) -> Cause | None:
    """Return the mistake in a layer that only its training step shows, or None.

    ``after`` are the layer's parameters after the step, ``earlier`` is the same quantity in the step before.
    """
    with suppress(RefusedError):
        for one in _candidates(failure, after, None if earlier is None else earlier.astype(np.float64)):
            if one.expected.shape != failure.found.shape:
                continue
            found = judge(failure.judgement.place, Kind.LAYER, failure.found, one.expected, one.limits(failure), failure.precision)
            if found.verdict is Verdict.MATCH:
                return Cause(one.name, one.words, failure.judgement.units, found.units, found.fraction)
    return None


def _candidates(failure: Failure, after: Mapping[str, Array], earlier: Array | None) -> Iterator[Candidate]:
    quantity, call = failure.quantity, failure.call
    if quantity == "grad_input" and after and call.grad_output is not None:
        updated = replace(call, params={name: value.astype(np.float64) for name, value in after.items()})
        words = "the gradient is passed on by the updated parameters: they have to be updated after it is computed"
        yield recomputed(failure, "updated weight", words, updated)
    if quantity.endswith(".grad") and earlier is not None and earlier.shape == failure.expected.shape:
        yield Candidate("stale gradient", "it is the gradient of the step before", earlier)
        both = Bound(failure.bound.abs_sum + np.abs(earlier), failure.bound.n_roundings + np.float64(1))
        words = "the gradient of the step before is in it, too: gradients are added up and not cleared"
        yield Candidate("accumulated gradients", words, failure.expected + earlier, both)


def passed_on_by_updated(runs: Sequence[StageRun], names: Sequence[str], after: Mapping[tuple[str, str], Array]) -> dict[tuple[str, str], Array]:
    """Return each parameter's gradient where every layer passes the gradient on by its updated parameters; none where layers are not in a row.

    ``runs`` are the oracle's, layer by layer, the loss last; ``after`` are the parameters after the step.
    """
    grads: dict[tuple[str, str], Array] = {}
    stages = [run.stage for run in runs]
    if any(sources_of(stages, index) != (index - 1,) for index in range(1, len(stages))):
        return grads
    grad_output = runs[-1].result["grad_input"]
    for name, run in zip(reversed(names[:-1]), reversed(runs[:-1]), strict=True):
        call, oracle = replace(run.call, grad_output=grad_output), run.stage.oracle
        updated = {key: after[name, key].astype(np.float64) for key in call.params}
        result = oracle.vjp(call)
        grads |= {(name, key): result[f"{key}.grad"] for key in call.params}
        grad_output = oracle.vjp(replace(call, params=updated))["grad_input"]
    return grads


@dataclass(frozen=True)
class UpdateFailure:
    """An updated parameter that is wrong, with what it was judged from.

    Attributes
    ----------
    update : Update
        The oracle.
    earlier : array or None
        The gradient of the step before.
    precision : Precision
        The subject's.
    reading : Bound or None
        The error made in reading the gradient, if it is not stored.
    """

    judgement: Judgement
    update: Update
    updated: UpdatedParameter
    earlier: Array | None
    batch: int
    precision: Precision
    reading: Bound | None


def explained_update(failure: UpdateFailure) -> Cause | None:
    """Return the mistake that explains an updated parameter, or None."""
    updated, first = failure.updated, failure.judgement
    if np.array_equal(updated.after, updated.before) and np.any(updated.grad):
        return Cause("not updated", "the parameter is not updated: after the step it is what it was before", first.units, 0.0, 0.0)
    for name, words, update, given in _other_updates(failure):
        found = next(judge_update(update, given, first.place, failure.precision, failure.reading))
        if found.verdict is Verdict.MATCH:
            return Cause(name, words, first.units, found.units, found.fraction)
    return None


def _other_updates(failure: UpdateFailure) -> Iterator[tuple[str, str, Update, UpdatedParameter]]:
    """Yield name, words, and the update or the gradient that would lead to the parameter as it is."""
    update, updated, settings = failure.update, failure.updated, failure.update.settings
    if failure.earlier is not None and failure.earlier.shape == updated.grad.shape:
        earlier = failure.earlier.astype(updated.grad.dtype)
        yield "stale gradient", "it is updated with the gradient of the step before", update, replace(updated, grad=earlier)
        words = "it is updated with the sum of this gradient and that of the step before: gradients are added up and not cleared"
        yield "accumulated gradients", words, update, replace(updated, grad=updated.grad + earlier)
    if isinstance(settings, SgdSettings) and settings.momentum and updated.state:
        yield "momentum left out", "there is no momentum, or what is kept of it is lost before the step", update, replace(updated, state={})
    if settings.weight_decay:
        yield "weight decay left out", "weight decay is left out", update_of(replace(settings, weight_decay=0.0)), updated
    factors = [
        (-1.0, "sign", "the sign is wrong: the step goes up the gradient"),
        (2.0, "learning rate factor", "the step is twice as long"),
        (0.5, "learning rate factor", "the step is half as long"),
        (settings.lr, "learning rate factor", "the step is multiplied by the learning rate once more"),
        (float(failure.batch), "learning rate factor", f"the step is multiplied by the batch size, {failure.batch}"),
        (1 / failure.batch, "learning rate factor", f"the step is divided by the batch size, {failure.batch}, once more"),
    ]
    for factor, name, words in factors:
        if factor != 1.0:
            yield name, words, update_of(replace(settings, lr=factor * settings.lr)), updated
    yield from _with_constants_of_their_own(update, updated)


def _with_constants_of_their_own(update: Update, updated: UpdatedParameter) -> Iterator[tuple[str, str, Update, UpdatedParameter]]:
    """Yield a learning rate or a weight decay that was not declared, if it is a number that people choose: any other would explain anything."""
    settings = update.settings
    before = updated.before.astype(np.float64)
    right = update.update(before, updated.grad.astype(np.float64), {name: value.astype(np.float64) for name, value in updated.state.items()})[0]
    moved = updated.after.astype(np.float64) - before
    if (factor := multiple_of(right - before, moved)) and chosen_by_people(factor):
        words = f"the step is {factor:.6g} times as long: the learning rate is not the one declared"
        yield "learning rate factor", words, update_of(replace(settings, lr=factor * settings.lr)), updated
    if isinstance(settings, SgdSettings) and not settings.weight_decay:
        decay = multiple_of(-settings.lr * before, before + moved - right)
        if decay > 0 and chosen_by_people(decay):
            words = f"weight decay of {decay:.6g} is in it, which is not declared"
            yield "weight decay", words, update_of(replace(settings, weight_decay=decay)), updated
