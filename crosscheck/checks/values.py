"""Values: outputs and gradients of a layer alone, on inputs and cotangents of one family in one precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crosscheck.adapters.dropout_mask import drawn
from crosscheck.causes.divergence import Divergence, examined
from crosscheck.causes.tie_rules import OTHER_RULES, chooses, pooled_gradient
from crosscheck.checks.check import OUT_OF_RANGE, Check, CheckResult, FailingCall, Settings
from crosscheck.checks.conventions import named
from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.inputs import FAMILIES, arranged, memory_of
from crosscheck.core.judge import NO_ORACLE, UNLIMITED, Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays, Call, RefusedError
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.pairs.prepare_layer import Prepared
from crosscheck.references.resolve import Reference


def value_name(dtype: str, family: str) -> str:
    """Return the name of a check."""
    return f"values-{dtype}-{family}"


def value_check(dtype: str, family: str) -> Check:
    """Return the check of a precision on a family of inputs."""
    about = f"{dtype} output and gradients on {family} inputs, which bring to light: {FAMILIES[family].reveals}"
    return Check(value_name(dtype, family), about, lambda prepared, settings: _run(prepared, settings, dtype, family), dtype)


def _run(prepared: Prepared, settings: Settings, dtype: str, family: str) -> CheckResult:
    return _judged_on(prepared, settings, dtype, family, value_name(dtype, family))


def evaluation_check(dtype: str, family: str) -> Check:
    """Return the check of a precision on a family of inputs in evaluation mode."""
    about = f"{dtype} output and gradients in evaluation mode on {family} inputs, by running statistics that are given and have to stay as they are"
    return Check(f"evaluation-{dtype}-{family}", about, lambda prepared, settings: _run_evaluation(prepared, settings, dtype, family), dtype)


def _run_evaluation(prepared: Prepared, settings: Settings, dtype: str, family: str) -> CheckResult:
    name = f"evaluation-{dtype}-{family}"
    if prepared.no_evaluation:
        return CheckResult(name, Verdict.SKIPPED, prepared.no_evaluation)
    return _judged_on(prepared.evaluating, settings, dtype, family, name)


def _judged_on(prepared: Prepared, settings: Settings, dtype: str, family: str, name: str) -> CheckResult:
    if dtype not in prepared.pair.dtypes:
        return CheckResult(name, Verdict.SKIPPED, prepared.pair.precisions_in_words)
    result = CheckResult(name, Verdict.SKIPPED)
    for shape in prepared.shapes_for(FAMILIES[family]):
        try:
            call = prepared.call(shape, FAMILIES[family], dtype, settings.seed)
        except RefusedError as error:
            if shape in prepared.derived:
                continue
            result.judgements.append((shown(shape), _undecided(prepared, str(error))))
            continue
        judge_call(prepared, call, dtype, shown(shape), result)
    return result.conclude()


def shown(shape: tuple[int, ...]) -> str:
    """Return a shape as a word: ``3x1x28x28``."""
    return "x".join(map(str, shape))


def _undecided(prepared: Prepared, reason: str) -> Judgement:
    return Judgement(Place(0, prepared.pair.title, "output"), Kind.ISOLATED, Verdict.UNDECIDED, reason=reason)


def judge_call(prepared: Prepared, call: Call, dtype: str, shape: str, result: CheckResult) -> LayerCheck:
    """Judge every quantity of one call and add what was found to a result, the first mismatch examined."""
    check, judgements = judged(prepared, call, dtype)
    first_here = result.divergence is None
    for judgement in judgements:
        result.judgements.append((shape, judgement))
        if judgement.verdict is not Verdict.MISMATCH or not first_here:
            continue
        failure = check.failure(judgement)
        if result.divergence is not None:
            result.unexamined += [] if failure is None else [failure]
        else:
            quantity = judgement.place.quantity
            result.divergence = Divergence(judgement, None, prepared.layer.sources.get(quantity, "")) if failure is None else examined(failure)
            result.given = FailingCall(_as_given(check, dtype), quantity, dtype, prepared.evaluates)
    return check


def judged(prepared: Prepared, call: Call, dtype: str, testimony: Arrays | None = None) -> tuple[LayerCheck, list[Judgement]]:
    """Return the judgements on one call: every reference heard, the conventions that were declared taken into account, no cause looked for.

    Parameters
    ----------
    prepared : Prepared
    call : Call
    dtype : str
    testimony : mapping of str to array, optional
        The witness's errors, where another machine's are to be used.
    """
    precision = prepared.precision(dtype)
    arbiter, *others = prepared.references
    layer, call = (prepared.layer, call) if prepared.dropped is None else drawn(prepared.layer, call.astype(dtype))
    check = check_layer(layer, arbiter.oracle, call, precision, prepared.pair.title, testimony=testimony)
    judgements = []
    for found in check.judgements:
        judgement = _out_of_range(found, check)
        judgement = _disagreement(judgement, check, arbiter, others, precision) if others else judgement
        judgements.append(_declared(judgement, check, prepared, precision))
    return check, judgements


def _as_given(check: LayerCheck, dtype: str) -> Call:
    """Return the call as the subject got it, made from the oracle's copy: the subject may have written to its own."""
    call, given = check.wide.astype(dtype), check.call
    grad_output = None if call.grad_output is None or given.grad_output is None else arranged(call.grad_output, memory_of(given.grad_output))
    # The mask is not given: whoever repeats the call draws one.
    constants = {name: value for name, value in call.constants.items() if name != "mask"}
    return replace(call, x=arranged(call.x, memory_of(given.x)), grad_output=grad_output, constants=constants)


def _out_of_range(judgement: Judgement, check: LayerCheck) -> Judgement:
    """Return a skip where the operation itself leaves the range of numbers on inputs that the harness chose.

    A subject that is not finite where the oracle is stays undecided: whether it had to leave the range, nobody knows. Not so a
    result that was read off an update: there it may be the step that the harness took.
    """
    quantity, found = judgement.place.quantity, check.found.get(judgement.place.quantity)
    read = found is not None and check.subject.reading(quantity, check.call, found) is not None
    beyond = judgement.heard is not None or judgement.reason in (NO_ORACLE, UNLIMITED) or (read and judgement.exceeding)
    if judgement.verdict is Verdict.UNDECIDED and beyond:
        return replace(judgement, verdict=Verdict.SKIPPED, reason=f"{OUT_OF_RANGE}{judgement.reason}")
    return judgement


def _disagreement(judgement: Judgement, check: LayerCheck, arbiter: Reference, others: list[Reference], precision: Precision) -> Judgement:
    """Return ``undecided``, with each one's value, where the references do not agree on a quantity."""
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
                f"the subject has {value}{_question(judgement, theirs, check, double)}"
            )
        return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, judgement.elements, reason=reason)
    return judgement


def _question(judgement: Judgement, theirs: Array, check: LayerCheck, precision: Precision) -> str:
    """Return how a verdict names the convention that two references answer differently; "" where it is none that has a name."""
    return next((named(f"tie rule: {rule}") for rule in OTHER_RULES if _follows(rule, judgement, theirs, check, precision)), "")


def _follows(rule: str, judgement: Judgement, found: Array, check: LayerCheck, precision: Precision) -> bool:
    """Return whether something is the input's gradient of max pooling by a tie rule that is not the arbiter's."""
    cotangent = check.wide.grad_output
    if judgement.place.quantity != "grad_input" or cotangent is None or not chooses(check.oracle, check.wide.x):
        return False
    expected, bound = pooled_gradient(check.wide.x, cotangent, check.oracle.settings, rule)
    return judge(judgement.place, judgement.kind, found, expected, bound, precision).verdict is Verdict.MATCH


def _declared(judgement: Judgement, check: LayerCheck, prepared: Prepared, precision: Precision) -> Judgement:
    """Return ``undecided`` where a mismatch is nothing but a convention that was declared to differ."""
    rule, found = prepared.pair.ties, check.found.get(judgement.place.quantity)
    if rule == "first" or judgement.verdict is not Verdict.MISMATCH or found is None or not _follows(rule, judgement, found, check, precision):
        return judgement
    reason = (
        f"declared to differ: where a maximum ties, {rule}; the reference gives the gradient to the first; by the declared rule it is right"
        f"{named(f'tie rule: {rule}')}"
    )
    return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, judgement.elements, reason=reason)
