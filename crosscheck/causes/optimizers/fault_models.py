"""Known mistakes in optimizers: the reference is run with a changed setting or formula, or with changed gradients.

A mistake is reported only if every parameter then agrees after every step, as closely as rounding allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.causes import Cause
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.core.precision import Precision
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Expected, OptimizerMutant, OptimizerOracle, Step, expected_of, value_of

WRONG_SIGN = "the sign is wrong: the step goes up the gradient"

_LONG_AGO = 1e9
"""A number of steps so large that the bias correction is 1."""

_EPSILONS = (0.0, 1e-16, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Values of epsilon in common use."""

_INITIAL = (1.0, 0.1, 1e-10)
"""Values other than 0 at which frameworks start a mean or a sum of squares."""

_WORTH_MEASURING = 16
"""A fault's rounding errors are measured, in many runs, only if it is this many times closer to the numbers found than the correct run."""

_MEASURED = 4
"""The rounding errors of at most this many faults are measured, the closest first."""


@dataclass(frozen=True)
class UpdateFault:
    """A mistake in an optimizer: a changed setting or formula, or wrong gradients ``grads`` in place of the right ones."""

    name: str
    words: str
    variant: OptimizerMutant = AS_IT_IS
    grads: Sequence[Arrays] | None = None
    fitted: bool = False


def explained(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], found: Sequence[Arrays], precision: Precision, first: Judgement
) -> Cause | None:
    """Return the mistake that explains ``found``, all parameters after each step; None if no known mistake does.

    ``start`` are the parameters before the first step, ``grads`` are the gradients of each step, and ``first`` is the first mismatch.
    """
    wide = [{name: value.astype(np.float64) for name, value in given.items()} for given in grads]
    try:
        right = [step.params for step in oracle.run(start, wide)]
    except RefusedError:
        return None
    if not found or any(value.shape != right[0][name].shape or not np.isfinite(value).all() for given in found for name, value in given.items()):
        return None
    if all(np.array_equal(value, start[name]) for given in found for name, value in given.items()):
        # This case comes first because any fault that makes the steps short enough would explain it, too.
        words = "no parameter changes on these gradients: they are never updated, or small steps are cut off"
        return Cause("not updated", words, first.units, 0.0, 0.0)
    before = _distance(found, right)
    nearest: list[tuple[bool, float, UpdateFault]] = []
    for fault in _faults(oracle.settings, start, wide, found, right):
        with suppress(RefusedError):
            distance = _distance(found, [step.params for step in oracle.run(start, fault.grads or wide, fault.variant)])
            if distance * _WORTH_MEASURING <= before:
                nearest.append((fault.fitted, distance, fault))
    nearest.sort(key=lambda one: one[:2])
    for _, _, fault in nearest[:_MEASURED]:
        expected = expected_of(oracle, start, fault.grads or wide, precision, fault.variant)
        if (worst := _worst_match(found, expected, precision, first)) is not None:
            return Cause(fault.name, fault.words, first.units, worst.units, worst.fraction, fault.fitted)
    return None


def _faults(
    settings: Mapping[str, Any], start: Arrays, grads: Sequence[Arrays], found: Sequence[Arrays], right: Sequence[Arrays]
) -> Iterator[UpdateFault]:
    if "maximize" in settings:
        yield _with("sign", WRONG_SIGN, maximize=not settings["maximize"])
    yield from _in_momentum(settings)
    yield from _in_decay(settings)
    yield from _in_means(settings)
    yield from _in_epsilon(settings, len(grads))
    yield from _in_state(settings)
    yield from _in_initial_values(settings)
    yield from _in_rate(start, found, right)
    yield from _in_gradients(grads, settings)


def agreeing(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], found: Sequence[Arrays], precision: Precision, first: Judgement
) -> Judgement | None:
    """Return the verdict with the largest error if an optimizer explains all parameters after each step; None if it does not."""
    try:
        return _worst_match(found, expected_of(oracle, start, grads, precision), precision, first)
    except RefusedError:
        return None


def _worst_match(found: Sequence[Arrays], expected: Expected, precision: Precision, first: Judgement) -> Judgement | None:
    """Return the verdict with the largest error as a fraction of its tolerance; None if any parameter of any step is a mismatch."""
    judgements = [
        judge(first.place, Kind.UPDATE, value, expected.value(number, "", name), expected.bounds[number]["", name], precision)
        for number, given in enumerate(found)
        for name, value in given.items()
    ]
    if any(judgement.verdict is not Verdict.MATCH for judgement in judgements):
        return None
    return max(judgements, key=lambda judgement: judgement.fraction)


def _mutant(name: str, words: str, **changes: Any) -> UpdateFault:
    """Return a fault that changes the optimizer."""
    return UpdateFault(name, words, OptimizerMutant(**changes))


def _with(name: str, words: str, **settings: Any) -> UpdateFault:
    """Return a fault that changes some settings."""
    return _mutant(name, words, settings=settings)


def _distance(found: Sequence[Arrays], other: Sequence[Arrays]) -> float:
    return float(sum(np.abs(mine[name] - theirs[name]).sum() for mine, theirs in zip(found, other, strict=False) for name in mine))


def _in_decay(settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    decay = settings.get("weight_decay", 0)
    if not decay:
        return
    if settings.get("decoupled_weight_decay"):
        words = "weight decay is coupled: it is added to the gradient instead of applied to the parameter directly"
        yield _with("weight decay coupled", words, decoupled_weight_decay=False)
        words = "weight decay is applied to the parameter after the step instead of before it"
        yield _mutant("weight decay after the step", words, settings={"weight_decay": 0}, decoupled=decay, shrunk_last=True)
        words = "weight decay is not multiplied by the learning rate"
        yield _with("weight decay without the learning rate", words, weight_decay=decay / settings["lr"])
    else:
        words = "weight decay is decoupled: it is applied to the parameter directly instead of added to the gradient"
        yield _mutant("weight decay decoupled", words, settings={"weight_decay": 0}, decoupled=decay)
    yield _with("weight decay left out", "weight decay is left out", weight_decay=0)
    yield _with("weight decay sign", "weight decay has the wrong sign: the parameters grow", weight_decay=-decay)
    for factor, words in ((2, "twice as large: the derivative of decay * w²"), (0.5, "half as large")):
        yield _with("weight decay factor", f"weight decay is {words}", weight_decay=factor * decay)


def _in_means(settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    """Yield mistakes in the running means of the gradients and of their squares."""
    for name in ("alpha", "rho"):
        if name in settings:
            words = f"{name} and 1 - {name} are exchanged: {settings[name]:.6g} multiplies the new value instead of the running mean"
            yield _with("running mean the other way round", words, **{name: 1 - settings[name]})
    if "centered" in settings:
        roots = "the root of the mean of the squares", "the root of the variance (centered)"
        used, expected = roots if settings["centered"] else reversed(roots)
        words = f"the step is divided by {used} instead of {expected}"
        yield _with("centered", words, centered=not settings["centered"])
    if "betas" not in settings:
        return
    yield _mutant("bias correction left out", "the bias correction of the running means is left out", time=lambda *_: _LONG_AGO)
    yield _with("betas exchanged", "the two betas are exchanged", betas=tuple(reversed(settings["betas"])))
    yield _mutant("bias correction off by one", "the bias correction counts one step too many", time=lambda step, *_: step + 1)
    words = "every step has the bias correction of the first step: the steps are not counted"
    yield _mutant("steps not counted", words, time=lambda *_: 1)
    words = "the step count is increased once for each parameter, so the bias correction counts too many steps"
    yield _mutant("steps counted per parameter", words, time=lambda step, index, count: (step - 1) * count + index + 1)


def _in_epsilon(settings: Mapping[str, Any], steps: int) -> Iterator[UpdateFault]:
    """Yield wrong values of epsilon, and wrong places to add it: inside or outside the root, or before the bias correction."""
    if "eps" not in settings:
        return
    eps, nothing = settings["eps"], {"eps": 0.0}
    for other in _EPSILONS:
        if other != eps:
            yield _with("another epsilon", f"epsilon is {other:g} instead of {eps:g}", eps=other)
    inside = "epsilon is added inside the root instead of to the root"
    outside = "epsilon is added to the root instead of inside the root"
    if "rho" in settings:
        yield _mutant("epsilon outside the root", outside, settings=nothing, roots=[(0.0, eps)] * steps)
        return
    yield _mutant("epsilon inside the root", inside, settings=nothing, roots=[(eps, 0.0)] * steps)
    if "betas" in settings:
        corrected = [(eps * (1 - settings["betas"][1] ** step), 0.0) for step in range(1, steps + 1)]
        yield _mutant("epsilon inside the root", inside, settings=nothing, roots=corrected)
        words = "epsilon is added to the root before the bias correction instead of after it"
        yield _mutant("epsilon before the bias correction", words, settings=nothing, roots=[(0.0, eps)] * steps)


def _in_state(settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    """Yield mistakes in the state that an optimizer keeps from step to step, if it keeps any."""
    if not ({"betas", "alpha", "rho"} & set(settings) or settings.get("momentum", 0)):
        return
    yield _mutant("state shared", "all parameters share one state instead of each having its own", state="shared")
    if "dampening" not in settings or settings["nesterov"]:
        # For plain momentum, a lost state is reported as "momentum left out".
        yield _mutant("state lost", "the optimizer's state is lost before each step", state="lost")
    if "betas" in settings:
        words = "the running means are lost before each step, but the steps are counted"
        yield _mutant("state lost", words, state="lost", time=lambda step, *_: step)


def _in_initial_values(settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    """Yield a mean or a sum of squares that starts at another number than the reference's."""
    if "initial_accumulator_value" in settings:
        started = settings["initial_accumulator_value"]
        for value in (0.0, *_INITIAL):
            if value != started:
                words = f"the sum of the squares starts at {value:g}, expected {started:g}: set it before the first step"
                yield _mutant("another initial state", words, initial={"sum": value})
    elif "alpha" in settings or "rho" in settings:
        for value in _INITIAL:
            words = f"the running mean of the squares starts at {value:g}, expected 0: start with np.zeros_like(param)"
            yield _mutant("another initial state", words, initial={"square_avg": value})


def _in_momentum(settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    momentum = settings.get("momentum", 0)
    if not momentum:
        return
    words = "there is no momentum, or its buffer is lost before each step"
    yield _with("momentum left out", words, momentum=0, **({"nesterov": False} if "nesterov" in settings else {}))
    if "dampening" not in settings:
        return
    if settings["dampening"] != momentum:
        words = f"dampening: {1 - momentum:.6g} times the gradient is added to the buffer, as in a running mean, instead of the whole gradient"
        yield _with("dampening", words, nesterov=False, dampening=momentum)
        if not settings["dampening"]:
            # If the buffer starts at zero, the first gradient is dampened, too, so every step is shorter by the same factor.
            yield _mutant("dampening", words, lr_factor=1 - momentum)
    if settings["dampening"]:
        yield _with("dampening left out", "the whole gradient is added to the buffer, without dampening", nesterov=False, dampening=0)
    words = f"momentum and 1 - momentum are exchanged: {momentum:.6g} multiplies the gradient instead of the buffer"
    yield _with("momentum the other way round", words, nesterov=False, momentum=1 - momentum, dampening=1 - momentum)
    if settings["nesterov"]:
        yield _with("nesterov left out", "plain momentum is used instead of Nesterov's", nesterov=False)
    elif not settings["dampening"]:
        yield _with("nesterov", "Nesterov's momentum is used instead of plain momentum", nesterov=True)


def _in_rate(start: Arrays, found: Sequence[Arrays], right: Sequence[Arrays]) -> Iterator[UpdateFault]:
    """Yield steps with the wrong sign, and learning rates wrong by a factor of 2, of 1 / 2, or of a number fitted to the first step."""
    mine = np.concatenate([(found[0][name].astype(np.float64) - value).ravel() for name, value in start.items()])
    theirs = np.concatenate([(right[0][name] - value).ravel() for name, value in start.items()])
    energy = float(theirs @ theirs)
    if not energy or not np.isfinite(energy):
        return
    ratio = float(mine @ theirs) / energy
    yield _mutant("sign", WRONG_SIGN, lr_factor=-1.0)
    for factor, fitted in ((2.0, False), (0.5, False), (ratio, True)):
        if factor not in (-1.0, 0.0, 1.0):
            words = f"the steps are {factor:.12g} times as long: the learning rate is wrong by this factor"
            yield UpdateFault("learning rate factor", words, OptimizerMutant(lr_factor=factor), fitted=fitted)


def _in_gradients(grads: Sequence[Arrays], settings: Mapping[str, Any]) -> Iterator[UpdateFault]:
    """Yield mistakes that use gradients of the wrong steps, or a wrong first gradient."""
    nothing = {name: np.zeros_like(value) for name, value in grads[0].items()}
    yield UpdateFault("stale gradient", "each step uses the gradient of the previous step", grads=[nothing, *grads[:-1]])
    yield UpdateFault("first gradient", "each step uses the gradient of the first step", grads=[grads[0]] * len(grads))
    sums = list(itertools.accumulate(grads, lambda total, given: {name: total[name] + value for name, value in given.items()}))
    yield UpdateFault("accumulated gradients", "each step uses the sum of all gradients so far: they are not cleared", grads=sums)
    if settings.get("momentum", 0) and settings.get("dampening", 0) and not settings.get("weight_decay", 0):
        words = "the first gradient is dampened, too; expected the first buffer to be the whole gradient"
        dampened = {name: (1 - settings["dampening"]) * value for name, value in grads[0].items()}
        yield UpdateFault("first gradient dampened", words, grads=[dampened, *grads[1:]])


def narrowed(steps: Sequence[Step], expected: Expected, names: Mapping[str, str], precision: Precision, first: Judgement) -> Cause | None:
    """Return single precision as the cause if it explains every error and float32 holds all parameters, or all of one state, exactly; else None.

    ``steps`` are the subject's steps. ``names`` maps the subject's names of the compared states to the reference's names.
    """
    if precision.dtype != np.float64 or not steps:
        return None
    single = Precision(np.dtype(np.float32), precision.elements)
    worst = _worst_match([{name: value.astype(np.float32) for name, value in step.params.items()} for step in steps], expected, single, first)
    if worst is None:
        return None
    for state in ("", *names):
        arrays = [value_of(step, state, name) for step in steps for name in step.params]
        if all(np.array_equal(value, value.astype(np.float32)) for value in arrays):
            words = f"{state or 'every parameter'} is kept in single precision: float32 holds each of its numbers exactly"
            return Cause("lower precision", words, first.units, worst.units, worst.fraction)
    return None
