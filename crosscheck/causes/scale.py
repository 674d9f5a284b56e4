"""Results of the wrong size: never computed, multiplied by a constant, or with a multiple of the parameter added."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from crosscheck.causes.candidate import Candidate, in_words
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array, Bound

_DIGITS = 3
"""A constant with at most this many significant digits may have been chosen by a person."""

_NEAR = 1e-4
"""A fitted constant is rounded to few digits if this changes it by at most this relative amount."""


def not_computed(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: every element is left at 0."""
    name = in_words(failure.quantity)
    words = f"every element of {name} is 0: it was never computed, or not stored"
    if np.abs(failure.expected).max(initial=0.0) < failure.precision.unit:
        # A result this small may have been computed and then set to 0 by a threshold.
        words = f"every element of {name} is 0 on these inputs: small numbers are cut off, or it was never computed"
    yield Candidate("not computed", words, np.zeros_like(failure.expected))


def constant_factor(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the whole result is multiplied by one number, such as -1, 2, or the batch size."""
    expected, found = failure.expected.ravel(), failure.found.ravel().astype(np.float64)
    energy = float(expected @ expected)
    if not energy or not math.isfinite(energy) or not np.isfinite(found).all():
        return
    ratio = float(expected @ found) / energy
    meanings = list(_meanings(failure))
    nearest = min((factor for factor, _ in meanings), key=lambda factor: abs(factor - ratio))
    # One factor may have several meanings, such as 2 in a batch of two.
    named = {nearest: "; or ".join(words for factor, words in meanings if factor == nearest)} if nearest != 1.0 else {}
    factors = dict(named)
    # A factor that is fitted to a single number always agrees, so it explains nothing.
    if np.count_nonzero(expected) > 1 and ratio:
        beside = f"1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.3g}" if abs(ratio - 1) < 1e-3 else f"{ratio:.6g}"
        factors.setdefault(ratio, f"{in_words(failure.quantity)} is {beside} times the right value throughout")
    for factor, words in factors.items():
        scale, fitted = max(1.0, abs(factor)), factor not in named
        with np.errstate(over="ignore"):
            bound = Bound(failure.bound.abs_sum * np.float64(scale), failure.bound.n_roundings + np.float64(1))
        # If the rounding error of one multiplication explains the mismatch, the factor itself explains nothing.
        if fitted and not np.any(np.abs(failure.found - failure.expected) > failure.precision.tolerance(bound)):
            continue
        yield Candidate("constant factor", words, failure.expected * factor, bound, fitted=fitted)


def _meanings(failure: Failure) -> Iterator[tuple[float, str]]:
    """Yield factors with a known meaning, each with a message that says what it means."""
    x, cotangent, settings, name = failure.call.x, failure.call.grad_output, failure.oracle.settings, in_words(failure.quantity)
    batch = len(x) if x.ndim else 1
    outputs = 0 if failure.call.params or cotangent is None else cotangent.size
    yield -1.0, f"{name} has the wrong sign"
    yield float(batch), f"{name} is multiplied by the batch size, {batch}: a sum instead of a mean"
    yield 1 / batch, f"{name} is divided by the batch size, {batch}, once too often"
    yield 2.0, f"{name} is twice as large: added up twice, or not cleared before"
    yield 0.5, f"{name} is half as large"
    yield 255.0, f"{name} is 255 times as large: pixels were not scaled"
    yield 1 / 255, f"{name} is 255 times as small: pixels were scaled twice"
    if (window := math.prod(settings.get("kernel", ()))) > 1:
        yield float(window), f"{name} is multiplied by the size of a window, {window}: a sum instead of a mean"
        yield 1 / window, f"{name} is divided by the size of a window, {window}, once too often"
    elif outputs and x.size % outputs == 0 and (each := x.size // outputs) > 1:
        yield float(each), f"{name} is multiplied by {each}, the number of inputs to each output: a sum instead of a mean"
        yield 1 / each, f"{name} is divided by {each}, the number of inputs to each output, once too often"
    if "labels" in failure.call.constants and (each := x.size // batch) > 1:
        yield 1 / each, f"{name} is divided by {each}, the size of a sample: a mean over everything instead of the batch"
        yield float(each), f"{name} is multiplied by {each}, the size of a sample: a mean over the batch instead of everything"
    if failure.quantity.endswith(".grad") and cotangent is not None and cotangent.ndim == 4 and (places := math.prod(cotangent.shape[2:])) > 1:
        yield 1 / places, f"{name} is divided by the number of positions, {places}: a mean instead of a sum"
        yield 1 / (places * batch), f"{name} is divided by the number of samples and positions, {places * batch}: a mean instead of a sum"


def weight_decay(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a multiple of the parameter is added to its gradient."""
    param = failure.call.params.get(failure.quantity.removesuffix(".grad"))
    if param is None or not failure.quantity.endswith(".grad") or param.shape != failure.found.shape:
        return
    decay = multiple_of(param, failure.found.astype(np.float64) - failure.expected)
    if not decay:
        return
    part, chosen = decay * param, is_round_number(decay)
    words = f"{in_words(failure.quantity)} includes {decay:.6g} times the parameter: weight decay that is not declared, or that is added twice"
    bound = Bound(failure.bound.abs_sum + np.abs(part), failure.bound.n_roundings + np.float64(2))
    yield Candidate("weight decay", words, failure.expected + part, bound, fitted=not chosen)


def multiple_of(direction: Array, difference: Array, digits: int = _DIGITS, near: float = _NEAR) -> float:
    """Return the factor for which ``factor * direction`` is closest to ``difference``, in the sense of least squares.

    The factor is rounded to few digits if this hardly changes it. It is 0 if it cannot be found: ``direction`` must have two numbers other than 0,
    because any single number is a multiple of any other.
    """
    energy = float((direction * direction).sum())
    if not energy or not np.isfinite(energy) or not np.isfinite(difference).all() or np.count_nonzero(direction) < 2:
        return 0.0
    factor = float((direction * difference).sum()) / energy
    return _shortened(factor, digits) if is_round_number(factor, digits, near) else factor


def is_round_number(factor: float, digits: int = _DIGITS, near: float = _NEAR) -> bool:
    """Return whether a number is close to a number with few significant digits, as a person would choose."""
    return abs(_shortened(factor, digits) - factor) <= near * abs(factor)


def _shortened(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
