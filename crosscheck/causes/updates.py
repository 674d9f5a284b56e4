"""The known mistakes in optimizers: what the reference would have done with one setting, or the gradients, changed in just that way.

A hypothesis is taken only if every parameter of every step then agrees as closely as rounding allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.arithmetic import Arithmetic
from crosscheck.causes import Cause
from crosscheck.judgement import Judgement, Kind, Verdict, judge
from crosscheck.operation import Arrays, RefusedError
from crosscheck.trajectory import AS_IT_IS, OptimizerOracle, Variant, expected_of

_WORTH_MEASURING = 16
"""How much closer a hypothesis has to come before its rounding is measured, which takes many runs."""


@dataclass(frozen=True)
class UpdateFault:
    """A way to be wrong: how the optimizer differs, or which gradients it takes."""

    name: str
    words: str
    grads: Sequence[Arrays]
    variant: Variant = AS_IT_IS
    fitted: bool = False


def explained(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], found: Sequence[Arrays], arithmetic: Arithmetic, first: Judgement
) -> Cause | None:
    """Return the mistake that explains everything that an optimizer did to its parameters, or None.

    Parameters
    ----------
    oracle : OptimizerOracle
        The reference.
    start : mapping
        The parameters before the first step.
    grads, found : sequence of mappings
        The gradients of each step, and the subject's parameters after it.
    arithmetic : Arithmetic
        The subject's.
    first : Judgement
        The first mismatch.
    """
    wide = [{name: value.astype(np.float64) for name, value in given.items()} for given in grads]
    try:
        right = [step.params for step in oracle.run(start, wide)]
    except RefusedError:
        return None
    if not found or any(value.shape != right[0][name].shape or not np.isfinite(value).all() for given in found for name, value in given.items()):
        return None
    before = _distance(found, right)
    causes = []
    for fault in _faults(oracle, start, wide, found, right):
        cause = _tested(oracle, start, fault, found, before, arithmetic, first)
        causes += [] if cause is None else [cause]
    return min(causes, key=lambda cause: (cause.fitted, cause.fraction_after), default=None)


def _faults(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], found: Sequence[Arrays], right: Sequence[Arrays]
) -> Iterator[UpdateFault]:
    for name, words, variant in _in_settings(oracle.settings):
        yield UpdateFault(name, words, grads, variant)
    for name, words, variant, fitted in _in_rate(start, found, right):
        yield UpdateFault(name, words, grads, variant, fitted)
    for name, words, others in _in_gradients(grads):
        yield UpdateFault(name, words, others)


def _tested(
    oracle: OptimizerOracle, start: Arrays, fault: UpdateFault, found: Sequence[Arrays], before: float, arithmetic: Arithmetic, first: Judgement
) -> Cause | None:
    grads, variant = fault.grads, fault.variant
    try:
        if _distance(found, [step.params for step in oracle.run(start, grads, variant)]) * _WORTH_MEASURING > before:
            return None
        expected = expected_of(oracle, start, grads, arithmetic, variant)
    except RefusedError:
        return None
    judgements = [
        judge(first.place, Kind.UPDATE, value, expected.value(number, "", name), expected.bounds[number]["", name], arithmetic)
        for number, given in enumerate(found)
        for name, value in given.items()
    ]
    if any(judgement.verdict is not Verdict.MATCH for judgement in judgements):
        return None
    worst = max(judgements, key=lambda judgement: judgement.fraction)
    return Cause(fault.name, fault.words, first.units, worst.units, worst.fraction, fault.fitted)


def _distance(found: Sequence[Arrays], other: Sequence[Arrays]) -> float:
    return float(sum(np.abs(mine[name] - theirs[name]).sum() for mine, theirs in zip(found, other, strict=False) for name in mine))


def _in_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Variant]]:
    """Yield name, words and the optimizer with another setting."""
    if "maximize" in settings:
        yield "sign", "the sign is wrong: the step goes up the gradient", Variant(settings={"maximize": not settings["maximize"]})
    yield from _in_momentum(settings)
    if (decay := settings.get("weight_decay", 0)) and settings.get("decoupled_weight_decay"):
        words = "weight decay is coupled: it is added to the gradient, where the reference shrinks the parameter by itself"
        yield "weight decay coupled", words, Variant(settings={"decoupled_weight_decay": False})
    elif decay:
        words = "weight decay is decoupled: it shrinks the parameter by itself, where the reference adds it to the gradient"
        yield "weight decay decoupled", words, Variant(settings={"weight_decay": 0}, decoupled=decay)
    if decay:
        yield "weight decay left out", "weight decay is left out", Variant(settings={"weight_decay": 0})
    if "betas" in settings:
        yield "bias correction left out", "the running means are not corrected for their start at zero", Variant(corrected=False)
        yield "betas exchanged", "the two betas are exchanged", Variant(settings={"betas": tuple(reversed(settings["betas"]))})


def _in_momentum(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Variant]]:
    momentum = settings.get("momentum", 0)
    if not momentum:
        return
    yield "momentum left out", "there is no momentum", Variant(settings={"momentum": 0, **({"nesterov": False} if "nesterov" in settings else {})})
    if "dampening" not in settings:
        return
    plain = {"nesterov": False}
    if settings["dampening"] != momentum:
        words = f"dampening: the buffer takes {1 - momentum:.6g} of the gradient, as a running mean does, where the reference takes all of it"
        yield "dampening", words, Variant(settings={**plain, "dampening": momentum})
        if not settings["dampening"]:
            # From a buffer of zeros the first gradient is dampened, too, and so every step is shorter by the same factor.
            yield "dampening", words, Variant(lr_factor=1 - momentum)
    if settings["dampening"]:
        words = "the buffer takes the whole gradient, where the reference dampens it"
        yield "dampening left out", words, Variant(settings={**plain, "dampening": 0})
    exchanged = {**plain, "momentum": 1 - momentum, "dampening": 1 - momentum}
    words = f"momentum the other way round: {momentum:.6g} multiplies the gradient and the rest the buffer"
    yield "momentum the other way round", words, Variant(settings=exchanged)
    if settings["nesterov"]:
        yield "nesterov left out", "plain momentum, where the reference looks ahead (Nesterov)", Variant(settings=plain)
    elif not settings["dampening"]:
        yield "nesterov", "Nesterov's momentum, where the reference's is plain", Variant(settings={"nesterov": True})


def _in_rate(start: Arrays, found: Sequence[Arrays], right: Sequence[Arrays]) -> Iterator[tuple[str, str, Variant, bool]]:
    """Yield one learning rate for all steps, fitted to the first; a factor of -1 is a sign, and has its own name."""
    mine = np.concatenate([(found[0][name].astype(np.float64) - value).ravel() for name, value in start.items()])
    theirs = np.concatenate([(right[0][name] - value).ravel() for name, value in start.items()])
    energy = float(theirs @ theirs)
    if not energy or not np.isfinite(energy):
        return
    ratio = float(mine @ theirs) / energy
    for factor, fitted in ((2.0, False), (0.5, False), (ratio, True)):
        if factor not in (0.0, 1.0):
            yield (
                "learning rate factor",
                f"the steps are {factor:.12g} times as long: a factor in the learning rate",
                Variant(lr_factor=factor),
                fitted,
            )


def _in_gradients(grads: Sequence[Arrays]) -> Iterator[tuple[str, str, Sequence[Arrays]]]:
    """Yield the gradients of other steps."""
    nothing = {name: np.zeros_like(value) for name, value in grads[0].items()}
    yield "stale gradient", "each step takes the gradient of the step before", [nothing, *grads[:-1]]
    sums = list(itertools.accumulate(grads, lambda total, given: {name: total[name] + value for name, value in given.items()}))
    yield "accumulated gradients", "each step takes the sum of all gradients so far: they are not cleared", sums
