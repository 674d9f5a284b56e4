"""The known mistakes of the trade, one function each. A new one is one more function and its line in the list at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crosscheck.arithmetic import Array, Bound
from crosscheck.causes import dropout, normalisation
from crosscheck.causes.candidate import Candidate, Hypothesis
from crosscheck.causes.ties import tie_rule
from crosscheck.failure import Failure
from crosscheck.isolated import with_reading
from crosscheck.operation import Call


def not_computed(failure: Failure) -> Iterator[Candidate]:
    """Everything is zero."""
    words = "every element is 0: it was never computed, or not stored"
    if np.abs(failure.expected).max(initial=0.0) < failure.arithmetic.unit:
        # So small, it may have been computed and then cut off by a threshold.
        words = "every element is 0 on these inputs: what is small is cut off, or it was never computed"
    yield Candidate("not computed", words, np.zeros_like(failure.expected))


def constant_factor(failure: Failure) -> Iterator[Candidate]:
    """One number multiplies everything: a sign, the batch size, a mean taken twice or not at all."""
    expected, found = failure.expected.ravel(), failure.found.ravel().astype(np.float64)
    energy = float(expected @ expected)
    if not energy or not np.isfinite(found).all():
        return
    ratio = float(expected @ found) / energy
    batch = len(failure.call.x)
    meanings = [
        (-1.0, "the sign is wrong"),
        (float(batch), f"it is multiplied by the batch size, {batch}: a sum where a mean is due"),
        (1 / batch, f"it is divided by the batch size, {batch}, once too often"),
        (2.0, "it is twice as large: added up twice, or not cleared before"),
        (0.5, "it is half as large"),
        (255.0, "it is 255 times as large: pixels that were not scaled"),
        (1 / 255, "it is 255 times as small: pixels scaled twice"),
    ]
    if (window := math.prod(failure.oracle.settings.get("kernel", ()))) > 1:
        meanings.append((float(window), f"it is multiplied by the size of a window, {window}: a sum where a mean is due"))
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
            bound = Bound(failure.bound.terms * np.float64(scale), failure.bound.roundings + np.float64(1))
        # Where the one rounding more that a factor costs explains everything, the factor itself explains nothing.
        if fitted and not np.any(np.abs(failure.found - failure.expected) > failure.arithmetic.tolerance(bound)):
            continue
        yield Candidate("constant factor", words, failure.expected * factor, bound, fitted=fitted)


def derivative_left_out(failure: Failure) -> Iterator[Candidate]:
    """Hand the cotangent on as it is, everywhere or where an activation has its kink, or let the cotangent's sign decide."""
    cotangent, x = failure.call.grad_output, failure.call.x
    if failure.quantity != "grad_input" or failure.call.params or cotangent is None or cotangent.shape != x.shape:
        return
    if failure.expected.shape != x.shape:
        # Only some of the elements could be judged.
        return
    yield Candidate("derivative left out", "the cotangent is handed on as it is, without the derivative", cotangent)
    if (x == 0).any():
        at_zero = np.where(x == 0, cotangent, failure.expected)
        yield Candidate("derivative at zero", f"at the {int((x == 0).sum())} inputs that are exactly 0 the cotangent is let through", at_zero)
    if failure.oracle.decisions(x) is not None:
        yield Candidate("mask of the wrong array", "the sign of the cotangent decides, where that of the input has to", np.maximum(cotangent, 0))


def bias_left_out(failure: Failure) -> Iterator[Candidate]:
    """Leave out the bias."""
    bias = failure.call.params.get("bias")
    if failure.quantity == "output" and bias is not None and bias.any():
        without = replace(failure.call, params={**failure.call.params, "bias": np.zeros_like(bias)}, grad_output=None)
        yield _recomputed(failure, without, "bias left out", "the bias is not added")


def transposed(failure: Failure) -> Iterator[Candidate]:
    """Exchange rows and columns of a square matrix or of square windows."""
    weight = failure.call.params.get("weight")
    if weight is not None and weight.ndim >= 2 and weight.shape[-1] == weight.shape[-2]:
        exchanged = replace(failure.call, params={**failure.call.params, "weight": np.swapaxes(weight, -1, -2)})
        yield _recomputed(failure, exchanged, "transposed", "the weight is used with its last two axes exchanged")
    if failure.expected.ndim >= 2 and failure.expected.shape[-1] == failure.expected.shape[-2]:
        yield _moved(failure, "transposed", "rows and columns are exchanged", lambda a: np.swapaxes(a, -1, -2))


def kernel_flipped(failure: Failure) -> Iterator[Candidate]:
    """Convolution in the mathematicians' sense, with the kernel turned by 180 degrees, where cross-correlation is due."""
    weight = failure.call.params.get("weight")
    if weight is None or weight.ndim < 4:
        return
    words = "the kernel is turned by 180 degrees (convolution in place of cross-correlation)"
    if failure.quantity == "weight.grad":
        yield _moved(failure, "kernel flipped", words, lambda a: a[..., ::-1, ::-1])
    else:
        turned = replace(failure.call, params={**failure.call.params, "weight": weight[..., ::-1, ::-1].copy()})
        yield _recomputed(failure, turned, "kernel flipped", words)


def border_lost(failure: Failure) -> Iterator[Candidate]:
    """End a loop one row or one column too early."""
    for axis, what in ((-2, "row"), (-1, "column")):
        words = f"the last {what} is left out"
        if failure.expected.ndim == 4:
            yield _moved(failure, "border lost", words, lambda a, axis=axis: _without_last(a, axis))
        grad_output = failure.call.grad_output
        if grad_output is not None and grad_output.ndim == 4 and failure.quantity != "output":
            shortened = replace(failure.call, grad_output=_without_last(grad_output, axis))
            yield _recomputed(failure, shortened, "border lost", f"{words} of the cotangent")


def shifted(failure: Failure) -> Iterator[Candidate]:
    """Everything lies one pixel off, as with a padding that is wrong by one."""
    if failure.expected.ndim != 4:
        return
    for axis, what in ((-2, "row"), (-1, "column")):
        for step, where in ((1, "later"), (-1, "earlier")):
            yield _moved(failure, "shifted", f"everything lies one {what} {where}", lambda a, axis=axis, step=step: _shift(a, axis, step))


def one_sample_only(failure: Failure) -> Iterator[Candidate]:
    """Keep the last sample alone of a sum over the batch."""
    call = failure.call
    if failure.quantity.endswith(".grad") and call.grad_output is not None and len(call.x) > 1 and call.grad_output.ndim:
        last = replace(call, x=call.x[-1:], grad_output=call.grad_output[-1:])
        yield _recomputed(failure, last, "one sample only", "only the batch's last sample contributes: overwritten where it should be added up")


def _recomputed(failure: Failure, call: Call, name: str, words: str) -> Candidate:
    """Return what the operation itself makes of another call, with the bound that belongs to that call."""
    oracle, quantity = failure.oracle, failure.quantity
    result = oracle.vjp(call)
    bound = oracle.rounding.bounds(oracle, call, result, failure.arithmetic)[quantity]
    reading = failure.subject.reading(quantity, failure.call, failure.found)
    return Candidate(name, words, result[quantity], with_reading(bound, reading, failure.arithmetic))


def _moved(failure: Failure, name: str, words: str, move: object) -> Candidate:
    """Return a candidate that is the right result with its elements moved, their bounds with them."""
    assert callable(move)
    terms = np.broadcast_to(np.asarray(failure.bound.terms), failure.expected.shape)
    roundings = np.broadcast_to(np.asarray(failure.bound.roundings), failure.expected.shape)
    return Candidate(name, words, move(failure.expected), Bound(move(terms), move(roundings)))


def _without_last(array: Array, axis: int) -> Array:
    result = array.copy()
    np.moveaxis(result, axis, 0)[-1] = 0
    return result


def _shift(array: Array, axis: int, step: int) -> Array:
    result = np.roll(array, step, axis)
    np.moveaxis(result, axis, 0)[0 if step > 0 else -1] = 0
    return result


HYPOTHESES: tuple[Hypothesis, ...] = (
    not_computed,
    constant_factor,
    tie_rule,
    derivative_left_out,
    bias_left_out,
    transposed,
    kernel_flipped,
    border_lost,
    shifted,
    one_sample_only,
    *normalisation.HYPOTHESES,
    *dropout.HYPOTHESES,
)
