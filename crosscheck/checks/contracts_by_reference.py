"""Contracts that need a reference: batches of very many numbers, and inputs that contain minus infinity.

Both occur in practice: batches of hundreds of images, and scores that are masked before a softmax.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from crosscheck.adapters.dropout_mask import drawn
from crosscheck.checks.bench import Bench, DoesNotApplyError
from crosscheck.core.check_layer import check_layer, quantities
from crosscheck.core.judge import Judgement, Verdict, combine_verdicts
from crosscheck.core.operation import Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Precision
from crosscheck.core.subject import SubjectLayer

_MANY = 2**16
"""An array with more numbers overflows a 16-bit index."""

_PATIENCE = 2.0
"""The most seconds that the subject may take for a large batch, estimated from smaller ones; a slower subject is not tried."""

_TRIES = 5
"""How many times a subject is timed."""

_BUSY = 8.0
"""How many times as long a call may take because the machine is busy."""

_FEWER = 32
"""By which part of a large batch its time is estimated."""

_FASTER = 3.0
"""Time grows faster than the number of samples if twice as many take more than this times as long."""

_EVERY = 7
"""Every seventh number is minus infinity, so that a small window or row rarely holds nothing else."""


def many_samples_work(bench: Bench) -> str:
    """Batches of more than 65,536 numbers, which 16 bits cannot count, give wrong results although small batches are right."""
    if bench.fixed_batch or bench.layer.convention.one_sample:
        raise DoesNotApplyError("your code does not take batches of any size")
    oracle, few = _reference(bench), bench.call
    if bench.drawn is None:
        raise DoesNotApplyError("the inputs have no axis of samples")
    samples = math.ceil((_MANY + 1) * bench.samples / few.x.size)
    if samples <= bench.samples:
        raise DoesNotApplyError(f"the declared shapes have more than {_MANY:,} numbers already")
    try:
        if reason := _too_slow(bench, bench.drawn, samples):
            raise DoesNotApplyError(reason)
        larger = bench.drawn(samples)
    except RefusedError as error:
        raise DoesNotApplyError(str(error)) from error
    already = _far_off(bench, few, oracle)
    if already == set(quantities(few)):
        raise DoesNotApplyError("a small batch is computed wrong already")
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
    at = "" if first.worst is None else f" at {list(first.worst.index)} is {first.worst.subject:.9g}, expected {first.worst.oracle:.9g}"
    return f"wrong with {samples:,} samples, {larger.x.size:,} numbers: {first.place.quantity}{at or f': {first.reason}'}"


def _far_off(bench: Bench, call: Call, oracle: Oracle) -> set[str]:
    """Return the quantities that are not right to half of the digits, relative to the largest number of each sample.

    Faults that only large batches show are larger than that. Error bounds cost much more time, so they are computed only if this finds something.
    """
    layer, call = _asked(bench, call)
    half = math.sqrt(float(np.finfo(call.dtype).eps) / 2)
    expected, found = oracle.vjp(call.astype(np.float64)), layer.vjp(call)
    return {name for name, value in found.items() if name not in expected or not _near(value, expected[name], half, len(call.x))}


def _near(found: Array, expected: Array, share: float, batch: int) -> bool:
    """Return whether every error is at most ``share`` times the largest number in its sample."""
    if found.shape != expected.shape:
        return False
    within = tuple(range(1, expected.ndim)) if expected.shape[:1] == (batch,) else None
    largest = np.abs(expected).max(axis=within, keepdims=True, initial=0.0)
    return bool((np.abs(found - expected) <= share * largest).all())


def handles_minus_infinity(bench: Bench) -> str:
    """Minus infinity in the input gives NaN or infinity where the reference gives finite numbers."""
    oracle, call = _reference(bench), bench.call
    if not call.inputs:
        raise DoesNotApplyError("no input holds real numbers")
    x = call.x.copy()
    x.reshape(-1)[_EVERY // 2 :: _EVERY] = -np.inf
    labels = call.constants.get("labels")
    if labels is not None and labels.dtype.kind in "iu" and x.ndim == 2:
        own = np.arange(len(x)), labels
        x[own] = call.x[own]  # the loss of an impossible class is infinite
    layer, given = _asked(bench, call.with_x(x))
    try:
        with np.errstate(all="ignore"):
            expected = oracle.vjp(given.astype(np.float64))
    except RefusedError as error:
        raise DoesNotApplyError("the reference refuses minus infinity") from error
    if not all(np.isfinite(expected[name]).all() for name in call.outputs):
        raise DoesNotApplyError("the operation itself is not finite where its input is minus infinity")
    usual = bench.layer.vjp(bench.call.copied())
    for quantity, found in layer.vjp(given).items():
        if quantity not in expected or found.shape != expected[quantity].shape or not np.isfinite(usual[quantity]).all():
            continue
        if (lost := np.isfinite(expected[quantity]) & ~np.isfinite(found)).any():
            index = np.unravel_index(int(lost.argmax()), lost.shape)
            what = f"is {float(found[index]):g}, expected {float(expected[quantity][index]):.9g}"
            return f"with some inputs of minus infinity, {quantity} at {[int(i) for i in index]} {what}"
    return ""


def _judged(bench: Bench, call: Call, oracle: Oracle) -> list[Judgement]:
    numbers = sum(value.size for group in (call.inputs, call.cotangents, call.params) for value in group.values())
    precision = Precision(call.dtype, bench.elements + 2 * numbers)
    layer, call = _asked(bench, call)
    return check_layer(layer, oracle, call, precision, "layer").judgements


def _asked(bench: Bench, call: Call) -> tuple[SubjectLayer, Call]:
    """Return the subject and a copy of the call. For a dropout, return a replay of one run, and the call with the mask drawn in that run."""
    return (bench.layer, call.copied()) if bench.dropped is None else drawn(bench.layer, call)


def _reference(bench: Bench) -> Oracle:
    if bench.reference is None:
        raise DoesNotApplyError("there is no reference that answers for new inputs")
    return bench.reference


def _too_slow(bench: Bench, drawn_with: Callable[[int], Call], samples: int) -> str:
    """Return why so many samples are not tried; empty if they are.

    A call of few samples says little about the time of many: most of its time does not grow with the number of samples. So two batches
    between the two are timed, unless even these would take too long. The fastest of several runs counts, as the machine may be busy.
    """
    reason = f"your code is too slow for {samples:,} samples: they would take over {_PATIENCE:g} s"
    few, some = bench.samples, samples // _FEWER
    seconds = _fastest(bench, drawn_with, (few,), some / few)
    if seconds[0] * some / few > _PATIENCE:
        return reason
    if some < 2 * few:
        some = few
    else:
        seconds = _fastest(bench, drawn_with, (some // 2, some), samples / some)
    # something of the size of the square of the batch, such as a diagonal matrix or all distances, takes four times as long for twice as many
    outgrows = len(seconds) > 1 and seconds[1] > _FASTER * seconds[0]
    if seconds[-1] * (samples / some) ** (2 if outgrows else 1) <= _PATIENCE:
        return ""
    return f"time grows faster than the number of samples, so that {samples:,} would take too long" if outgrows else reason


def _fastest(bench: Bench, drawn_with: Callable[[int], Call], counts: tuple[int, ...], times: float) -> list[float]:
    """Return the seconds that batches take: the fastest of several runs, unless ``times`` as long is hopeless already."""
    seconds = [math.inf] * len(counts)
    for _ in range(_TRIES):
        seconds = [min(least, _seconds(bench, drawn_with, count)) for least, count in zip(seconds, counts, strict=True)]
        if seconds[-1] * times > _BUSY * _PATIENCE:
            break
    return seconds


def _seconds(bench: Bench, drawn_with: Callable[[int], Call], samples: int) -> float:
    """Return the seconds that reference and subject take for a batch if nothing else runs on the machine: the processor's time, if that is less.

    The reference computes the shapes of the upstream gradients; it may need much more time and memory than the subject.
    """
    start = time.perf_counter(), time.process_time()
    layer, call = _asked(bench, drawn_with(samples))
    layer.vjp(call)
    return min(time.perf_counter() - start[0], time.process_time() - start[1])
