"""Check one layer on one call: compare every quantity with the oracle's value, and keep the data that a diagnosis of a mismatch needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from crosscheck.core.guard import SubjectError
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.subject import SubjectLayer
from crosscheck.core.trace import Place
from crosscheck.core.witness import Evidence, witness_errors

NOT_COMPUTED = "your code did not compute it"


def forward_quantities(call: Call) -> list[str]:
    """Return the names of the quantities of the forward pass, in execution order."""
    return [*call.outputs, *call.buffers]


def backward_quantities(call: Call) -> list[str]:
    """Return the names of the quantities of the backward pass, in execution order."""
    return [*call.variables()] if call.cotangents else []


def quantities(call: Call) -> list[str]:
    """Return the names of all quantities that a layer computes for a call, in execution order."""
    return [*forward_quantities(call), *backward_quantities(call)]


def with_reading(bound: Bound, reading: Bound | None, precision: Precision) -> Bound:
    """Return a bound that also allows for the error of measuring the quantity; ``reading`` is None if it is not measured but read directly."""
    if reading is None:
        return bound
    return Bound(precision.error(bound) + precision.error(reading), 1.0)


@dataclass(frozen=True)
class LayerContext:
    """The values that a layer is expected to compute for a call, or the reason why they are unknown."""

    call: Call  # in the layer's precision
    wide: Call  # the same numbers in float64, for the oracle
    expected: dict[str, Array] = field(default_factory=dict)  # by quantity; empty if the oracle gives no values for the call
    bounds: dict[str, Bound] = field(default_factory=dict)  # of the same quantities
    undecided: str = ""  # why quantities are missing from ``expected``
    oracle: Oracle | None = None  # the oracle that computed the expected values; it also runs the witness
    precision: Precision | None = None
    given: Arrays | None = None  # the witness's errors by quantity, if they were measured before

    @property
    def witness(self) -> Arrays:
        """The witness's errors by quantity; computed at the first use, because they are not needed if theory alone gives ``match``."""
        return self._witness_or_why_not[0]

    @property
    def no_witness(self) -> str:
        """Why some or all of the witness's results could not be computed; empty if all could."""
        return self._witness_or_why_not[1]

    @cached_property
    def _witness_or_why_not(self) -> tuple[Arrays, str]:
        if self.given is not None or self.oracle is None or self.precision is None:
            return self.given or {}, ""
        try:
            errors = witness_errors(self.oracle, self.call, self.expected, self.precision)
            missing = ", ".join(name for name in self.expected if name not in errors)
            return errors, f"the reference computes {missing} in another precision than its input has" if missing else ""
        except RefusedError as error:
            return {}, str(error)

    @property
    def judged_whole(self) -> bool:
        """Whether the expected value of every quantity is known."""
        return all(quantity in self.expected for quantity in quantities(self.call))


def context_of(oracle: Oracle, call: Call, precision: Precision, witness: Arrays | None = None) -> LayerContext:
    """Return the values that a layer should compute for a call. If the upstream gradient is not finite, only the forward pass has expected values.

    ``call`` is in the layer's precision; ``witness`` is as for :func:`check_layer`.
    """
    forward = call.forward
    if not forward.finite():
        return LayerContext(call, call, undecided="a value that the layer received is not finite")
    usable = all(bool(np.isfinite(cotangent).all()) for cotangent in call.cotangents.values())
    wide = (call if usable else forward).astype(np.float64)
    try:
        expected = oracle.vjp(wide)
        bounds = oracle.rounding.bounds(oracle, wide, expected, precision)
    except RefusedError as error:
        return LayerContext(call, wide, undecided=str(error))
    return LayerContext(call, wide, expected, bounds, "its upstream gradient is not finite", oracle, precision, witness)


@dataclass(frozen=True)
class LayerCheck:
    """The judgements on one layer for one call, and the data behind them."""

    subject: SubjectLayer
    oracle: Oracle
    precision: Precision
    call: Call  # in the subject's precision
    wide: Call  # the same numbers in float64, for the oracle
    found: Mapping[str, Array]  # the subject's values by quantity; empty, like the next two, if the call was not finite or the oracle refused it
    expected: Mapping[str, Array]
    bounds: Mapping[str, Bound]
    judgements: list[Judgement]  # one for each quantity, in execution order
    # the bound by which each quantity was judged; it includes the error of measuring the quantity and the room that the witness added
    judged_by: Mapping[str, Bound] = field(default_factory=dict)
    witness: Arrays = field(default_factory=dict)  # the witness's errors by quantity; empty if it was not needed
    no_witness: str = ""  # why the witness could not be computed although it was needed

    def failure(self, judgement: Judgement) -> Failure | None:
        """Return the data that a diagnosis of this judgement needs; None if the subject did not compute the quantity."""
        quantity = judgement.place.quantity
        found = self.found.get(quantity)
        if found is None:
            return None
        expected, bound = self.expected[quantity], self.judged_by[quantity]
        return Failure(judgement, found, expected, bound, self.wide, self.oracle, self.subject, self.precision, self.call)


def check_layer(
    subject: SubjectLayer,
    oracle: Oracle,
    call: Call,
    precision: Precision,
    layer: str,
    step: int = 0,
    only: Iterable[str] | None = None,
    witness: Arrays | None = None,
) -> LayerCheck:
    """Judge every quantity that one layer computes for one call. The subject gets the call in its own precision, the oracle in float64.

    Parameters
    ----------
    layer : str
        The layer's name in reports.
    step : int
        The training step, or 0.
    only : iterable of str, optional
        The quantities to judge; all if left out.
    witness : mapping of str to array, optional
        The witness's errors by quantity, if they were measured before; an empty mapping means that theory alone judges.
    """
    call = call.astype(precision.dtype)
    places = {quantity: Place(step, layer, quantity) for quantity in (quantities(call) if only is None else only)}

    # The subject may change the arrays; they are then restored from this copy.
    kept = call.copied()
    context = context_of(oracle, kept, precision, witness)
    if not context.expected:
        judgements = [Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, reason=context.undecided) for place in places.values()]
        return LayerCheck(subject, oracle, precision, call, context.wide, {}, {}, {}, judgements)
    reason = NOT_COMPUTED
    try:
        found = subject.vjp(call)
    except SubjectError as error:
        found, reason = error.found, error.reason
    _put_back(call, kept)
    judged = {name: judge_one(place, Kind.ISOLATED, name, found.get(name), context, subject, precision) for name, place in places.items()}
    judgements = [replace(j, reason=reason) if j.reason == NOT_COMPUTED else j for j, _ in judged.values()]
    by = {name: bound for name, (_, bound) in judged.items() if bound is not None}
    wanted = any(judgement.exceeding or judgement.witness_effect for judgement in judgements)
    used, missing = (context.witness, context.no_witness) if wanted else ({}, "")
    return LayerCheck(subject, oracle, precision, call, context.wide, found, context.expected, context.bounds, judgements, by, used, missing)


def _put_back(call: Call, kept: Call) -> None:
    """Undo a subject's changes to the arrays of a call by writing the old values into them, so that their order in memory stays the same."""
    for arrays, copies in ((call.inputs, kept.inputs), (call.cotangents, kept.cotangents), (call.constants, kept.constants)):
        for name, before in copies.items():
            if not np.array_equal(arrays[name], before, equal_nan=before.dtype.kind == "f"):
                arrays[name][...] = before


def judge_one(
    place: Place, kind: Kind, quantity: str, found: Array | None, context: LayerContext, subject: SubjectLayer, precision: Precision
) -> tuple[Judgement, Bound | None]:
    """Judge one quantity of a layer; return the judgement and the bound that was used, if any.

    A quantity without an expected value is undecided. A quantity that the subject does not have is skipped if ``subject.absent`` says why, and
    otherwise a mismatch. Theory judges first; the witness is used only if theory alone does not find every element right.
    """
    if quantity not in context.expected:
        return Judgement(place, kind, Verdict.UNDECIDED, reason=context.undecided), None
    if found is None:
        if quantity in subject.absent:
            return Judgement(place, kind, Verdict.SKIPPED, reason=subject.absent[quantity]), None
        return Judgement(place, kind, Verdict.MISMATCH, reason=NOT_COMPUTED), None
    bound, expected = with_reading(context.bounds[quantity], subject.reading(quantity, context.call, found), precision), context.expected[quantity]
    judgement = judge(place, kind, found, expected, bound, precision)
    if judgement.verdict is Verdict.MATCH and judgement.elements == found.size:
        return judgement, bound
    errors = context.witness.get(quantity)
    if errors is None or errors.shape != expected.shape:
        return judgement, bound
    return Evidence(found, expected, bound, errors, context.call, precision).reconsider(judgement)


@dataclass(frozen=True)
class Failure:
    """A mismatch, the data from which it was judged (the call in float64), and the layer, which a diagnosis may call again."""

    judgement: Judgement
    found: Array
    expected: Array
    bound: Bound
    call: Call
    oracle: Oracle
    subject: SubjectLayer
    precision: Precision
    given: Call | None = None  # the call as the layer received it, in the subject's precision and order in memory, if it was made by the harness
    right: Call | None = None  # another call, perhaps of another size, on which the quantity was found right

    @property
    def quantity(self) -> str:
        """The name of the quantity."""
        return self.judgement.place.quantity
