"""Confirm a cause on another call, which took no part in the search.

A fault model that fits the numbers of one call may fit them by chance, or because of something special about this call: on tiny inputs, another
epsilon multiplies every number by the same factor. So the layer is called again on other numbers, and the same fault has to explain these as well.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from crosscheck.causes.evidence import Evidence, Explanation, agreement, in_its_precision
from crosscheck.core.check_layer import Failure, check_layer
from crosscheck.core.guard import SubjectError
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import DECISIONS, Call
from crosscheck.core.precision import Array
from crosscheck.core.subject import DrawingLayer, SubjectLayer

_SEED = 0

_SHARE = -0.75
"""Upstream gradients are multiplied by this number, because a scalar one cannot be permuted. An array of equal numbers is multiplied by its size."""


@dataclass(frozen=True)
class Confirmation:
    """Tests explanations of a failure on other calls of the same layer.

    Nothing can be tested if the layer cannot be called again: if its code has run already, if the numbers come from a training step or a dropout's
    mask and not from the layer alone, or if the reference knows the recorded calls only. Then no explanation is refuted, and none is confirmed.
    """

    failure: Failure

    def refutes(self, explanation: Explanation) -> bool:
        """Return whether another call shows that an explanation is wrong.

        It is wrong if it does not explain a mismatch of the same quantity there, or if the quantity is right there although the fault predicts
        otherwise.
        """
        others = [self._other, self._right, *self._probed(explanation)]
        return any(other is not None and _contradicts(explanation, other) for other in others)

    @property
    def possible(self) -> bool:
        """Whether the layer could be called again, and the quantity be judged there."""
        return self._other is not None

    @cached_property
    def _other(self) -> Failure | None:
        """The same quantity on another call, right or wrong; None if there is no other call."""
        return self._on(permuted(self._given)) if self._repeats else None

    @cached_property
    def _right(self) -> Failure | None:
        """The same quantity on a call on which it was found right, such as one of the declared size; None if there is none."""
        return self._on(self.failure.right) if self.failure.right is not None and self._repeats else None

    def _probed(self, explanation: Explanation) -> list[Failure | None]:
        probes = explanation.candidate.probes
        if probes is None or not self._repeats:
            return []
        return [self._on(probe) for probe in probes(self._given)]

    @cached_property
    def _given(self) -> Call:
        """The failing call as the layer received it, without decisions that were imposed for its numbers alone."""
        failure = self.failure
        call = failure.call.astype(failure.precision.dtype) if failure.given is None else failure.given
        return replace(call, constants={name: value for name, value in call.constants.items() if name != DECISIONS})

    @cached_property
    def _repeats(self) -> bool:
        """Whether the layer, called again on the failing call, returns the numbers that were judged."""
        failure = self.failure
        try:
            found = failure.subject.vjp(_copied(self._given)).get(failure.quantity)
        except SubjectError as error:
            found = error.found.get(failure.quantity)
        if found is None or found.shape != failure.found.shape or found.dtype != failure.found.dtype:
            return False
        with np.errstate(all="ignore"):
            same = np.abs(found - failure.found) <= failure.precision.tolerance(failure.bound)
        return bool((same | (found == failure.found) | (np.isnan(found) & np.isnan(failure.found))).all())

    def _on(self, call: Call) -> Failure | None:
        """Return the failing quantity on another call; None if the subject or the reference does not compute it there."""
        failure, layer = self.failure, self.failure.subject
        with suppress(SubjectError, ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            if "mask" in call.constants:
                layer, call = _drawn(layer, call)
            checked = check_layer(layer, failure.oracle, call, failure.precision, failure.judgement.place.layer, only=[failure.quantity])
            judgement = checked.judgements[0]
            if judgement.verdict in (Verdict.MATCH, Verdict.MISMATCH) and failure.quantity in checked.judged_by:
                found = checked.failure(judgement)
                return None if found is None else in_its_precision(found)
        return None


def permuted(call: Call) -> Call:
    """Return a call with the same numbers in other places, each array in its order in memory; constants stay as they are.

    So the numbers of each array keep their size and their domain: probabilities stay probabilities, and variances stay positive.
    """
    rng = np.random.default_rng(_SEED)

    def moved(array: Array) -> Array:
        values = rng.permutation(array.ravel())
        if values.size and (values == values[0]).all():
            values = values * array.dtype.type(abs(_SHARE))
        return arranged(values.reshape(array.shape), memory_of(array))

    other = replace(call, constants={}).each(moved)
    cotangents = {name: arranged(value * value.dtype.type(_SHARE), memory_of(value)) for name, value in other.cotangents.items()}
    return replace(other, cotangents=cotangents, constants=call.constants)


def _copied(call: Call) -> Call:
    """Return a call with copies of all arrays, because the subject may write to what it is given."""
    constants = {name: value.copy() for name, value in call.constants.items()}
    return replace(replace(call, constants={}).each(lambda array: arranged(array, memory_of(array))), constants=constants)


def _drawn(layer: SubjectLayer, call: Call) -> tuple[SubjectLayer, Call]:
    """Let a dropout layer draw another mask; raise LookupError if it cannot, because the mask of the failing call does not belong to other calls."""
    if not hasattr(layer, "redrawn"):
        raise LookupError("the layer draws a mask that is not known")
    return cast("DrawingLayer", layer).redrawn(call)


def _contradicts(explanation: Explanation, other: Failure) -> bool:
    """Return whether the numbers of another call speak against an explanation."""
    evidence, first = Evidence(other), explanation.candidate
    model = first.again or explanation.model
    same = [one for one in evidence.candidates(model) if (one.name, one.words) == (first.name, first.words)]
    if other.judgement.verdict is Verdict.MISMATCH:
        return not any(evidence.explained(one, model) for one in same)
    return bool(same) and not any(
        one.expected.shape == other.found.shape
        and one.dtype in (None, other.found.dtype)
        and agreement(other, one, one.limits(other)).verdict is Verdict.MATCH
        for one in same
    )
