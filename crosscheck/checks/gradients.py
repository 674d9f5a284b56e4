"""Checks without a reference: the gradients of the subject's backward pass are compared with slopes of its own output.

The output itself cannot be judged in this way, and every result says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck.causes import NoEdits
from crosscheck.checks.check import OUT_OF_RANGE, Check, CheckResult, FailingCall, Settings
from crosscheck.core.check_layer import NOT_COMPUTED, Failure, backward_quantities, forward_quantities
from crosscheck.core.guard import SubjectError
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound
from crosscheck.core.trace import Place
from crosscheck.oracles.wrapped import limited
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.slopes.oracle import UNRESOLVED, Compared, Elements, QuotientOracle, Quotients, elements_of, lines
from crosscheck.references.slopes.probe import point_of, variable
from crosscheck.report.words import told_apart

_CALLS = 4
"""How many times the diagnosis of a mismatch may measure slopes again. Each measurement runs the subject once per element."""

NO_REFERENCE = "no reference: only the gradients are compared with slopes of the output"
DTYPE = "float64"
_NO_STEPS = NoEdits("without a reference there are no steps to change")


def difference_check(family: str) -> Check:
    """Return the check of gradients against difference quotients on a family of inputs."""
    name = f"differences-{DTYPE}-{family}"
    about = f"gradients compared with difference quotients of the output on {family} inputs, which reveal: {FAMILIES[family].reveals}"

    def run(prepared: Prepared, settings: Settings) -> CheckResult:
        if DTYPE not in prepared.pair.dtypes:
            return CheckResult(name, Verdict.SKIPPED, f"{prepared.pair.precisions_in_words}; difference quotients need {DTYPE}")
        result = CheckResult(name, Verdict.SKIPPED)
        for case in prepared.cases:
            try:
                call = prepared.call(case, FAMILIES[family], DTYPE, settings.seed)
            except SubjectError as error:
                result.add(str(case), _plain(prepared, "output", Verdict.MISMATCH, error.reason), source=prepared.layer.sources.get("output", ""))
                continue
            _judge(prepared, call, str(case), result, settings.seed)
        result.conclude()
        if result.verdict is Verdict.SKIPPED:
            result.reason = next((j.reason for _, j in result.judgements if j.reason.startswith(OUT_OF_RANGE)), result.reason)
        return result

    return Check(name, about, run, DTYPE)


def _judge(prepared: Prepared, call: Call, shape: str, result: CheckResult, seed: int) -> None:
    """Judge every quantity of one call in float64 and add the judgements to a result; the seed selects elements and directions."""

    def add(judgement: Judgement, failure: Failure | None = None) -> None:
        quantity = judgement.place.quantity
        result.add(shape, judgement, failure, FailingCall(call, quantity, DTYPE), prepared.layer.sources.get(quantity, ""), _NO_STEPS)

    outputs, gradients = forward_quantities(call), backward_quantities(call)
    try:
        point = point_of(prepared.layer, call, prepared.precision(DTYPE))
    except SubjectError as error:
        # If a pass fails, quantities that were not computed are wrong, and the others are not judged.
        for name in (*outputs, *gradients):
            left = NO_REFERENCE if name in outputs else f"not everything was computed: {error.reason}"
            verdict, reason = (Verdict.SKIPPED, left) if name in error.found else (Verdict.MISMATCH, error.reason)
            add(_plain(prepared, name, verdict, reason))
        return
    reason = _useless(point.output, point.forward(call))
    plain = dict.fromkeys(outputs, (Verdict.SKIPPED, NO_REFERENCE)) | (dict.fromkeys(gradients, (Verdict.UNDECIDED, reason)) if reason else {})
    for name, (verdict, why) in plain.items():
        add(_plain(prepared, name, verdict, why))
    if reason:
        return
    quotients = Quotients(point)
    malformed = {name: _malformed(prepared, call, name, point.found[name]) for name in gradients if name in point.found}
    for name in (name for name, wrong in malformed.items() if wrong is None):
        quotients.measure(name, lines(call, name, point.found[name], seed))
    for name in gradients:
        if name not in point.found:
            absent = prepared.layer.absent.get(name)
            add(_plain(prepared, name, Verdict.SKIPPED if absent else Verdict.MISMATCH, absent or NOT_COMPUTED))
        elif (wrong := malformed[name]) is not None:
            add(wrong)
        else:
            judgement, failure, note = _judged(prepared, quotients, name)
            result.notes.append(f"{shape} {name}: {note}")
            add(judgement, failure)
    how = "the complex step" if not quotients.refused else f"difference quotients only, because the complex step cannot be used: {quotients.refused}"
    result.notes.append(f"{shape}: judged by {how}")


def _plain(prepared: Prepared, quantity: str, verdict: Verdict, reason: str) -> Judgement:
    return Judgement(Place(0, prepared.pair.title, quantity), Kind.ISOLATED, verdict, reason=reason)


def _useless(output: Array, again: Any) -> str:
    """Return why slopes of an output cannot be measured; empty if they can."""
    if output.dtype != np.float64:
        return f"the output is {output.dtype}, expected {DTYPE}: difference quotients need its digits"
    if not np.isfinite(output).all():
        return "the output is not finite here, and without a reference it is not known whether it should be"
    if again is None or not np.array_equal(output, again):
        return "the same call gives another output the second time, so that difference quotients mean nothing"
    return ""


def _malformed(prepared: Prepared, call: Call, quantity: str, found: Array) -> Judgement | None:
    """Return a mismatch if a gradient's shape or dtype differs from its input's or parameter's; None if shape and dtype are right."""
    place, expected = Place(0, prepared.pair.title, quantity), np.zeros(variable(call, quantity).shape)
    if found.shape == expected.shape and found.dtype == expected.dtype:
        return None
    return judge(place, Kind.ISOLATED, found, expected, Bound.exact(expected), prepared.precision(DTYPE))


def _judged(prepared: Prepared, quotients: Quotients, quantity: str) -> tuple[Judgement, Failure | None, str]:
    """Judge one gradient along all measured lines. Return the judgement, the data for a diagnosis, and a note on how much was compared."""
    precision, place = quotients.point.precision, Place(0, prepared.pair.title, quantity)
    compared = quotients.compared(quantity)
    single = [c for c in compared if c.line.index is not None]
    note = _note(single, compared, variable(quotients.point.call, quantity).shape)
    astray = next((c for c in compared if c.line.index is None and not c.undecided and c.excess > 1), None)
    if astray and not any(c.excess > 1 for c in single if not c.undecided):
        element = quotients.most_wrong_element(astray.line)
        if element.excess > 1 and not element.undecided:
            single.append(element)
        elif not any(c.kink for c in [*single, element]):
            # The gradient's elements add up to the slope along the direction, so the sum of their rounding errors explains the difference.
            astray = None
    decided = [c for c in single if not c.undecided]
    doubt = "" if decided else single[0].undecided
    doubt = "every element is at a kink" if all(c.kink for c in single) else doubt
    judgement = Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, reason=doubt)
    if all(c.undecided == UNRESOLVED for c in single):
        judgement = replace(judgement, verdict=Verdict.SKIPPED, reason=OUT_OF_RANGE + UNRESOLVED)
    if decided:
        elements = elements_of(decided, np.asarray(quotients.point.found[quantity]).shape)
        by_element = judge(place, Kind.ISOLATED, elements.found, elements.expected, elements.bound(precision), precision)
        if by_element.verdict is Verdict.MISMATCH:
            by_element = _located(by_element, elements, decided)
            bound, oracle = elements.bound(precision), limited(QuotientOracle(quotients, quantity, elements), _CALLS)
            failure = Failure(by_element, elements.found, elements.expected, bound, quotients.point.call, oracle, prepared.layer, precision)
            return by_element, failure, note
        judgement = judgement if doubt else by_element
    if astray:
        found, expected = told_apart(astray.found, astray.expected)
        reason = f"along a direction through all elements the output's slope is {expected}; by the gradient it would be {found}"
        if any(c.kink for c in single):
            reason += (
                "; each element at a kink is possible by itself, all together are not: "
                "the gradient of equal maxima is passed on more than once, or not completely"
            )
        judgement = Judgement(place, Kind.ISOLATED, Verdict.MISMATCH, len(decided), fraction=astray.excess, reason=reason)
    return judgement, None, note


def _located(judgement: Judgement, elements: Elements, decided: list[Compared]) -> Judgement:
    """Return a mismatch with its worst element indexed in the whole array, not among the compared elements; a kink there becomes the reason."""
    worst = judgement.worst
    if worst is None:
        return judgement
    number = int(np.ravel_multi_index(worst.index, elements.found.shape)) if elements.found.ndim else 0
    index = tuple(int(i) for i in np.unravel_index(elements.indices[number], elements.shape))
    reason = judgement.reason
    if decided[number].kink:
        found, expected = told_apart(worst.subject, worst.oracle)
        reason = f"at a kink, {list(index)}, the gradient {found} is not between the slopes of the two sides; the nearer one is {expected}"
    return replace(judgement, worst=replace(worst, index=index), reason=reason)


def _note(single: list[Compared], compared: list[Compared], shape: tuple[int, ...]) -> str:
    """Return in words how much of a gradient was compared, and which elements could not be decided."""
    size, directions = int(np.prod(shape)), len(compared) - len(single)
    words = f"{len(single):,} of {size:,} elements one by one" + (f" and {directions} directions through all of them" if directions else "")

    def first(some: list[Compared]) -> str:
        return str([int(i) for i in np.unravel_index(some[0].line.index or 0, shape)])

    if kinks := [c for c in single if c.kink]:
        words += f"; {len(kinks):,} at a kink, the first {first(kinks)}"
    for reason in dict.fromkeys(c.undecided for c in single if c.undecided):
        some = [c for c in single if c.undecided == reason]
        words += f"; {len(some):,} undecided, the first {first(some)}: {reason}"
    if undecided := sum(bool(c.undecided) for c in compared if c.line.index is None):
        words += f"; {undecided} of the directions undecided"
    return words
