"""Mistakes in losses of labels and in softmax: the wrong label, a constant in the logarithm, softmax twice or over the wrong axis, no one-hot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, formula, moved_bound, recomputed
from crosscheck.causes.scale import chosen_by_people, multiple_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.running_error import Operand, Tracked

_CONSTANTS = (*(10.0**-power for power in range(15, 2, -1)), float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps))
"""What people add to a probability so that its logarithm is finite."""


def label_off_by_one(failure: Failure) -> Iterator[Candidate]:
    """Take the class beside the labelled one; at the end that of the other end, or the last one again."""
    labels, x = failure.call.constants.get("labels"), failure.call.x
    if labels is None or labels.dtype.kind not in "iu" or x.ndim < 2:
        return
    last = x.shape[-1] - 1
    for step, which, wrapped, kept in (
        (1, "after", "the first one after the last", "last"),
        (-1, "before", "the last one before the first", "first"),
    ):
        beside = labels.astype(np.int64) + step
        for at_end, other in ((wrapped, beside % (last + 1)), (f"the {kept} one itself where it is the {kept}", np.clip(beside, 0, last))):
            call = replace(failure.call, constants={**failure.call.constants, "labels": other})
            yield recomputed(failure, "label off by one", f"the class {which} the labelled one is taken, {at_end}", call)


def softmax_twice(failure: Failure) -> Iterator[Candidate]:
    """Apply softmax to what is probabilities already."""
    call, name = failure.call, "softmax twice"
    law = _Law.of(failure)
    if law is not None and law.of_logits:
        words = "softmax is applied twice: the loss takes logits, and is given probabilities"
        yield recomputed(failure, name, words, replace(call, x=softmax(call.x)))
        if failure.quantity == "grad_input":
            p = softmax(Tracked.exact(call.x, failure.precision))
            slope = (softmax(p) - law.onehot) * law.share
            yield formula(failure, name, words, p * (slope - (p * slope).sum(axis=-1, keepdims=True)))
    elif law is None and _gives_probabilities(failure):
        yield recomputed(failure, name, "softmax is applied twice", replace(call, x=failure.oracle.vjp(replace(call, grad_output=None))["output"]))


def wrong_axis(failure: Failure) -> Iterator[Candidate]:
    """Take sums or maxima along another axis, such as the batch."""
    call, x, name = failure.call, failure.call.x, "wrong axis"
    law = _Law.of(failure)
    if law is not None and law.of_logits and len(x) > 1:
        p = softmax(Tracked.exact(x, failure.precision), axis=0)
        words = "softmax goes over the batch, where it has to go over the classes"
        yield formula(failure, name, words, law.loss(p) if failure.quantity == "output" else (p - law.onehot) * law.share)
    if failure.quantity == "output" and x.ndim == 2 and x.shape[0] == x.shape[1] and _gives_probabilities(failure):
        logits = Tracked.exact(x, failure.precision)
        for rows, which in ((True, "sums"), (False, "maxima and sums")):
            raised = np.exp(logits - x.max(axis=1, keepdims=rows))
            words = f"the {which} of the rows meet the columns: without keepdims=True they are aligned with the last axis"
            yield formula(failure, name, words, raised / raised.sum(axis=1))
    output = failure.expected if call.grad_output is None else call.grad_output
    if call.params or call.constants or x.ndim < 2 or not x.shape == output.shape == failure.expected.shape:
        return
    for one, other in ((one, other) for one in {1, x.ndim - 1} for other in range(x.ndim) if one != other):
        exchanged = replace(call, x=x.swapaxes(one, other))
        if call.grad_output is not None:
            exchanged = replace(exchanged, grad_output=call.grad_output.swapaxes(one, other))
        words = f"it goes along axis {other} of the input, where it has to go along axis {one}"
        yield _back(recomputed(failure, name, words, exchanged), one, other, failure)


def _back(candidate: Candidate, one: int, other: int, failure: Failure) -> Candidate:
    """Return a candidate of a call whose axes were exchanged with its own axes exchanged."""

    def move(array: Array) -> Array:
        return array.swapaxes(one, other)

    def bound() -> Bound:
        return moved_bound(candidate.limits(failure), candidate.expected.shape, move)

    return replace(candidate, expected=move(candidate.expected), bound=bound, call=None)


def constant_in_logarithm(failure: Failure) -> Iterator[Candidate]:
    """Add a small number to the probability before its logarithm, or let none be smaller."""
    law = _Law.of(failure)
    if law is None:
        return
    x = Tracked.exact(failure.call.x, failure.precision)
    p: Operand = softmax(x) if law.of_logits else x
    for constant in _CONSTANTS:
        for words, safe in (
            (f"{constant:.3g} is added to the probability before its logarithm is taken", p + constant),
            (f"a probability is {constant:.3g} at least before its logarithm is taken", np.maximum(p, constant)),
        ):
            value: Tracked = law.loss(safe) if failure.quantity == "output" else _slope(law, p, safe)
            yield formula(failure, "constant in the logarithm", words, value)


def _slope(law: _Law, p: Operand, safe: Operand) -> Operand:
    """Return the derivative of -ln of a probability that was made safe; by the logits d p = p (onehot - p[label])."""
    ratio = law.onehot * (-1 * law.share) / safe
    return p * (ratio - (p * ratio).sum(axis=-1, keepdims=True)) if law.of_logits else ratio


def labels_smoothed(failure: Failure) -> Iterator[Candidate]:
    """Take a part of the target from the label and share it among all classes."""
    law = _Law.of(failure)
    if law is None or not law.of_logits:
        return
    classes, x = failure.call.x.shape[-1], Tracked.exact(failure.call.x, failure.precision)
    if failure.quantity == "grad_input":
        part = multiple_of((law.onehot - 1 / classes) * law.share, failure.found.astype(np.float64) - failure.expected)
    else:
        even = float(law.loss(softmax(failure.call.x), np.full_like(law.onehot, 1 / classes)))
        part = float(failure.found.reshape(-1)[0] - failure.expected.reshape(-1)[0]) / (even - float(failure.expected.reshape(-1)[0]))
    if not 0 < part <= 1 or not chosen_by_people(part):
        return
    p, target = softmax(x), law.onehot * (1 - part) + part / classes
    words = f"labels are smoothed: {part:.6g} of each target is shared among the {classes} classes"
    yield formula(failure, "labels smoothed", words, law.loss(p, target) if failure.quantity == "output" else (p - target) * law.share)


def onehot_left_out(failure: Failure) -> Iterator[Candidate]:
    """Hand back the probabilities themselves, without the 1 that has to be subtracted at the label."""
    law = _Law.of(failure)
    if law is not None and law.of_logits and failure.quantity == "grad_input":
        p = softmax(Tracked.exact(failure.call.x, failure.precision))
        yield formula(failure, "one-hot left out", "the gradient is the probabilities, without subtracting 1 at the label", p * law.share)
        yield formula(failure, "one-hot left out", "the 1 is added at the label, where it has to be subtracted", (p + law.onehot) * law.share)


def softmax(x: Operand, axis: int = -1) -> Operand:
    """Return the probabilities that belong to logits."""
    raised = np.exp(x - (x.value if isinstance(x, Tracked) else x).max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


@dataclass(frozen=True)
class _Law:
    """What a loss of labels makes of a batch: the sum over samples of -ln p[label], times the cotangent's share of each.

    Attributes
    ----------
    onehot : array of shape (batch, classes)
    share : float
        What the gradient of each sample is multiplied by: the cotangent, divided by the batch size for a mean.
    scale : float
        What the sum of the losses is multiplied by: 1 over the batch size for a mean.
    of_logits : bool
        Whether softmax is part of the loss.
    """

    onehot: npt.NDArray[np.float64]
    share: float
    scale: float
    of_logits: bool

    @classmethod
    def of(cls, failure: Failure) -> _Law | None:
        """Return the loss that the reference is, as its own numbers show it; None where it is another one."""
        call, labels = failure.call, failure.call.constants.get("labels")
        if failure.quantity not in ("output", "grad_input") or call.x.ndim != 2:
            return None
        if labels is None or labels.dtype.kind not in "iu" or labels.ndim != 1:
            return None
        right = float(failure.oracle.vjp(replace(call, grad_output=None))["output"].reshape(-1)[0])
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

    def loss(self, p: Operand, target: npt.NDArray[np.float64] | None = None) -> Operand:
        """Return the loss of probabilities, in the shape of a scalar, for the labels or for a target that is shared among several classes."""
        if target is not None:
            return -1 * (np.log(p) * target).sum() * self.scale
        own = (p * self.onehot).sum(axis=-1)
        return -1 * np.log(own).sum() * self.scale


def _close(one: float, other: float) -> bool:
    """Return whether two numbers agree in half of float64's digits, as two forms of one formula do and two different losses do not."""
    return abs(one - other) <= float(np.sqrt(np.finfo(np.float64).eps)) * abs(other)


def _gives_probabilities(failure: Failure) -> bool:
    call = failure.call
    if call.params or call.constants or call.x.ndim < 2:
        return False
    output: Any = failure.oracle.vjp(Call(call.x))["output"]
    if output.shape != call.x.shape or (output < 0).any():
        return False
    return any(all(_close(float(total), 1.0) for total in output.sum(axis=axis).reshape(-1)) for axis in (1, -1))
