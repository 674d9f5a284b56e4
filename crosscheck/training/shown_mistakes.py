"""Known mistakes in a training step that shows only its loss and parameters: in the batch, in the loss that it returns, and in the update.

Each of them is a function of a step, so that it can be tested on the next step, too. What it keeps from step to step, such as the buffers of a wrong
optimizer, is passed on to the mistake in the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from crosscheck.causes.scale import NEIGHBOURS, with_few_digits
from crosscheck.causes.wiring import ORDERS
from crosscheck.core.formats import BRAIN_CUT, LOWER, Format
from crosscheck.core.operation import Arrays, Labels
from crosscheck.core.precision import Array, Bound
from crosscheck.core.trace import key_of
from crosscheck.core.training import TrainState
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.oracles.step import OracleStep, updated_from
from crosscheck.training.shown_step import LOSS, Followed, Mistake, ShownStep

MOST_LEFT_OUT = 4
"""The largest number of samples of a batch that may have been left out."""

Change = Callable[[ShownStep], tuple[Array, Labels] | None]
"""Function that returns the batch and the labels that a step takes with a mistake; None if it takes none."""

Penalty = Callable[[Array], Array]


def mistakes(step: ShownStep) -> Iterator[Mistake]:
    """Yield the known mistakes that may explain a wrong step."""
    if step.found[LOSS].size == 1:
        yield from _of_the_loss(step)
    yield from _of_the_update(step)
    for name, words, change in _batches(step):
        yield Mistake(name, words, partial(_on_another_batch, name, words, change, step.start))


# --- the batch


def _batches(step: ShownStep) -> Iterator[tuple[str, str, Change]]:
    for count in range(1, min(len(step.x), MOST_LEFT_OUT + 1)):
        samples = "sample of the batch is" if count == 1 else f"{count} samples of the batch are"
        for end in ("last", "first"):
            words = f"the {end} {samples} left out: the loss and its gradients have to include every sample of the batch"
            yield "sample left out", words, partial(_without, count, end)
    for words, order in ORDERS.items():
        yield "labels in another order", words, partial(_ordered, order)
    if step.batches:
        for which, index in (("first", 0), ("previous", -1)):
            yield "earlier batch", f"the step uses the batch of the {which} step: use the batch that it is given", partial(_earlier, index, True)
            words = f"the step uses the labels of the {which} step: use the labels that it is given"
            yield "earlier labels", words, partial(_earlier, index, False)


def _without(count: int, end: str, step: ShownStep) -> tuple[Array, Labels] | None:
    kept = slice(None, -count) if end == "last" else slice(count, None)
    return (step.x[kept], step.labels[kept]) if count < len(step.x) else None


def _ordered(order: Callable[[Labels], Labels], step: ShownStep) -> tuple[Array, Labels]:
    return step.x, order(step.labels)


def _earlier(index: int, whole: bool, step: ShownStep) -> tuple[Array, Labels] | None:
    if not step.batches:
        return None
    x, labels = step.batches[index]
    return (x if whole else step.x), labels


def _on_another_batch(name: str, words: str, change: Change, state: TrainState, step: ShownStep) -> Followed | None:
    """Repeat a step on another batch; the optimizer's state is that of earlier steps on such batches."""
    if (batch := change(step)) is None:
        return None
    repeated = step.repeated(_with_state(step, state), *batch)
    return Followed(repeated.expected, Mistake(name, words, partial(_on_another_batch, name, words, change, _state_of(repeated))))


def _with_state(step: ShownStep, state: TrainState) -> TrainState:
    return TrainState(step.start.params, state.state, step.start.buffers, state.state_errors, step.start.constants)


def _state_of(step: OracleStep) -> TrainState:
    return TrainState({}, step.state, state_errors=step.state_errors)


# --- the loss that is returned


def _of_the_loss(step: ShownStep) -> Iterator[Mistake]:
    words = "the loss is computed from the updated parameters: compute it before the update"
    yield Mistake("loss after the update", words, _after_the_update)
    right, _ = step.loss
    found = step.found[LOSS].item()
    if step.last_loss is not None and (before := step.last_loss.item()) != right:
        words = "the loss is the mean of the losses of all steps so far: return the loss of this step"
        yield Mistake("running mean", words, _mean_of_all)
        for share in with_few_digits((found - right) / (before - right)):
            if 0 < share < 1:
                words = f"the loss is a running mean, {share:g} times the last one plus {1 - share:g} times this step's: return the loss of this step"
                yield Mistake("running mean", words, partial(_mixed, share))
        yield Mistake("loss of the previous step", "the loss is that of the previous step: return the loss of this step", _of_the_step_before)
    yield from _penalties(step, found - right)


def _with_loss(step: ShownStep, value: float, terms: float, roundings: float, difference: float) -> Followed:
    """Return the right step with another loss, whose error bound is that of the right loss and ``roundings`` of ``terms``.

    The step is evidence if a constant that multiplies ``difference`` is known to all its digits.
    """
    bound = Bound(step.precision.error(step.loss[1]) + np.asarray(roundings * terms), 1.0)
    shows = abs(difference) * NEIGHBOURS > float(step.precision.tolerance(bound))
    return Followed({**step.right.expected, LOSS: (np.asarray(value), bound)}, shows=shows)


def _after_the_update(step: ShownStep) -> Followed:
    updated = step.repeated(TrainState(step.after, buffers=step.start.buffers, constants=step.start.constants), step.x, step.labels)
    return Followed({**step.right.expected, LOSS: updated.expected[LOSS]})


def _of_the_step_before(step: ShownStep) -> Followed | None:
    return None if step.right_loss is None else Followed({**step.right.expected, LOSS: step.right_loss})


def _mean_of_all(step: ShownStep) -> Followed | None:
    return _mixed(1 - 1 / step.number, step)


def _mixed(share: float, step: ShownStep) -> Followed | None:
    """Return a step whose loss is a mean of the loss that the previous step returned and of its own."""
    if step.last_loss is None:
        return None
    before, own = share * step.last_loss.item(), (1 - share) * step.loss[0]
    return _with_loss(step, before + own, abs(before) + abs(own), 3, step.last_loss.item() - step.loss[0])


PENALTIES: dict[str, Penalty] = {"squares": np.square, "sizes": np.abs}
"""Functions of a weight whose sum is a penalty, by what is summed up."""


def _penalties(step: ShownStep, excess: float) -> Iterator[Mistake]:
    for what, penalty in PENALTIES.items():
        for every in (False, True):
            for late in (False, True):
                total = _sum_of(penalty, every, late, step)
                for factor in with_few_digits(excess / total) if total else ():
                    of = "parameters" if every else "weights"
                    words = (
                        f"the loss includes {factor:g} times the sum of the {what} of the {'updated ' * late}{of}, and the gradients do not: "
                        "add the penalty to both or to neither"
                    )
                    yield Mistake("penalty in the loss alone", words, partial(_penalised, words, factor, penalty, every, late, None))


def _sum_of(penalty: Penalty, every: bool, late: bool, step: ShownStep) -> float:
    values: Arrays = step.after if late else step.start.params
    trained = {name: value for name, value in values.items() if key_of(name)[0] not in step.architecture.frozen}
    return float(sum(penalty(value.astype(np.float64)).sum() for value in trained.values() if every or value.ndim > 1))


def _penalised(words: str, factor: float, penalty: Penalty, every: bool, late: bool, before: float | None, step: ShownStep) -> Followed:
    """Return a step whose loss includes a penalty. A penalty as large as in the first wrong step is no evidence: it may be a constant."""
    total = _sum_of(penalty, every, late, step)
    added, size = factor * total, sum(value.size for value in step.start.params.values())
    followed = _with_loss(step, step.loss[0] + added, abs(added), size, added)
    room = float(step.precision.tolerance(followed.expected[LOSS][1]))
    first = total if before is None else before
    later = Mistake("penalty in the loss alone", words, partial(_penalised, words, factor, penalty, every, late, first))
    return replace(followed, later=later, shows=followed.shows and (before is None or abs(factor * (total - before)) > room))


# --- the update


def _of_the_update(step: ShownStep) -> Iterator[Mistake]:
    settings = step.architecture.update.settings
    if isinstance(settings, SgdSettings) and settings.momentum:
        words = "there is no momentum, or its buffer is lost before the step: keep one buffer for each parameter from step to step"
        yield Mistake("momentum left out", words, _without_state)
        yield from _shared_buffers(step)
    yield from _formats(step)


def _without_state(step: ShownStep) -> Followed:
    return Followed(updated_from(step.architecture, step.right, TrainState(step.start.params), step.precision).expected)


def _shared_buffers(step: ShownStep) -> Iterator[Mistake]:
    names = [name for name in step.start.params if key_of(name) in step.right.expected]
    shapes = {name: step.start.params[name].shape for name in names}
    own = {layer: [name for name in names if key_of(name)[0] == layer] for layer in step.architecture.names}
    pairs = [(one, other, [(one, other)]) for one, other in combinations(names, 2)]
    pairs += [
        (one, other, list(zip(own[one], own[other], strict=False))) for one, other in combinations(own, 2) if len(own[one]) == len(own[other]) > 1
    ]
    wrong = {".".join(key) for key in step.wrong}
    for one, other, together in pairs:
        if wrong <= {name for pair in together for name in pair} and all(shapes[first] == shapes[second] for first, second in together):
            for turned in (False, True):
                words = f"{one} and {other} share a momentum buffer ({other if turned else one} is updated first): keep one buffer for each parameter"
                groups = [pair[::-1] if turned else pair for pair in together]
                yield Mistake("shared buffer", words, partial(_sharing, words, groups, step.start))


def _sharing(words: str, groups: list[tuple[str, str]], state: TrainState, step: ShownStep) -> Followed:
    """Update each first parameter of a group, and then the second from the buffer that the first left; all others keep their own."""
    start = _with_state(step, state)
    first = updated_from(step.architecture, step.right, start, step.precision)
    values, errors = dict(start.state), dict(start.state_errors)
    for one, other in groups:
        values[other], errors[other] = first.state[one], first.state_errors[one]
    handed_on = TrainState(start.params, values, state_errors=errors)
    second = updated_from(step.architecture, step.right, handed_on, step.precision)
    left = _state_of(second)
    values, errors = dict(left.state), dict(left.state_errors)
    for one, other in groups:
        values[one], errors[one] = left.state[other], left.state_errors[other]
    kept = TrainState({}, values, state_errors=errors)
    return Followed(second.expected, Mistake("shared buffer", words, partial(_sharing, words, groups, kept)))


def _formats(step: ShownStep) -> Iterator[Mistake]:
    dtype = step.precision.dtype
    for kept in (*reversed(LOWER.get(dtype, ())), BRAIN_CUT):
        if _held(kept, step):
            words = f"the updated parameters are {kept.in_words}: keep them in {dtype}"
            yield Mistake("lower precision", words, partial(_in_a_format, kept))


def _in_a_format(kept: Format, step: ShownStep) -> Followed | None:
    """Return a step whose updated parameters are rounded to a format: those found, as far as rounding before it may lead to them."""
    if not _held(kept, step):
        return None
    expected = dict(step.right.expected)
    for name, found in step.after.items():
        if (key := key_of(name)) in expected:
            value, bound = expected[key]
            room = step.precision.tolerance(bound)
            low, high = (kept.rounded(np.asarray(end, step.precision.dtype)).astype(np.float64) for end in (value - room, value + room))
            expected[key] = np.clip(found.astype(np.float64), low, high), Bound(np.zeros_like(value), 1.0)
    return Followed(expected)


def _held(kept: Format, step: ShownStep) -> bool:
    trained = [value for name, value in step.after.items() if key_of(name) in step.right.expected and value.any()]
    return bool(trained) and all(kept.holds(value) for value in trained)
