"""Checks of optimizers: parameters and state after each of several steps, and contracts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from crosscheck.adapters.optimizers import Stepper
from crosscheck.causes import Cause
from crosscheck.causes.conventions import named
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.optimizers.fault_models import explained, narrowed
from crosscheck.causes.optimizers.search import OptimizerSearch
from crosscheck.causes.optimizers.trials import Trial
from crosscheck.checks.bench import DoesNotApplyError, complaint, copies, differing
from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.checks.contracts import contract_check
from crosscheck.core.guard import SubjectError, as_array, contained
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers.runs import Expected, Step, expected_of, multiple, value_of
from crosscheck.pairs.optimizer_pair import REVEALS
from crosscheck.pairs.prepare_optimizer import PreparedOptimizers

Gradients = Sequence[Mapping[str, Array]]


def update_check(dtype: str, family: str) -> Check:
    """Return the check of an optimizer's steps in one precision on one family of gradients."""
    about = f"{dtype} parameters and state after each step on {family} gradients, which reveal: {REVEALS[family]}"
    return Check(f"updates-{dtype}-{family}", about, lambda prepared, settings: _run(prepared, settings, dtype, family), dtype)


def _run(prepared: PreparedOptimizers, settings: Settings, dtype: str, family: str) -> CheckResult:
    result = CheckResult(f"updates-{dtype}-{family}", Verdict.SKIPPED)
    if dtype not in prepared.pair.dtypes:
        return replace(result, reason=prepared.pair.precisions_in_words)
    start, grads, precision = prepared.start(dtype, settings.seed), prepared.gradients(family, dtype, settings.seed), prepared.precision(dtype)
    try:
        expected, *others = [expected_of(reference.oracle, start, grads, precision) for reference in prepared.references]
    except RefusedError as error:
        return CheckResult(result.check, Verdict.UNDECIDED, str(error))
    mine = expected
    for name in prepared.pair.velocity:
        mine = multiple(mine, prepared.pair.state[name], -float(prepared.references[0].oracle.settings["lr"]))
    found, result.reason = _followed(prepared, start, grads)
    failed = bool(result.reason)

    @cache
    def question(other: int) -> str:
        """Return words that name the convention in which another reference differs; computed once for each reference."""
        return _question(prepared, start, grads, expected, others[other])

    params_are_off = False
    for number, step in enumerate(found):
        for state, param in itertools.product(("", *prepared.pair.state), start):
            where = prepared.pair.state.get(state, ""), param
            place = Place(number + 1, prepared.pair.title, f"{param}.{state}" if state else param)
            judgement = _judged(place, value_of(step, state, param), mine, number, where, precision)
            judgement = _agreed(judgement, expected, others, number, where, question)
            result.judgements.append((f"step {number + 1}", judgement))
            params_are_off |= not state and judgement.verdict is Verdict.MISMATCH
    first = next((judgement for _, judgement in result.judgements if judgement.verdict is Verdict.MISMATCH), None)
    if first is not None:
        params = [step.params for step in found]
        # If only a state is wrong, the parameters say nothing about the cause.
        cause = (
            (explained(prepared.references[0].oracle, start, grads, params, precision, first) if params_are_off else None)
            or _velocity(prepared, found, expected, precision, first)
            or narrowed(found, expected, prepared.pair.state, precision, first)
            or _without_dtype(prepared, found, expected, precision, first)
            or _searched(prepared, settings, dtype, family, found, expected, first)
        )
        result.divergence = Divergence(first, cause, prepared.convention.source)
    result.conclude()
    return replace(result, verdict=Verdict.MISMATCH) if failed else result


def _searched(
    prepared: PreparedOptimizers, settings: Settings, dtype: str, family: str, found: Sequence[Step], expected: Expected, first: Judgement
) -> Cause | None:
    """Return the mistake that explains all numbers of this run, and those of runs with other seeds, on these gradients and on ordinary ones."""
    if not settings.explain:
        return None
    oracle, precision = prepared.references[0].oracle, prepared.precision(dtype)
    names = {mine: theirs for mine, theirs in prepared.pair.state.items() if mine not in prepared.pair.velocity}

    def trial(seed: int, grads: Gradients, steps: Sequence[Step], expected: Expected) -> Trial:
        named_as_theirs = [Step(step.params, {theirs: step.state[mine] for mine, theirs in names.items()}) for step in steps]
        return Trial(prepared.start(dtype, seed), grads, named_as_theirs, expected, precision)

    def again(number: int) -> list[Trial]:
        seed, trials = settings.seed + number, []
        start, given = prepared.start(dtype, seed), prepared.gradients(family, dtype, seed)
        ordinary = prepared.gradients("normal", dtype, seed)
        for grads in [given] if family == "normal" else [given, ordinary, _mixed(given, ordinary, seed)]:
            steps, reason = _followed(prepared, start, grads)
            if reason:
                return []
            trials.append(trial(seed, grads, steps, expected_of(oracle, start, grads, precision)))
        return trials

    failing = trial(settings.seed, prepared.gradients(family, dtype, settings.seed), found, expected)
    return OptimizerSearch(oracle, failing, again, first).cause


def _mixed(given: Gradients, ordinary: Gradients, seed: int) -> Gradients:
    """Return ordinary gradients with some elements of other ones, in some of the parameters and steps; each step has another share of them."""
    rng = np.random.default_rng(seed)

    def mixed(value: Array, other: Array) -> Array:
        share = rng.random() * rng.integers(2)
        return np.where(rng.random(value.shape) < share, value, other)

    return [{name: mixed(value, right[name]) for name, value in step.items()} for step, right in zip(given, ordinary, strict=False)]


def _without_dtype(prepared: PreparedOptimizers, found: Sequence[Step], expected: Expected, precision: Precision, first: Judgement) -> Cause | None:
    """Return the dtype as the cause if a state is kept in float64 whatever the parameters are, and is right otherwise."""
    param, _, state = first.place.quantity.rpartition(".")
    if state not in prepared.pair.state or state in prepared.pair.velocity:
        return None
    arrays = [step.state[state][param] for step in found]
    if any(value.dtype != np.float64 for value in arrays) or precision.dtype == np.float64:
        return None
    where = prepared.pair.state[state], param
    judgements = [_judged(first.place, value.astype(precision.dtype), expected, number, where, precision) for number, value in enumerate(arrays)]
    if any(judgement.verdict is not Verdict.MATCH for judgement in judgements):
        return None
    worst = max(judgements, key=lambda judgement: judgement.fraction)
    words = f"{state} is kept in float64, expected {precision.dtype}: np.zeros(shape) has no dtype of its own; use np.zeros_like(param)"
    return Cause("array without dtype", words, first.units, worst.units, worst.fraction)


def _followed(prepared: PreparedOptimizers, start: Mapping[str, Array], grads: Gradients) -> tuple[list[Step], str]:
    """Run the subject's steps. Return its parameters and state after each step, and why a step failed (empty if none failed)."""
    steps: list[Step] = []
    try:
        with contained("making the optimizer"):
            stepper = prepared.convention.stepper(copies(dict(start)))
        for number, given in enumerate(grads):
            with contained(f"step {number + 1}"):
                stepper.step(copies(dict(given)))
            with contained("reading parameters and state"):
                params = _arrays(stepper.params(), start, "")
                state = {name: _arrays(stepper.state(name), start, f".{name}") for name in prepared.pair.state}
            steps.append(Step(params, state))
    except SubjectError as error:
        return steps, error.reason
    return steps, ""


def _arrays(given: Mapping[str, object], start: Mapping[str, Array], suffix: str) -> dict[str, Array]:
    """Return a copy of each parameter's array; raise :class:`SubjectError` if an array is missing."""
    if missing := [name for name in start if name not in given]:
        raise SubjectError(f"{missing[0]}{suffix} is missing")
    return {name: np.array(as_array(given[name], f"{name}{suffix}", value.dtype)) for name, value in start.items()}


def _judged(place: Place, found: Array, expected: Expected, number: int, where: tuple[str, str], precision: Precision) -> Judgement:
    return judge(place, Kind.UPDATE, found, expected.value(number, *where), expected.bounds[number][where], precision)


def _question(prepared: PreparedOptimizers, start: Mapping[str, Array], grads: Gradients, expected: Expected, other: Expected) -> str:
    """Return words that name the convention on which two references differ; empty if no known convention explains the difference."""
    double = prepared.precision("float64")
    for number, step in enumerate(other.steps):
        for param, value in step.params.items():
            between = _judged(Place(number + 1, prepared.pair.title, param), value, expected, number, ("", param), double)
            if between.verdict is Verdict.MISMATCH:
                params = [left.params for left in other.steps]
                cause = explained(prepared.references[0].oracle, start, grads, params, double, between)
                return "" if cause is None else named(cause.name)
    return ""


def _agreed(
    judgement: Judgement, expected: Expected, others: Sequence[Expected], number: int, where: tuple[str, str], question: Callable[[int], str]
) -> Judgement:
    """Return the judgement, or ``undecided`` if the references disagree."""
    double = Precision(np.dtype(np.float64), max(judgement.elements, 1))
    for index, other in enumerate(others):
        between = _judged(judgement.place, other.value(number, *where), expected, number, where, double)
        if between.verdict is not Verdict.MATCH and between.worst is not None:
            reason = f"the references disagree at {list(between.worst.index)}: {between.worst.oracle!r} and {between.worst.subject!r}"
            reason += question(index)
            return Judgement(judgement.place, Kind.UPDATE, Verdict.UNDECIDED, judgement.elements, reason=reason)
    return judgement


def _velocity(prepared: PreparedOptimizers, found: Sequence[Step], expected: Expected, precision: Precision, first: Judgement) -> Cause | None:
    """Return the cause if a state is right in every step, but as a velocity where a sum of gradients is declared, or the other way round."""
    param, _, state = first.place.quantity.rpartition(".")
    if state not in prepared.pair.state or not param:
        return None
    theirs, rate = prepared.pair.state[state], float(prepared.references[0].oracle.settings["lr"])
    if state in prepared.pair.velocity:
        mine, words = expected, f"{state} is a sum of gradients, as in the reference, but is declared to be a velocity; remove velocity from the pair"
    else:
        mine = multiple(expected, theirs, -rate)
        words = f"{state} is a velocity, -{rate:g} times the reference's {theirs}, which is right, too; declare velocity=({state!r},)"
    judgements = [_judged(first.place, step.state[state][param], mine, number, (theirs, param), precision) for number, step in enumerate(found)]
    if any(judgement.verdict is not Verdict.MATCH for judgement in judgements):
        return None
    worst = max(judgements, key=lambda judgement: judgement.fraction)
    return Cause("velocity form", words, first.units, worst.units, worst.fraction)


@dataclass(frozen=True)
class Bench:
    """An optimizer to try contracts on, with initial parameters and the gradients of a few steps."""

    prepared: PreparedOptimizers
    start: dict[str, Array]
    grads: Gradients

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        with contained("making the optimizer"):
            return self.prepared.convention.stepper(params)

    def step(self, stepper: Stepper, number: int) -> dict[str, Array]:
        """Do one step and return copies of the updated parameters."""
        with contained(f"step {number + 1}"):
            stepper.step(copies(dict(self.grads[number])))
            return _arrays(stepper.params(), self.start, "")

    def alone(self) -> list[dict[str, Array]]:
        """Return the parameters after each step of a fresh optimizer."""
        stepper = self.stepper(copies(self.start))
        return [self.step(stepper, number) for number in range(len(self.grads))]


def gradients_are_left_alone(bench: Bench) -> str:
    """A step changes the gradients that it was given."""
    stepper = bench.stepper(copies(bench.start))
    for number, grads in enumerate(bench.grads, start=1):
        given = copies(dict(grads))
        with contained(f"step {number}"):
            stepper.step(given)
        if changed := differing(dict(grads), given):
            return f"changed in place in step {number}: the gradients of {changed}"
    return ""


def state_is_not_a_view(bench: Bench) -> str:
    """The optimizer's state shares memory with the gradients, which the next backward pass may overwrite."""
    alone, stepper, given = bench.alone(), bench.stepper(copies(bench.start)), copies(dict(bench.grads[0]))
    for number, expected in enumerate(alone):
        for name, value in bench.grads[number].items():
            given[name][...] = value
        with contained(f"step {number + 1}"):
            stepper.step(given)
        if changed := differing(expected, _arrays(stepper.params(), bench.start, "")):
            return f"wrong in step {number + 1} if its gradients overwrite those of the step before: {changed}; a gradient was kept without a copy"
    return ""


def params_are_updated_in_place(bench: Bench) -> str:
    """The new values are not written into the caller's arrays, so that layers which hold these arrays are not trained."""
    params = copies(bench.start)
    arrays, stepper = dict(params), bench.stepper(params)
    after = bench.step(stepper, 0)
    if stepper.elsewhere:
        raise DoesNotApplyError("new parameters are returned, or put into the objects that hold them")
    return complaint("the caller's arrays do not hold the new values of", differing(after, arrays))


def instances_share_no_state(bench: Bench) -> str:
    """Two optimizers made in the same way share their state."""
    alone = bench.alone()
    first, second = bench.stepper(copies(bench.start)), bench.stepper(copies(bench.start))
    for number, expected in enumerate(alone):
        bench.step(first, number)
        if changed := differing(expected, bench.step(second, number)):
            return f"while another optimizer takes the same steps, step {number + 1} differs in: {changed}"
    return ""


def same_start_same_result(bench: Bench) -> str:
    """The same steps from the same start give different results."""
    for number, (once, twice) in enumerate(zip(bench.alone(), bench.alone(), strict=True)):
        if changed := differing(once, twice):
            return f"different the second time, at step {number + 1}: {changed}"
    return ""


def dtype_is_kept(bench: Bench) -> str:
    """A step changes the precision of the parameters."""
    dtypes = {name: value.dtype for name, value in bench.alone()[-1].items()}
    wrong = [f"{name} is {dtype}" for name, dtype in dtypes.items() if dtype != bench.start[name].dtype]
    return f"{', '.join(wrong)} after a step from {next(iter(bench.start.values())).dtype}" if wrong else ""


CONTRACTS: dict[str, Callable[[Bench], str]] = {
    contract.__name__: contract
    for contract in (
        gradients_are_left_alone,
        state_is_not_a_view,
        params_are_updated_in_place,
        instances_share_no_state,
        same_start_same_result,
        dtype_is_kept,
    )
}


def update_contract_check(name: str) -> Check:
    """Return the check of one contract of an optimizer."""

    def bench(prepared: PreparedOptimizers, dtype: str, seed: int) -> Bench:
        return Bench(prepared, prepared.start(dtype, seed), prepared.gradients("normal", dtype, seed))

    return contract_check(CONTRACTS[name], bench)
