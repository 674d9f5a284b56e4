"""Results of the wrong size: never computed, multiplied by a constant, or with a multiple of the parameter added."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, in_words
from crosscheck.core.check_layer import Failure
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound

_DIGITS = 3
"""A constant with at most this many significant digits may have been chosen by a person."""

NEIGHBOURS = 10.0**-_DIGITS
"""The smallest relative distance between two constants of so few digits. A fitted constant is known if rounding does not hide this distance."""

_NEAR = 1e-4
"""A fitted constant is rounded to few digits if this changes it by at most this relative amount."""

_ORDINARY = 16.0
"""The largest number of an input of ordinary size, and one over the smallest that it may have as its largest."""

_LARGER = 8
"""An input of ordinary size is multiplied by this number to see whether a factor depends on the size of the input."""


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
        for candidate in _multiplied(failure, factor, words, fitted=factor not in named):
            # If the rounding error of one multiplication explains the mismatch, the factor itself explains nothing.
            if candidate.fitted and not np.any(np.abs(failure.found - failure.expected) > failure.precision.tolerance(candidate.limits(failure))):
                continue
            yield candidate


def size_in_the_code(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a number of samples or elements is written into the code, which is right for inputs of this size only."""
    if failure.right is None or failure.right.x.ndim != failure.call.x.ndim:
        return
    for axis, (size, written) in enumerate(zip(failure.call.x.shape, failure.right.x.shape, strict=True)):
        if size != written and size and written:
            yield from _by_a_written_size(failure, axis, written)


def _by_a_written_size(failure: Failure, axis: int, written: int) -> Iterator[Candidate]:
    """Yield the result of a layer that divides or multiplies by a number which should be the length of an axis."""
    size, name = failure.call.x.shape[axis], in_words(failure.quantity)
    for factor, how in ((size / written, "divided"), (written / size, "multiplied")):
        words = f"{name} is {how} by {written} for every length of axis {axis}: the size is written into the code; use x.shape[{axis}]"
        again = partial(_by_a_written_size, axis=axis, written=written)
        bound = Bound(failure.bound.abs_sum * np.float64(max(1.0, factor)), failure.bound.n_roundings + np.float64(2))
        yield Candidate("size in the code", words, failure.expected * factor, bound, again=again, probes=_twice_as_long)


def _twice_as_long(call: Call) -> Iterator[Call]:
    """Yield calls in which one axis of the first input is twice as long, together with that axis of what has the same length there."""
    shape = call.x.shape

    def doubled(array: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        alike = array.ndim > axis and array.shape[axis] == shape[axis]
        return np.concatenate([array, array], axis) if alike else array

    for axis in range(len(shape)):
        inputs, cotangents, constants = (
            {name: doubled(value, axis) for name, value in arrays.items()} for arrays in (call.inputs, call.cotangents, call.constants)
        )
        yield replace(call, inputs=inputs, cotangents=cotangents, constants=constants)


def _multiplied(failure: Failure, factor: float, words: str, fitted: bool) -> Iterator[Candidate]:
    """Yield the correct result times a number, which has to be the same for larger or smaller inputs.

    A number with a meaning, such as the batch size, is another one on a call with other shapes.
    """
    if not fitted:
        factor = next((other for other, meaning in _meanings(failure) if _key(meaning) == _key(words)), factor)
    scale = max(1.0, abs(factor))
    with np.errstate(over="ignore"):
        bound = Bound(failure.bound.abs_sum * np.float64(scale), failure.bound.n_roundings + np.float64(1))
    again = partial(_multiplied, factor=factor, words=words, fitted=fitted)
    yield Candidate("constant factor", words, failure.expected * factor, bound, fitted=fitted, again=again, probes=_of_another_size)


def _key(meaning: str) -> str:
    """Return a meaning without its numbers; of several meanings, the first."""
    return re.sub(r"\d", "", meaning.partition("; or ")[0])


def _of_another_size(call: Call) -> Iterator[Call]:
    """Yield a call whose inputs have another size: ordinary numbers become larger and are shifted, small and large ones become ordinary.

    Labels and other whole numbers change, too: a mean that divides by the wrong sum of class weights is a constant factor for the same labels alone.
    """

    def resized(array: Array) -> Array:
        largest = float(np.abs(array).max(initial=0.0))
        if 1 / _ORDINARY <= largest <= _ORDINARY:
            return np.asarray(_LARGER * array + 1, dtype=array.dtype)
        return np.asarray(array / largest, dtype=array.dtype) if largest else array

    def others(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # Labels below 0 are those to be ignored.
        return np.where(numbers < 0, numbers, numbers.max(initial=0) - numbers).astype(numbers.dtype) if numbers.dtype.kind in "iu" else numbers

    inputs = {name: arranged(resized(value), memory_of(value)) for name, value in call.inputs.items()}
    yield replace(call, inputs=inputs, constants={name: others(value) for name, value in call.constants.items()})


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
    yield from _decayed(failure, decay)


def _decayed(failure: Failure, decay: float) -> Iterator[Candidate]:
    """Yield the correct gradient plus a multiple of the parameter."""
    part, chosen = decay * failure.call.params[failure.quantity.removesuffix(".grad")], is_round_number(decay)
    words = f"{in_words(failure.quantity)} includes {decay:.6g} times the parameter: weight decay that is not declared, or that is added twice"
    bound = Bound(failure.bound.abs_sum + np.abs(part), failure.bound.n_roundings + np.float64(2))
    yield Candidate("weight decay", words, failure.expected + part, bound, fitted=not chosen, again=partial(_decayed, decay=decay))


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


def with_few_digits(number: float) -> list[float]:
    """Return a number rounded to one, two and three significant digits, as a person would choose a constant; none if it is 0 or not finite."""
    return list(dict.fromkeys(_shortened(number, digits) for digits in range(1, _DIGITS + 1))) if number and np.isfinite(number) else []


def _shortened(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
