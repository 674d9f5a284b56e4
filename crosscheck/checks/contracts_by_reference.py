"""Contracts that need a reference: a batch of very many numbers, and an input in which some numbers are minus infinity.

Both occur outside of tests: hundreds of whole images, and scores that are masked before a softmax.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from crosscheck.adapters.dropout_mask import drawn
from crosscheck.checks.bench import Bench, DoesNotApplyError
from crosscheck.checks.check import combine_verdicts
from crosscheck.core.check_layer import check_layer, quantities
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array, Precision
from crosscheck.core.subject import SubjectLayer

_MANY = 2**16
"""More numbers than sixteen bits count."""

_PATIENCE = 2.0
"""Seconds that a subject may take for so many numbers, estimated from a few; a slower one is not tried."""

_TRIES = 5
"""How often a subject is timed at most."""

_EVERY = 7
"""One number of so many is minus infinity, so that a small window or row rarely holds nothing else."""


def many_samples_work(bench: Bench) -> str:
    """More numbers in a batch than sixteen bits count are computed as a few are."""
    if bench.fixed_batch or bench.layer.convention.one_sample:
        raise DoesNotApplyError("the subject does not take a batch of any size")
    oracle, few = _reference(bench), bench.call
    samples = math.ceil((_MANY + 1) * len(few.x) / few.x.size)
    if samples <= len(few.x):
        raise DoesNotApplyError(f"the declared shapes have more than {_MANY:,} numbers already")
    if not _quick(bench, samples / len(few.x)):
        raise DoesNotApplyError(f"the subject is too slow for {samples:,} samples: at its speed on {len(few.x)} they take over {_PATIENCE:g} s")
    assert bench.drawn is not None
    larger = bench.drawn((samples, *few.x.shape[1:]))
    already = _far_off(bench, few, oracle)
    if already == set(quantities(few)):
        raise DoesNotApplyError("a few samples are computed wrong already")
    if not _far_off(bench, larger, oracle) - already:
        return ""
    already |= {judgement.place.quantity for judgement in _judged(bench, few, oracle) if judgement.verdict is Verdict.MISMATCH}
    judgements = [judgement for judgement in _judged(bench, larger, oracle) if judgement.place.quantity not in already]
    verdict = combine_verdicts([judgement.verdict for judgement in judgements])
    if verdict is Verdict.MATCH or not judgements:
        return ""
    first = next(judgement for judgement in judgements if judgement.verdict is verdict)
    if verdict is not Verdict.MISMATCH:
        raise DoesNotApplyError(first.reason)
    at = "" if first.worst is None else f" at {list(first.worst.index)}: {first.worst.subject:.9g}, the reference has {first.worst.oracle:.9g}"
    return f"wrong with {samples:,} samples, {larger.x.size:,} numbers: {first.place.quantity}{at or f': {first.reason}'}"


def _far_off(bench: Bench, call: Call, oracle: Oracle) -> set[str]:
    """Return the quantities that are not right to half of their digits, relative to the largest number of each sample.

    A fault that comes with many samples is larger than that. Theory costs many times as much, and is used only where this finds something.
    """
    layer, call = _asked(bench, call)
    half = math.sqrt(float(np.finfo(call.x.dtype).eps) / 2)
    expected, found = oracle.vjp(call.astype(np.float64)), layer.vjp(call)
    return {name for name, value in found.items() if name not in expected or not _near(value, expected[name], half, len(call.x))}


def _near(found: Array, expected: Array, share: float, batch: int) -> bool:
    """Return whether every element is right to a share of the largest number of its sample."""
    if found.shape != expected.shape:
        return False
    within = tuple(range(1, expected.ndim)) if expected.shape[:1] == (batch,) else None
    largest = np.abs(expected).max(axis=within, keepdims=True, initial=0.0)
    return bool((np.abs(found - expected) <= share * largest).all())


def minus_infinity_is_no_nan(bench: Bench) -> str:
    """Where the input is minus infinity and the reference gives numbers, so does the subject."""
    oracle, call = _reference(bench), bench.call
    x = call.x.copy()
    x.reshape(-1)[_EVERY // 2 :: _EVERY] = -np.inf
    labels = call.constants.get("labels")
    if labels is not None and labels.dtype.kind in "iu":
        own = np.arange(len(x)), labels
        x[own] = call.x[own]  # the loss of a class that cannot be is infinite
    layer, given = _asked(bench, replace(call, x=x))
    with np.errstate(all="ignore"):
        expected = oracle.vjp(given.astype(np.float64))
    if not np.isfinite(expected["output"]).all():
        raise DoesNotApplyError("the operation itself is not finite where its input is minus infinity")
    usual = bench.layer.vjp(bench.call.copied())
    for quantity, found in layer.vjp(given).items():
        if quantity not in expected or found.shape != expected[quantity].shape or not np.isfinite(usual[quantity]).all():
            continue
        if (lost := np.isfinite(expected[quantity]) & ~np.isfinite(found)).any():
            index = np.unravel_index(int(lost.argmax()), lost.shape)
            what = f"{float(found[index]):g}, the reference has {float(expected[quantity][index]):.9g}"
            return f"not finite beside minus infinity: {quantity} at {[int(i) for i in index]}: {what}"
    return ""


def _judged(bench: Bench, call: Call, oracle: Oracle) -> list[Judgement]:
    numbers = sum(value.size for value in (call.x, call.grad_output, *call.params.values()) if value is not None)
    precision = Precision(call.x.dtype, bench.elements + 2 * numbers)
    layer, call = _asked(bench, call)
    return check_layer(layer, oracle, call, precision, "layer").judgements


def _asked(bench: Bench, call: Call) -> tuple[SubjectLayer, Call]:
    """Return the subject and a copy of the call; for a dropout a run of it, and the call with the mask that was drawn."""
    return (bench.layer, call.copied()) if bench.dropped is None else drawn(bench.layer, call)


def _reference(bench: Bench) -> Oracle:
    if bench.reference is None:
        raise DoesNotApplyError("there is no reference that can be asked about other inputs than it was")
    return bench.reference


def _quick(bench: Bench, times: float) -> bool:
    """Return whether the subject is fast enough for so many times its call; one of several tries is enough, as the machine may be busy."""
    for _ in range(_TRIES):
        instance, given = bench.instance(), bench.given(bench.call)
        start = time.perf_counter()
        bench.both(instance, given)
        if (time.perf_counter() - start) * times <= _PATIENCE:
            return True
    return False
