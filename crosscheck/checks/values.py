"""Checks of values: compare a layer's output and gradients with the reference, on one family of inputs in one precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crosscheck.adapters.dropout_mask import drawn
from crosscheck.causes import Edits
from crosscheck.causes.conventions import named
from crosscheck.causes.tie_rules import OTHER_RULES, chooses, pooled_gradient
from crosscheck.checks.check import OUT_OF_RANGE, Check, CheckResult, FailingCall, Settings
from crosscheck.checks.explained import Explained
from crosscheck.core.arguments import Case
from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.inputs import FAMILIES, arranged, memory_of
from crosscheck.core.judge import NO_ORACLE, UNLIMITED, Judgement, Kind, Verdict, judge
from crosscheck.core.operation import DTYPES, Arrays, Call, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.pairs.cases import batch_axis
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.resolve import Reference

CONVENTION = "this is a convention"
"""Part of the reason if code is finite where the reference is NaN, or the other way round."""

DTYPES_HINT = "if it computes in this precision alone, declare dtypes="

NO_WITNESS = "the reference's own rounding errors were not used: "
"""Prefix of a note; the reason follows."""


def value_name(dtype: str, family: str) -> str:
    """Return the name of a check of values, such as ``values-float64-digits``."""
    return f"values-{dtype}-{family}"


def value_check(dtype: str, family: str) -> Check:
    """Return the check of values in one precision on one family of inputs."""
    about = f"{dtype} output and gradients on {family} inputs, which reveal: {FAMILIES[family].reveals}"
    return _check(value_name(dtype, family), about, dtype, family)


def evaluation_check(dtype: str, family: str) -> Check:
    """Return the check of values in evaluation mode, in one precision on one family of inputs."""
    about = f"{dtype} output and gradients in evaluation mode on {family} inputs, with given running statistics that must not change"
    return _check(f"evaluation-{dtype}-{family}", about, dtype, family, evaluation=True)


def _check(name: str, about: str, dtype: str, family: str, evaluation: bool = False) -> Check:
    def run(prepared: Prepared, settings: Settings) -> CheckResult:
        if evaluation and prepared.no_evaluation:
            return CheckResult(name, Verdict.SKIPPED, prepared.no_evaluation)
        if dtype not in prepared.pair.dtypes:
            return CheckResult(name, Verdict.SKIPPED, prepared.pair.precisions_in_words)
        ready, result = prepared.evaluating if evaluation else prepared, CheckResult(name, Verdict.SKIPPED)
        for case in ready.cases_for(FAMILIES[family]):
            try:
                call = ready.call(case, FAMILIES[family], dtype, settings.seed)
            except RefusedError as error:
                if case not in ready.derived:
                    result.add(str(case), undecided(ready.pair.title, str(error)))
            else:
                declared = case in ready.cases
                sound = not result.wrong
                judge_call(ready, call, dtype, str(case), result, edits=explained(ready, case, family, dtype, settings))
                if sound and result.wrong and not declared:
                    result.notes.append(f"{case} is a size that was not declared; {_limits(ready, case)}")
        return result.conclude()

    return Check(name, about, run, dtype)


def _limits(prepared: Prepared, case: Case) -> str:
    """Return the line of a declaration that excludes a derived case."""
    declared, batch = prepared.cases[0], batch_axis(case)
    changed = [axis for axis, length in case.sizes.items() if declared.sizes[axis] != length]
    if changed == [batch]:
        line = "fixed_batch=True"
    elif prepared.pair.inputs:
        line = f"fixed={{{', '.join(repr(axis) for axis in changed if axis != batch)}}}"
    else:
        first = list(next(iter(case.inputs.values())).axes)
        # Axes of further inputs have the names that the reference gives them.
        line = f"fixed={{{', '.join(str(first.index(axis)) if axis in first else repr(axis) for axis in changed if axis != batch)}}}"
    return f"if your code is written for the declared length only, declare {line}"


def undecided(title: str, reason: str) -> Judgement:
    """Return an undecided judgement for a call that cannot be judged."""
    return Judgement(Place(0, title, "output"), Kind.ISOLATED, Verdict.UNDECIDED, reason=reason)


def judge_call(
    prepared: Prepared,
    call: Call,
    dtype: str,
    shape: str,
    result: CheckResult,
    special: str = "",
    edits: Callable[[LayerCheck], Edits] | None = None,
) -> None:
    """Judge every quantity of one call and add the judgements to a result; causes are looked for only on the first call that fails.

    ``special`` says what is special about the call; the subject then has to be NaN or infinite where the reference is. ``edits`` returns the search
    for an edit of the reference that explains the call.
    """
    check, judgements = judged(prepared, call, dtype)
    if special:
        judgements = [_alike(judgement, check, special) for judgement in judgements]
    if check.no_witness and not any(note.startswith(NO_WITNESS) for note in result.notes):
        result.notes.append(f"{NO_WITNESS}{check.no_witness}")
    others = {str(value.dtype) for value in check.found.values()} & {*DTYPES} - {dtype}
    if others and not any(DTYPES_HINT in note for note in result.notes):
        result.notes.append(f"your code returned {', '.join(others)}; {DTYPES_HINT}{(*sorted(others),)!r}")
    to_examine = result.divergence is None
    search = None if edits is None else edits(check)
    for judgement in judgements:
        # A difference in NaNs has no small case: whether it is a fault is a question of convention.
        plain = special and judgement.verdict is Verdict.MISMATCH and CONVENTION in judgement.reason
        quantity = judgement.place.quantity
        if judgement.verdict is Verdict.MATCH:
            result.right.setdefault(quantity, check.call)
        if judgement.verdict is not Verdict.MISMATCH or not to_examine or plain:
            result.add(shape, judgement)
            continue
        failure = check.failure(judgement)
        given = FailingCall(_as_given(check, dtype, prepared.dropped is not None), quantity, dtype, prepared.evaluates)
        failure = None if failure is None else replace(failure, right=result.right.get(quantity))
        result.add(shape, judgement, failure, given, prepared.layer.sources.get(quantity, ""), search)


def explained(prepared: Prepared, case: Case, family: str, dtype: str, settings: Settings) -> Callable[[LayerCheck], Edits]:
    """Return a function that returns, for a judged call, the search for an edit of the reference that explains it."""

    def checked(ready: Prepared, call: Call, precision: str) -> LayerCheck:
        return judged(ready, call, precision)[0]

    return lambda check: Explained(prepared, check, case, FAMILIES[family], dtype, settings.seed, settings.explain, checked)


def judged(prepared: Prepared, call: Call, dtype: str, witness: Arrays | None = None) -> tuple[LayerCheck, list[Judgement]]:
    """Judge one call by all references and the declared conventions. Return the comparison and its judgements, without causes.

    ``witness`` holds the reference's own rounding errors by quantity if they were measured before, for example on another machine.
    """
    precision = prepared.precision(dtype)
    arbiter, *others = prepared.references
    layer, call = (prepared.layer, call) if prepared.dropped is None else drawn(prepared.layer, call.astype(dtype))
    check = check_layer(layer, arbiter.oracle, call, precision, prepared.pair.title, witness=witness)
    judgements = []
    for found in check.judgements:
        judgement = _out_of_range(found, check)
        judgement = _disagreement(judgement, check, arbiter, others, precision) if others else judgement
        judgements.append(_declared(judgement, check, prepared, precision))
    return check, judgements


def _alike(judgement: Judgement, check: LayerCheck, special: str) -> Judgement:
    """Return the judgement on a quantity that the reference itself does not give finite numbers for: the subject's have to be of the same kind."""
    quantity = judgement.place.quantity
    found, expected = check.found.get(quantity), check.expected.get(quantity)
    if found is None or expected is None or found.shape != expected.shape:
        return judgement
    if np.isfinite(expected).all():
        undefined = not all(np.isfinite(check.expected[name]).all() for name in check.call.outputs if name in check.expected)
        if undefined and judgement.verdict is Verdict.MISMATCH and not np.isfinite(found).all():
            reason = f"with {special}, the reference's output is not finite, but its {quantity} is, and yours is not"
            return replace(judgement, reason=f"{reason}; {CONVENTION}: to keep yours, declare the check in expected")
        return judgement
    differs = (np.isnan(found) != np.isnan(expected)) | (np.isinf(expected) & (found != expected))
    if differs.any():
        index = tuple(int(i) for i in np.unravel_index(int(differs.argmax()), found.shape))
        reason = (
            f"with {special}, {quantity} at {list(index)} is {float(found[index]) + 0.0:g}, in the reference {float(expected[index]):g}; "
            f"{CONVENTION}: to keep yours, declare the check in expected"
        )
        return replace(judgement, verdict=Verdict.MISMATCH, exceeding=int(differs.sum()), fraction=math.inf, reason=reason)
    finite = np.isfinite(expected)
    bound = check.bounds[quantity]
    parts = Bound(*(np.broadcast_to(part, expected.shape)[finite] for part in (bound.abs_sum, bound.n_roundings)))
    return judge(judgement.place, judgement.kind, found[finite], expected[finite], parts, check.precision)


def _as_given(check: LayerCheck, dtype: str, dropout: bool) -> Call:
    """Return the call as the subject received it. It is made from the oracle's copy, because the subject may have changed its own arrays."""
    call, given = check.wide.astype(dtype), check.call

    def as_before(arrays: Arrays, before: Arrays) -> dict[str, Array]:
        return {name: arranged(value, memory_of(before[name])) for name, value in arrays.items() if name in before}

    # Without a dropout's mask: when the call is repeated, the subject draws a new one.
    constants = {name: value for name, value in call.constants.items() if not (dropout and name == "mask")}
    inputs, cotangents = as_before(call.inputs, given.inputs), as_before(call.cotangents, given.cotangents)
    return replace(call, inputs=inputs, cotangents=cotangents, constants=constants)


def _out_of_range(judgement: Judgement, check: LayerCheck) -> Judgement:
    """Return the judgement, or ``skipped`` if the operation itself overflows on inputs that the harness chose.

    If only the subject is not finite, the judgement stays undecided, because the subject's formula may be unable to avoid the overflow. A gradient
    that was computed from an update is skipped, because the harness's own step may have overflowed.
    """
    quantity, found = judgement.place.quantity, check.found.get(judgement.place.quantity)
    read = found is not None and check.subject.reading(quantity, check.call, found) is not None
    beyond = judgement.witness_effect is not None or judgement.reason in (NO_ORACLE, UNLIMITED) or (read and judgement.exceeding)
    if judgement.verdict is Verdict.UNDECIDED and beyond:
        return replace(judgement, verdict=Verdict.SKIPPED, reason=f"{OUT_OF_RANGE}{judgement.reason}")
    return judgement


def _disagreement(judgement: Judgement, check: LayerCheck, arbiter: Reference, others: list[Reference], precision: Precision) -> Judgement:
    """Return the judgement, or ``undecided`` with all values if the references disagree on the quantity."""
    quantity = judgement.place.quantity
    if quantity not in check.expected:
        return judgement
    double = Precision(np.dtype(np.float64), precision.elements, precision.false_alarms)
    for other in others:
        try:
            theirs = other.oracle.vjp(check.wide)[quantity]
        except RefusedError as error:
            reason = f"the references disagree: {error}"
            return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, judgement.elements, reason=reason)
        between = judge(judgement.place, Kind.ISOLATED, theirs, check.expected[quantity], check.bounds[quantity], double)
        if between.verdict is not Verdict.MISMATCH:
            continue
        reason = f"the references disagree: {between.reason}" if between.worst is None else ""
        if between.worst is not None:
            index, mine = between.worst.index, check.found.get(quantity)
            value = "nothing" if mine is None or mine.shape != theirs.shape else repr(float(mine[index]))
            reason = (
                f"the references disagree at {list(index)}: {arbiter.name} {between.worst.oracle!r}, {other.name} {between.worst.subject!r}; "
                f"your code has {value}{_question(judgement, theirs, check, double)}"
            )
        return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, judgement.elements, reason=reason)
    return judgement


def _question(judgement: Judgement, theirs: Array, check: LayerCheck, precision: Precision) -> str:
    """Return words that name the convention on which two references differ; empty if no known convention explains the difference."""
    return next((named(f"tie rule: {rule}") for rule in OTHER_RULES if _follows(rule, judgement, theirs, check, precision)), "")


def _follows(rule: str, judgement: Judgement, found: Array, check: LayerCheck, precision: Precision) -> bool:
    """Return whether an array is the input gradient of max pooling with the given tie rule."""
    grad_output = check.wide.grad_output
    if judgement.place.quantity != "grad_input" or grad_output is None or not chooses(check.oracle, check.wide.x):
        return False
    expected, bound = pooled_gradient(check.wide.x, grad_output, check.oracle.settings, rule)
    return judge(judgement.place, judgement.kind, found, expected, bound, precision).verdict is Verdict.MATCH


def _declared(judgement: Judgement, check: LayerCheck, prepared: Prepared, precision: Precision) -> Judgement:
    """Return the judgement, or ``undecided`` if the declared tie rule explains a mismatch completely."""
    rule, found = prepared.pair.ties, check.found.get(judgement.place.quantity)
    if rule == "first" or judgement.verdict is not Verdict.MISMATCH or found is None or not _follows(rule, judgement, found, check, precision):
        return judgement
    reason = (
        f"declared to differ: ties={rule!r}, while the reference gives the gradient to the first maximum; by the declared rule it is right"
        f"{named(f'tie rule: {rule}')}"
    )
    return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, judgement.elements, reason=reason)
