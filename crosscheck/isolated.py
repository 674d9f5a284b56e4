"""One layer alone, on inputs and cotangents that the harness chose: whatever is wrong here is wrong in this layer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.containment import SubjectError
from crosscheck.failure import Failure
from crosscheck.judgement import Judgement, Kind, Verdict, judge
from crosscheck.operation import Call, Oracle, RefusedError
from crosscheck.subject import SubjectLayer
from crosscheck.trace import Place

NOT_COMPUTED = "the subject did not compute it"


def quantities(call: Call) -> list[str]:
    """Return the names of everything that a layer computes for a call, in execution order."""
    if call.grad_output is None:
        return ["output"]
    return ["output", "grad_input", *(f"{name}.grad" for name in call.params)]


def with_reading(bound: Bound, reading: Bound | None, arithmetic: Arithmetic) -> Bound:
    """Return a bound to which the error of reading the quantity is added."""
    if reading is None:
        return bound
    return Bound(arithmetic.error(bound) + arithmetic.error(reading), 1.0)


@dataclass(frozen=True)
class LayerCheck:
    """The judgements on one layer for one call, and what they were made from.

    Attributes
    ----------
    subject : SubjectLayer
    oracle : Oracle
    arithmetic : Arithmetic
    call : Call
        In the subject's precision.
    wide : Call
        The same numbers as the oracle got them, in float64.
    found, expected, bounds : mapping
        By quantity; empty where the call itself was not finite or the oracle refused it.
    judgements : list of Judgement
        One for each quantity, in execution order; skipped ones with the reason.
    """

    subject: SubjectLayer
    oracle: Oracle
    arithmetic: Arithmetic
    call: Call
    wide: Call
    found: Mapping[str, Array]
    expected: Mapping[str, Array]
    bounds: Mapping[str, Bound]
    judgements: list[Judgement]

    def failure(self, judgement: Judgement) -> Failure | None:
        """Return what a diagnosis of one of the judgements needs; None where the subject computed nothing to diagnose."""
        quantity = judgement.place.quantity
        found = self.found.get(quantity)
        if found is None:
            return None
        bound = with_reading(self.bounds[quantity], self.subject.reading(quantity, self.call, found), self.arithmetic)
        return Failure(judgement, found, self.expected[quantity], bound, self.wide, self.oracle, self.subject, self.arithmetic)


def check_layer(
    subject: SubjectLayer, oracle: Oracle, call: Call, arithmetic: Arithmetic, layer: str, step: int = 0, only: Iterable[str] | None = None
) -> LayerCheck:
    """Judge every quantity of one layer for one call.

    Parameters
    ----------
    subject : SubjectLayer
        Gets the call in the subject's precision.
    oracle : Oracle
        Gets the very same numbers in float64.
    call : Call
        Converted to the subject's precision.
    arithmetic : Arithmetic
        The subject's.
    layer : str
        The layer's name, for the places.
    step : int
        The training step, or 0.
    only : iterable of str, optional
        The quantities to judge; all of them if left out.
    """
    call = call.astype(arithmetic.dtype)
    places = {quantity: Place(step, layer, quantity) for quantity in (quantities(call) if only is None else only)}

    def undecided(reason: str) -> LayerCheck:
        judgements = [Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, reason=reason) for place in places.values()]
        return LayerCheck(subject, oracle, arithmetic, call, call, {}, {}, {}, judgements)

    if not call.finite():
        return undecided("its inputs are not finite")
    # A copy, made before the subject sees the arrays: it may write to them.
    wide = copy.deepcopy(call).astype(np.float64)
    try:
        expected = oracle.vjp(wide)
    except RefusedError as error:
        return undecided(str(error))
    reason = NOT_COMPUTED
    try:
        found = subject.vjp(call)
    except SubjectError as error:
        found, reason = error.found, error.reason
    bounds = oracle.rounding.bounds(oracle, wide, expected, arithmetic)
    judgements = [
        judge_one(place, Kind.ISOLATED, quantity, found.get(quantity), expected, bounds, subject, call, arithmetic)
        for quantity, place in places.items()
    ]
    judgements = [replace(j, reason=reason) if j.reason == NOT_COMPUTED else j for j in judgements]
    return LayerCheck(subject, oracle, arithmetic, call, wide, found, expected, bounds, judgements)


def judge_one(
    place: Place,
    kind: Kind,
    quantity: str,
    found: Array | None,
    expected: dict[str, Array],
    bounds: dict[str, Bound],
    subject: SubjectLayer,
    call: Call,
    arithmetic: Arithmetic,
) -> Judgement:
    """Judge one quantity of a layer; a quantity that is not there is skipped for the reason that the subject gives, and wrong without one."""
    if found is None:
        if quantity in subject.absent:
            return Judgement(place, kind, Verdict.SKIPPED, reason=subject.absent[quantity])
        return Judgement(place, kind, Verdict.MISMATCH, reason=NOT_COMPUTED)
    bound = with_reading(bounds[quantity], subject.reading(quantity, call, found), arithmetic)
    return judge(place, kind, found, expected[quantity], bound, arithmetic)
