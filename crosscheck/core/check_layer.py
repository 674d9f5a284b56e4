"""One layer checked on one call: every quantity that it computes beside the oracle's, and what a diagnosis of a mismatch needs."""

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

NOT_COMPUTED = "the subject did not compute it"


def forward_quantities(call: Call) -> list[str]:
    """Return the names of what a layer computes on the way forward, in execution order."""
    return ["output", *call.buffers]


def backward_quantities(call: Call) -> list[str]:
    """Return the names of what a layer computes on the way back, in execution order."""
    return [] if call.grad_output is None else ["grad_input", *(f"{name}.grad" for name in call.params)]


def quantities(call: Call) -> list[str]:
    """Return the names of everything that a layer computes for a call, in execution order."""
    return [*forward_quantities(call), *backward_quantities(call)]


def with_reading(bound: Bound, reading: Bound | None, precision: Precision) -> Bound:
    """Return a bound to which the error of reading the quantity is added."""
    if reading is None:
        return bound
    return Bound(precision.error(bound) + precision.error(reading), 1.0)


@dataclass(frozen=True)
class LayerContext:
    """What a layer is expected to compute for a call, or why that is not known.

    Attributes
    ----------
    call : Call
        As the layer got it.
    wide : Call
        The same numbers as the oracle got them, in float64.
    expected, bounds : mapping
        By quantity; empty where the oracle could not be asked.
    undecided : str
        Why a quantity is not among those expected.
    oracle : Oracle or None
        The one that gave the values and can give its witness; None where a witness is of no use.
    precision : Precision or None
        The layer's.
    given : mapping of str to array, optional
        The witness's errors by quantity, where another machine's are to be used.
    """

    call: Call
    wide: Call
    expected: dict[str, Array] = field(default_factory=dict)
    bounds: dict[str, Bound] = field(default_factory=dict)
    undecided: str = ""
    oracle: Oracle | None = None
    precision: Precision | None = None
    given: Arrays | None = None

    @property
    def testimony(self) -> Arrays:
        """The errors of the witness by quantity; asked for only where theory alone does not say ``match``."""
        return self._heard[0]

    @property
    def no_witness(self) -> str:
        """Why the witness could not be heard, where it was wanted."""
        return self._heard[1]

    @cached_property
    def _heard(self) -> tuple[Arrays, str]:
        if self.given is not None or self.oracle is None or self.precision is None:
            return self.given or {}, ""
        try:
            errors = witness_errors(self.oracle, self.call, self.expected, self.precision)
            missing = ", ".join(name for name in self.expected if name not in errors)
            return errors, f"the reference computes {missing} in another precision than that of its input" if missing else ""
        except RefusedError as error:
            return {}, str(error)

    @property
    def judged_whole(self) -> bool:
        """Whether every quantity of the layer could be worked out."""
        return all(quantity in self.expected for quantity in quantities(self.call))


def context_of(oracle: Oracle, call: Call, precision: Precision, testimony: Arrays | None = None) -> LayerContext:
    """Ask the oracle what a layer should make of a call; its output can be judged even where its cotangent cannot be used.

    Parameters
    ----------
    call : Call
        In the layer's precision.
    precision : Precision
        The layer's.
    testimony : mapping of str to array, optional
        The witness's errors by quantity, where it is not to be asked again; an empty one leaves theory alone.
    """
    forward = replace(call, grad_output=None)
    if not forward.finite():
        return LayerContext(call, call, undecided="what it was given is not finite")
    usable = call.grad_output is None or bool(np.isfinite(call.grad_output).all())
    wide = (call if usable else forward).astype(np.float64)
    try:
        expected = oracle.vjp(wide)
        bounds = oracle.rounding.bounds(oracle, wide, expected, precision)
    except RefusedError as error:
        return LayerContext(call, wide, undecided=str(error))
    return LayerContext(call, wide, expected, bounds, "its cotangent is not finite", oracle, precision, testimony)


@dataclass(frozen=True)
class LayerCheck:
    """The judgements on one layer for one call, and what they were made from.

    Attributes
    ----------
    call : Call
        In the subject's precision.
    wide : Call
        The same numbers as the oracle got them, in float64.
    found, expected, bounds : mapping
        By quantity; empty where the call itself was not finite or the oracle refused it.
    judgements : list of Judgement
        One for each quantity, in execution order; skipped ones with the reason.
    judged_by : mapping of str to Bound
        What each quantity was judged by in the end: with the error of reading it, and as far as the witness widened it.
    testimony : mapping of str to array
        The witness's errors by quantity; empty where it was not heard.
    no_witness : str
        Why it could not be heard, where it was wanted.
    """

    subject: SubjectLayer
    oracle: Oracle
    precision: Precision
    call: Call
    wide: Call
    found: Mapping[str, Array]
    expected: Mapping[str, Array]
    bounds: Mapping[str, Bound]
    judgements: list[Judgement]
    judged_by: Mapping[str, Bound] = field(default_factory=dict)
    testimony: Arrays = field(default_factory=dict)
    no_witness: str = ""

    def failure(self, judgement: Judgement) -> Failure | None:
        """Return what a diagnosis of one of the judgements needs; None where the subject computed nothing to diagnose."""
        quantity = judgement.place.quantity
        found = self.found.get(quantity)
        if found is None:
            return None
        return Failure(judgement, found, self.expected[quantity], self.judged_by[quantity], self.wide, self.oracle, self.subject, self.precision)


def check_layer(
    subject: SubjectLayer,
    oracle: Oracle,
    call: Call,
    precision: Precision,
    layer: str,
    step: int = 0,
    only: Iterable[str] | None = None,
    testimony: Arrays | None = None,
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
    precision : Precision
        The subject's.
    layer : str
        The layer's name, for the places.
    step : int
        The training step, or 0.
    only : iterable of str, optional
        The quantities to judge; all of them if left out.
    testimony : mapping of str to array, optional
        The witness's errors by quantity, where it is not to be asked; an empty one leaves theory alone.
    """
    call = call.astype(precision.dtype)
    places = {quantity: Place(step, layer, quantity) for quantity in (quantities(call) if only is None else only)}

    # A copy, made before the subject sees the arrays: it may write to them, and then they are put back as they were.
    kept = call.copied()
    context = context_of(oracle, kept, precision, testimony)
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
    wanted = any(judgement.exceeding or judgement.heard for judgement in judgements)
    heard, missing = (context.testimony, context.no_witness) if wanted else ({}, "")
    return LayerCheck(subject, oracle, precision, call, context.wide, found, context.expected, context.bounds, judgements, by, heard, missing)


def _put_back(call: Call, kept: Call) -> None:
    """Undo what a subject wrote to the arrays that it was given; their order in memory stays as it was."""
    constants = [(call.constants[name], value) for name, value in kept.constants.items()]
    for given, before in [(call.x, kept.x), (call.grad_output, kept.grad_output), *constants]:
        if given is not None and before is not None and not np.array_equal(given, before, equal_nan=given.dtype.kind == "f"):
            given[...] = before


def judge_one(
    place: Place, kind: Kind, quantity: str, found: Array | None, context: LayerContext, subject: SubjectLayer, precision: Precision
) -> tuple[Judgement, Bound | None]:
    """Judge one quantity of a layer, and return the bound that it was judged by as well, if there is one.

    A quantity of which nothing is known is undecided; one that is missing is skipped if the subject says why, and wrong if not. Theory judges first;
    the witness is heard where theory alone does not find every element right.
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
    errors = context.testimony.get(quantity)
    if errors is None or errors.shape != expected.shape:
        return judgement, bound
    return Evidence(found, expected, bound, errors, context.call, precision).reconsider(judgement)


@dataclass(frozen=True)
class Failure:
    """A mismatch with everything that it was judged from.

    Attributes
    ----------
    found : array
        The subject's quantity.
    expected : array
        The oracle's.
    call : Call
        What the layer was given, in float64.
    subject : SubjectLayer
        The layer itself, for experiments.
    precision : Precision
        The subject's.
    """

    judgement: Judgement
    found: Array
    expected: Array
    bound: Bound
    call: Call
    oracle: Oracle
    subject: SubjectLayer
    precision: Precision

    @property
    def quantity(self) -> str:
        """The name of the quantity."""
        return self.judgement.place.quantity
