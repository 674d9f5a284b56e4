"""The wrong size: never computed, multiplied by one number throughout, or with a multiple of the parameter in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from crosscheck.causes.candidate import Candidate
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array, Bound

_DIGITS = 3
"""People choose constants of few digits."""

_NEAR = 1e-4
"""How near a fitted constant has to be to one of few digits, relatively, to be taken for it."""


def not_computed(failure: Failure) -> Iterator[Candidate]:
    """Everything is zero."""
    words = "every element is 0: it was never computed, or not stored"
    if np.abs(failure.expected).max(initial=0.0) < failure.precision.unit:
        # So small, it may have been computed and then cut off by a threshold.
        words = "every element is 0 on these inputs: what is small is cut off, or it was never computed"
    yield Candidate("not computed", words, np.zeros_like(failure.expected))


def constant_factor(failure: Failure) -> Iterator[Candidate]:
    """One number multiplies everything: a sign, the batch size, a mean taken twice or not at all."""
    expected, found = failure.expected.ravel(), failure.found.ravel().astype(np.float64)
    energy = float(expected @ expected)
    if not energy or not math.isfinite(energy) or not np.isfinite(found).all():
        return
    ratio = float(expected @ found) / energy
    meanings = list(_meanings(failure))
    nearest = min((factor for factor, _ in meanings), key=lambda factor: abs(factor - ratio))
    # One number may have several meanings, such as 2 in a batch of two.
    named = {nearest: "; or ".join(words for factor, words in meanings if factor == nearest)} if nearest != 1.0 else {}
    factors = dict(named)
    # A factor fitted to a single number explains anything, and so nothing.
    if np.count_nonzero(expected) > 1 and ratio:
        beside = f"1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.3g}" if abs(ratio - 1) < 1e-3 else f"{ratio:.6g}"
        factors.setdefault(ratio, f"it is {beside} times the right value throughout")
    for factor, words in factors.items():
        scale, fitted = max(1.0, abs(factor)), factor not in named
        with np.errstate(over="ignore"):
            bound = Bound(failure.bound.abs_sum * np.float64(scale), failure.bound.n_roundings + np.float64(1))
        # Where the one rounding more that a factor costs explains everything, the factor itself explains nothing.
        if fitted and not np.any(np.abs(failure.found - failure.expected) > failure.precision.tolerance(bound)):
            continue
        yield Candidate("constant factor", words, failure.expected * factor, bound, fitted=fitted)


def _meanings(failure: Failure) -> Iterator[tuple[float, str]]:
    """Yield factors that have a name, with what each one means."""
    x, cotangent, settings = failure.call.x, failure.call.grad_output, failure.oracle.settings
    batch = len(x) if x.ndim else 1
    outputs = 0 if failure.call.params or cotangent is None else cotangent.size
    yield -1.0, "the sign is wrong"
    yield float(batch), f"it is multiplied by the batch size, {batch}: a sum where a mean is due"
    yield 1 / batch, f"it is divided by the batch size, {batch}, once too often"
    yield 2.0, "it is twice as large: added up twice, or not cleared before"
    yield 0.5, "it is half as large"
    yield 255.0, "it is 255 times as large: pixels that were not scaled"
    yield 1 / 255, "it is 255 times as small: pixels scaled twice"
    if (window := math.prod(settings.get("kernel", ()))) > 1:
        yield float(window), f"it is multiplied by the size of a window, {window}: a sum where a mean is due"
        yield 1 / window, f"it is divided by the size of a window, {window}, once too often"
    elif outputs and x.size % outputs == 0 and (each := x.size // outputs) > 1:
        yield float(each), f"it is multiplied by {each}, the number of inputs to each output: a sum where a mean is due"
        yield 1 / each, f"it is divided by {each}, the number of inputs to each output, once too often"
    if "labels" in failure.call.constants and (each := x.size // batch) > 1:
        yield 1 / each, f"it is divided by {each}, the size of a sample: a mean over everything where one over the batch is due"
        yield float(each), f"it is multiplied by {each}, the size of a sample: a mean over the batch where one over everything is due"
    if failure.quantity.endswith(".grad") and cotangent is not None and cotangent.ndim == 4 and (places := math.prod(cotangent.shape[2:])) > 1:
        yield 1 / places, f"it is divided by the number of positions, {places}: a mean where a sum is due"
        yield 1 / (places * batch), f"it is divided by the number of samples and positions, {places * batch}: a mean where a sum is due"


def weight_decay(failure: Failure) -> Iterator[Candidate]:
    """Add a multiple of the parameter to its gradient."""
    param = failure.call.params.get(failure.quantity.removesuffix(".grad"))
    if param is None or not failure.quantity.endswith(".grad") or param.shape != failure.found.shape:
        return
    decay = multiple_of(param, failure.found.astype(np.float64) - failure.expected)
    if not decay:
        return
    part, chosen = decay * param, chosen_by_people(decay)
    words = f"{decay:.6g} times the parameter is in it: weight decay that was not declared, or that the optimizer adds as well"
    bound = Bound(failure.bound.abs_sum + np.abs(part), failure.bound.n_roundings + np.float64(2))
    yield Candidate("weight decay", words, failure.expected + part, bound, fitted=not chosen)


def multiple_of(direction: Array, difference: Array, digits: int = _DIGITS, near: float = _NEAR) -> float:
    """Return how many times a direction a difference is, as nearly as possible, of few digits if it can be; 0 where that is unknown.

    One number alone is a multiple of any other: there have to be two at least.
    """
    energy = float((direction * direction).sum())
    if not energy or not np.isfinite(energy) or not np.isfinite(difference).all() or np.count_nonzero(direction) < 2:
        return 0.0
    factor = float((direction * difference).sum()) / energy
    return _shortened(factor, digits) if chosen_by_people(factor, digits, near) else factor


def chosen_by_people(factor: float, digits: int = _DIGITS, near: float = _NEAR) -> bool:
    """Return whether a number is nearly one of few digits."""
    return abs(_shortened(factor, digits) - factor) <= near * abs(factor)


def _shortened(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
