"""Known mistakes in dropout: the kept elements are scaled wrongly, the backward pass uses a different mask, or evaluation changes its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, theory_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.theories import Keeping, Scaling

_ROUNDINGS = 4.0
"""Number of roundings in a product of a value and a quotient of two rounded constants."""


def wrong_dropout_scale(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the kept elements are scaled by a factor other than 1 / (1 - p)."""
    mask, values, theory = failure.call.constants.get("mask"), _values(failure), theory_of(failure)
    if mask is None or values is None or not isinstance(theory, Scaling):
        return
    p, kept, masked = theory.p, 1 - theory.p, np.asarray(values * mask)
    if mask.all():
        words = "training neither drops nor scales anything, as if in evaluation"
        yield Candidate("evaluation in training", words, values, Bound.exact(values))
        return
    words = f"the kept elements are not scaled by 1 / (1 - p) = {1 / kept:g}"
    yield Candidate("mask not scaled", words, masked, Bound.exact(masked))
    if p != kept:
        words = f"the kept elements are divided by p = {p:g}, the probability of being dropped, instead of by 1 - p = {kept:g}"
        yield _rounded("mask scaled by p", words, masked / p)
    yield _rounded("mask scaled twice", "the kept elements are scaled by 1 / (1 - p) twice", masked / kept**2)
    words = f"the kept elements are multiplied by 1 - p = {kept:g} instead of divided by it"
    yield _rounded("mask multiplied by 1 - p", words, masked * kept)


def wrong_dropout_mask(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the backward pass does not drop the same elements as the forward pass."""
    values, theory = _values(failure), theory_of(failure)
    if values is None or not isinstance(theory, Scaling) or failure.quantity != "grad_input":
        return
    dropped, right = (failure.found == 0) & (values != 0), failure.expected == 0
    if (dropped == right).all():
        return
    words = "the backward pass does not drop the elements that the forward pass dropped: keep the mask of the forward pass"
    note = f"; it drops {int(dropped.sum())} elements, the forward pass {int(right.sum())}"
    yield replace(_rounded("different mask in backward", words, np.where(dropped, 0, values / (1 - theory.p))), note=note)


def changed_in_evaluation(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: evaluation drops or scales elements."""
    values, theory = _values(failure), theory_of(failure)
    if values is None or not isinstance(theory, Keeping):
        return
    kept, dropped = 1 - theory.p, (failure.found == 0) & (values != 0)
    for factor in (kept, 1 / kept):
        words = f"evaluation multiplies by {factor:g}, although training already scales the kept elements"
        yield _rounded("scaled in evaluation", words, values * factor)
    if dropped.any() and not dropped.all():
        words, note = "evaluation drops elements; it has to return its input", f"; {int(dropped.sum())} of {dropped.size} elements are dropped"
        for factor in (1.0, 1 / kept):
            yield replace(_rounded("mask in evaluation", words, np.where(dropped, 0, values * factor)), note=note)


def _values(failure: Failure) -> Array | None:
    """Return the array that the mask applies to: the input in the forward pass, the upstream gradient in the backward pass."""
    return {"output": failure.call.x, "grad_input": failure.call.grad_output}.get(failure.quantity)


def _rounded(name: str, words: str, expected: Array) -> Candidate:
    return Candidate(name, words, expected, Bound(np.abs(expected), _ROUNDINGS))
