"""Known mistakes in training steps: gradients and updates in the wrong order, and wrong updates of a parameter.

They are found in the trace of a step. It holds values that a layer tested alone does not show: the parameters after the update, and the gradients of
the previous step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from crosscheck.causes import Candidate, Cause
from crosscheck.causes.candidate import in_words, recomputed
from crosscheck.causes.optimizers.fault_models import WRONG_SIGN
from crosscheck.causes.scale import NEIGHBOURS, is_round_number, multiple_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.chain import StageRun, sources_of
from crosscheck.oracles.optimizers import Settings, SgdSettings, Update, UpdatedParameter, judge_update

NOT_UPDATED = "the parameter is not updated: it is the same after the step as before"


def explained_in_step(failure: Failure, after: Mapping[str, Array], earlier: Array | None) -> Cause | None:
    """Return the mistake in a training step that explains a layer's wrong result; None if no known mistake does.

    ``after`` are the layer's parameters after the step, ``earlier`` is the same quantity in the previous step.
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
        words = "the gradient is passed on by the updated parameters: compute it before the update"
        yield recomputed(failure, "updated weight", words, updated)
    if quantity.endswith(".grad") and earlier is not None and earlier.shape == failure.expected.shape:
        yield Candidate("stale gradient", f"{in_words(quantity)} is the gradient of the previous step", earlier)
        both = Bound(failure.bound.abs_sum + np.abs(earlier), failure.bound.n_roundings + np.float64(1))
        words = f"{in_words(quantity)} includes the gradient of the previous step: gradients are added up and not cleared"
        yield Candidate("accumulated gradients", words, failure.expected + earlier, both)


def grads_by_updated_params(runs: Sequence[StageRun], names: Sequence[str], after: Mapping[tuple[str, str], Array]) -> dict[tuple[str, str], Array]:
    """Return the parameter gradients that result if every layer computes its input gradient from its updated parameters.

    The result is empty unless the layers form a chain. ``runs`` are the oracle's results for each layer, with the loss last. ``after`` are the
    parameters after the step.
    """
    grads: dict[tuple[str, str], Array] = {}
    stages = [run.stage for run in runs]
    if any(sources_of(stages, index) != (index - 1,) for index in range(1, len(stages))):
        return grads
    grad_output = runs[-1].result["grad_input"]
    for name, run in zip(reversed(names[:-1]), reversed(runs[:-1]), strict=True):
        call, oracle = run.call.with_grad_output(grad_output), run.stage.oracle
        updated = {key: after[name, key].astype(np.float64) for key in call.params}
        result = oracle.vjp(call)
        grads |= {(name, key): result[f"{key}.grad"] for key in call.params}
        grad_output = oracle.vjp(replace(call, params=updated))["grad_input"]
    return grads


def explained_update(
    first: Judgement, settings: Settings, updated: UpdatedParameter, earlier: Array | None, batch: int, precision: Precision, reading: Bound | None
) -> Cause | None:
    """Return the mistake that explains a wrongly updated parameter; None if no known mistake does.

    ``settings`` are the reference optimizer's settings and ``earlier`` is the gradient of the previous step. ``reading`` bounds the error made in
    inferring the gradient, if it is not stored.
    """
    if np.array_equal(updated.after, updated.before) and np.any(updated.grad):
        return Cause("not updated", NOT_UPDATED, first.units, 0.0, 0.0)

    def judged(other: Settings, given: UpdatedParameter = updated) -> Judgement:
        return next(judge_update(Update(other), given, first.place, precision, reading))

    for name, words, other, given in _other_updates(settings, updated, earlier, batch):
        if (found := judged(other, given)).verdict is Verdict.MATCH:
            return Cause(name, words, first.units, found.units, found.fraction)
    for name, words, with_constant in _undeclared_settings(settings, updated):
        # If rounding hides the last digit, other constants explain the update as well.
        neighbours = (judged(with_constant(1 + distance)).verdict for distance in (-NEIGHBOURS, NEIGHBOURS))
        if (found := judged(with_constant(1.0))).verdict is Verdict.MATCH and Verdict.MATCH not in neighbours:
            return Cause(name, words, first.units, found.units, found.fraction)
    return None


def _other_updates(
    settings: Settings, updated: UpdatedParameter, earlier: Array | None, batch: int
) -> Iterator[tuple[str, str, Settings, UpdatedParameter]]:
    """For each known mistake, yield its name, its message, the settings of the wrong update and the values that it starts from."""
    if earlier is not None and earlier.shape == updated.grad.shape:
        earlier = earlier.astype(updated.grad.dtype)
        yield "stale gradient", "the parameter is updated with the gradient of the previous step", settings, replace(updated, grad=earlier)
        words = "the parameter is updated with the sum of the gradients of this step and the previous step: gradients are added up and not cleared"
        yield "accumulated gradients", words, settings, replace(updated, grad=updated.grad + earlier)
    if isinstance(settings, SgdSettings) and settings.momentum and updated.state:
        yield "momentum left out", "there is no momentum, or its buffer is lost before the step", settings, replace(updated, state={})
    if settings.weight_decay:
        yield "weight decay left out", "weight decay is left out", replace(settings, weight_decay=0.0), updated
    factors = [
        (-1.0, "sign", WRONG_SIGN),
        (2.0, "learning rate factor", "the step is twice as long"),
        (0.5, "learning rate factor", "the step is half as long"),
        (settings.lr, "learning rate factor", "the step is multiplied by the learning rate once more"),
        (float(batch), "learning rate factor", f"the step is multiplied by the batch size, {batch}"),
        (1 / batch, "learning rate factor", f"the step is divided by the batch size, {batch}, once more"),
    ]
    for factor, name, words in factors:
        if factor != 1.0:
            yield name, words, replace(settings, lr=factor * settings.lr), updated


def _undeclared_settings(settings: Settings, updated: UpdatedParameter) -> Iterator[tuple[str, str, Callable[[float], Settings]]]:
    """Yield a learning rate or weight decay other than declared, if it has few digits: an arbitrary number could explain any update.

    The function with each returns the settings with a multiple of the constant.
    """
    before, state = updated.before.astype(np.float64), {name: value.astype(np.float64) for name, value in updated.state.items()}
    right = Update(settings).update(before, updated.grad.astype(np.float64), state)[0]
    moved = updated.after.astype(np.float64) - before
    if (factor := multiple_of(right - before, moved)) and is_round_number(factor):
        words = f"the step is {factor:.6g} times as long: the learning rate is not the declared one"
        yield "learning rate factor", words, lambda scale: replace(settings, lr=scale * factor * settings.lr)
    if isinstance(settings, SgdSettings) and not settings.weight_decay:
        decay = multiple_of(-settings.lr * before, before + moved - right)
        if decay > 0 and is_round_number(decay):
            words = f"the update includes a weight decay of {decay:.6g}, which is not declared"
            yield "weight decay", words, lambda scale: replace(settings, weight_decay=scale * decay)
