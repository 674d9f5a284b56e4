"""The known mistakes in dropout: with the mask that was drawn, numbers are scaled otherwise, or the gradient is masked otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crosscheck.causes.candidate import Candidate, theory_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.theories import Keeping, Scaling

_ROUNDINGS = 4.0
"""Roundings of a product with a quotient of two constants, each of which is rounded, too."""


def scaled_otherwise(failure: Failure) -> Iterator[Candidate]:
    """Scale what is kept by something else than 1 / (1 - p)."""
    mask, values, theory = failure.call.constants.get("mask"), _values(failure), theory_of(failure)
    if mask is None or values is None or not isinstance(theory, Scaling):
        return
    p, kept, masked = theory.p, 1 - theory.p, np.asarray(values * mask)
    if mask.all():
        words = "nothing is dropped in training, and nothing scaled, as in evaluation"
        yield Candidate("evaluation in training", words, values, Bound.exact(values))
        return
    words = f"what is kept is not scaled by 1 / (1 - p) = {1 / kept:g}"
    yield Candidate("mask not scaled", words, masked, Bound.exact(masked))
    if p != kept:
        words = f"what is kept is divided by p = {p:g}, the probability of being dropped, where 1 - p = {kept:g} is due"
        yield _rounded("mask scaled by p", words, masked / p)
    yield _rounded("mask scaled twice", "what is kept is scaled by 1 / (1 - p) twice", masked / kept**2)
    words = f"what is kept is multiplied by 1 - p = {kept:g}, where it has to be divided"
    yield _rounded("mask multiplied by the share", words, masked * kept)


def masked_otherwise(failure: Failure) -> Iterator[Candidate]:
    """Drop other elements on the way back than on the way forward."""
    values, theory = _values(failure), theory_of(failure)
    if values is None or not isinstance(theory, Scaling) or failure.quantity != "grad_input":
        return
    dropped, right = (failure.found == 0) & (values != 0), failure.expected == 0
    if (dropped == right).all():
        return
    words = f"the backward pass drops {int(dropped.sum())} elements, others than the {int(right.sum())} of the forward pass"
    yield _rounded("another mask in backward", words, np.where(dropped, 0, values / (1 - theory.p)))


def changed_in_evaluation(failure: Failure) -> Iterator[Candidate]:
    """Drop or scale in evaluation."""
    values, theory = _values(failure), theory_of(failure)
    if values is None or not isinstance(theory, Keeping):
        return
    kept, dropped = 1 - theory.p, (failure.found == 0) & (values != 0)
    for factor in (kept, 1 / kept):
        words = f"evaluation multiplies by {factor:g}, although what training kept is scaled already"
        yield _rounded("scaled in evaluation", words, values * factor)
    if dropped.any() and not dropped.all():
        words = f"evaluation drops {int(dropped.sum())} of {dropped.size} elements"
        for factor in (1.0, 1 / kept):
            yield _rounded("mask in evaluation", words, np.where(dropped, 0, values * factor))


def _values(failure: Failure) -> Array | None:
    """Return what is masked: the input on the way forward, the cotangent on the way back."""
    return {"output": failure.call.x, "grad_input": failure.call.grad_output}.get(failure.quantity)


def _rounded(name: str, words: str, expected: Array) -> Candidate:
    return Candidate(name, words, expected, Bound(np.abs(expected), _ROUNDINGS))
