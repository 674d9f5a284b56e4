"""Mistakes in softmax and in losses with labels: the wrong label, a constant in the logarithm, softmax twice or over the wrong axis, no one-hot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, formula, moved_bound, recomputed
from crosscheck.causes.scale import is_round_number, multiple_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call
from crosscheck.oracles.running_error import Operand, Tracked

_CONSTANTS = (*(10.0**-power for power in range(15, 2, -1)), float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps))
"""Constants that are commonly added to a probability to keep its logarithm finite."""


def label_off_by_one(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the class next to the labelled one is used. Past the last class, the index wraps around or stays."""
    labels, x = failure.call.constants.get("labels"), failure.call.x
    if labels is None or labels.dtype.kind not in "iu" or x.ndim < 2:
        return
    last = x.shape[-1] - 1
    for step, which, wrapped, kept in ((1, "after", "first", "last"), (-1, "before", "last", "first")):
        beside = labels.astype(np.int64) + step
        for at_end, other in ((wrapped, beside % (last + 1)), (kept, np.clip(beside, 0, last))):
            call = replace(failure.call, constants={**failure.call.constants, "labels": other})
            words = f"the class {which} the labelled one is used (and the {at_end} class if the label is the {kept})"
            yield recomputed(failure, "label off by one", words, call)


def softmax_twice(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: softmax is applied to values that are already probabilities."""
    call, name = failure.call, "softmax twice"
    loss = _LabelLoss.of(failure)
    if loss is not None and loss.of_logits:
        words = "softmax is applied twice: the loss expects logits and gets probabilities"
        yield recomputed(failure, name, words, call.with_x(softmax(call.x)))
        if failure.quantity == "grad_input":
            p = softmax(Tracked.exact(call.x, failure.precision))
            slope = (softmax(p) - loss.onehot) * loss.share
            yield formula(failure, name, words, p * (slope - (p * slope).sum(axis=-1, keepdims=True)))
    elif loss is None and _gives_probabilities(failure):
        yield recomputed(failure, name, "softmax is applied twice", call.with_x(failure.oracle.vjp(call.forward)["output"]))


def wrong_axis(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: sums or maxima are taken along the wrong axis, such as the batch axis."""
    call, x, name = failure.call, failure.call.x, "wrong axis"
    loss = _LabelLoss.of(failure)
    if loss is not None and loss.of_logits and len(x) > 1:
        p = softmax(Tracked.exact(x, failure.precision), axis=0)
        words = "softmax runs over the batch instead of the classes"
        yield formula(failure, name, words, loss.value(p) if failure.quantity == "output" else (p - loss.onehot) * loss.share)
    if failure.quantity == "output" and x.ndim == 2 and x.shape[0] == x.shape[1] and _gives_probabilities(failure):
        logits = Tracked.exact(x, failure.precision)
        for rows, which in ((True, "sums"), (False, "maxima and sums")):
            raised = np.exp(logits - x.max(axis=1, keepdims=rows))
            words = f"the {which} of the rows are applied to the columns: without keepdims=True they broadcast along the last axis"
            yield formula(failure, name, words, raised / raised.sum(axis=1))
    output = failure.expected if call.grad_output is None else call.grad_output
    if call.params or call.constants or x.ndim < 2 or not x.shape == output.shape == failure.expected.shape:
        return
    for one, other in ((one, other) for one in {1, x.ndim - 1} for other in range(x.ndim) if one != other):
        exchanged = call.with_x(x.swapaxes(one, other))
        if call.grad_output is not None:
            exchanged = exchanged.with_grad_output(call.grad_output.swapaxes(one, other))
        words = f"the operation runs along axis {other} of the input instead of axis {one}"
        yield _exchanged_back(recomputed(failure, name, words, exchanged), one, other, failure)


def _exchanged_back(candidate: Candidate, one: int, other: int, failure: Failure) -> Candidate:
    """Exchange two axes of a candidate's result back, because they were exchanged in the candidate's call."""
    expected, back = candidate.expected, partial(np.swapaxes, axis1=one, axis2=other)
    return replace(candidate, expected=back(expected), bound=lambda: moved_bound(candidate.limits(failure), expected.shape, back), call=None)


def constant_in_logarithm(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a small constant is added to the probability before its logarithm is taken, or the probability is clamped to the constant."""
    loss, axis = _LabelLoss.of(failure), _axis_of_log_softmax(failure)
    if loss is None and axis is None:
        return
    x = Tracked.exact(failure.call.x, failure.precision)
    p: Operand = x if loss is not None and not loss.of_logits else softmax(x, -1 if axis is None else axis)
    for constant in _CONSTANTS:
        instead = (
            "use log-softmax, which needs no constant" if loss is None or loss.of_logits else "the loss has to be that of the probability itself"
        )
        for words, safe in (
            (f"{constant:.3g} is added to the probability before its logarithm is taken: {instead}", p + constant),
            (f"the probability is clamped to at least {constant:.3g} before its logarithm is taken: {instead}", np.maximum(p, constant)),
        ):
            value: Operand = np.log(safe) if loss is None else loss.value(safe) if failure.quantity == "output" else _slope(loss, p, safe)
            yield formula(failure, "constant in the logarithm", words, value)


def _axis_of_log_softmax(failure: Failure) -> int | None:
    """Return the axis along which the reference's outputs are logarithms of probabilities; None if they are not."""
    call = failure.call
    if failure.quantity != "output" or call.params or call.constants or call.x.ndim < 2 or failure.expected.shape != call.x.shape:
        return None
    totals = ((axis, np.exp(failure.expected).sum(axis=axis)) for axis in (1, -1))
    return next((axis for axis, total in totals if all(_close(float(one), 1.0) for one in total.ravel())), None)


def _slope(loss: _LabelLoss, p: Operand, safe: Operand) -> Operand:
    """Return the gradient of -ln(safe[label]) with respect to the probabilities p, or to the logits; ``safe`` is p shifted or clamped.

    The derivative of p[label] with respect to the logits is p[label] * (onehot - p).
    """
    ratio = loss.onehot * (-1 * loss.share) / safe
    return p * (ratio - (p * ratio).sum(axis=-1, keepdims=True)) if loss.of_logits else ratio


def labels_smoothed(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: label smoothing takes a part of the target from the label and spreads it over all classes."""
    loss = _LabelLoss.of(failure)
    if loss is None or not loss.of_logits:
        return
    classes, x = failure.call.x.shape[-1], Tracked.exact(failure.call.x, failure.precision)
    if failure.quantity == "grad_input":
        part = multiple_of((loss.onehot - 1 / classes) * loss.share, failure.found.astype(np.float64) - failure.expected)
    else:
        even = float(loss.value(softmax(failure.call.x), np.full_like(loss.onehot, 1 / classes)))
        part = float(failure.found.reshape(-1)[0] - failure.expected.reshape(-1)[0]) / (even - float(failure.expected.reshape(-1)[0]))
    if not 0 < part <= 1 or not is_round_number(part):
        return
    p, target = softmax(x), loss.onehot * (1 - part) + part / classes
    words = f"labels are smoothed: {part:.6g} of each target is spread over the {classes} classes"
    yield formula(failure, "labels smoothed", words, loss.value(p, target) if failure.quantity == "output" else (p - target) * loss.share)


def onehot_left_out(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the gradient is the probabilities, without subtracting 1 at the label."""
    loss = _LabelLoss.of(failure)
    if loss is not None and loss.of_logits and failure.quantity == "grad_input":
        p = softmax(Tracked.exact(failure.call.x, failure.precision))
        yield formula(failure, "one-hot left out", "the gradient is the probabilities, without subtracting 1 at the label", p * loss.share)
        yield formula(failure, "one-hot left out", "1 is added at the label instead of subtracted", (p + loss.onehot) * loss.share)


def softmax(x: Operand, axis: int = -1) -> Operand:
    """Return the softmax of logits along an axis."""
    raised = np.exp(x - (x.value if isinstance(x, Tracked) else x).max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class _LabelLoss:
    """A loss with labels: the sum of -ln p[label] over the samples, times a factor."""

    onehot: npt.NDArray[np.float64]  # (batch, classes)
    share: float  # the factor of each sample's gradient: the upstream gradient, divided by the batch size if the loss is a mean
    scale: float  # the factor of the sum: 1 / batch size if the loss is a mean, otherwise 1
    of_logits: bool  # whether softmax is part of the loss

    @classmethod
    def of(cls, failure: Failure) -> _LabelLoss | None:
        """Return the reference's loss, recognized by its value on this call; None if it is not a -ln p[label] loss."""
        call, labels = failure.call, failure.call.constants.get("labels")
        if failure.quantity not in ("output", "grad_input") or call.x.ndim != 2:
            return None
        if labels is None or labels.dtype.kind not in "iu" or labels.ndim != 1:
            return None
        right = float(failure.oracle.vjp(call.forward)["output"].reshape(-1)[0])
        onehot = np.asarray(np.arange(call.x.shape[-1]) == labels[:, None], dtype=np.float64)
        cotangent = 1.0 if call.grad_output is None or call.grad_output.size != 1 else float(call.grad_output.reshape(-1)[0])
        with np.errstate(all="ignore"):
            depths = call.x - call.x.max(axis=-1, keepdims=True)
            for of_logits, logarithms in ((True, depths - np.log(np.exp(depths).sum(axis=-1, keepdims=True))), (False, np.log(call.x))):
                total = -float(logarithms[onehot > 0].sum())
                for scale in (1 / len(call.x), 1.0):
                    if _close(scale * total, right):
                        return cls(onehot, cotangent * scale, scale, of_logits)
        return None

    def value(self, p: Operand, target: npt.NDArray[np.float64] | None = None) -> Operand:
        """Return the scalar loss of probabilities, for the labels or for a target that is spread over several classes."""
        if target is not None:
            return -1 * (np.log(p) * target).sum() * self.scale
        own = (p * self.onehot).sum(axis=-1)
        return -1 * np.log(own).sum() * self.scale


def _close(one: float, other: float) -> bool:
    """Return whether two numbers agree in half of float64's digits: two forms of the same formula do, two different losses do not."""
    return abs(one - other) <= float(np.sqrt(np.finfo(np.float64).eps)) * abs(other)


def _gives_probabilities(failure: Failure) -> bool:
    call = failure.call
    if call.params or call.constants or call.x.ndim < 2:
        return False
    output: Any = failure.oracle.vjp(Call(call.x))["output"]
    if output.shape != call.x.shape or (output < 0).any():
        return False
    return any(all(_close(float(total), 1.0) for total in output.sum(axis=axis).reshape(-1)) for axis in (1, -1))
