"""Checks of values that a reference treats in a special way, such as ignored labels and rows of a mask that are hidden completely.

Where the reference itself gives NaN, as the mean over no label at all, code that gives NaN there, too, is right. Other code follows another
convention, such as a loss of 0, and the check says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.checks.values import explained, judge_call, judged
from crosscheck.core.arguments import DEFAULT_IGNORED, Case, Inputs, Labels, Special, specials_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call, RefusedError, is_output
from crosscheck.core.precision import Array
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.resolve import UnknownReferenceError, resolved

_ANY_AXES = (2, 3, 1)
"""Numbers of axes with which a reference is asked what it takes, if the declaration does not say how many its input has."""


def special_checks(pair: Pair, dtypes: tuple[str, ...]) -> list[Check]:
    """Return the checks of the special values that a pair's inputs may have, in each precision."""
    return [_check(special, dtype) for dtype in dtypes for special in specials_of(_possible_inputs(pair))]


def _possible_inputs(pair: Pair) -> Inputs:
    """Return the inputs of a pair, also those that the subject may turn out not to take; empty if they are not known."""
    if pair.inputs:
        return {name: one for name, one in pair.inputs.items() if not isinstance(one, str | tuple | list)}
    first = pair.reference[0] if isinstance(pair.reference, list | tuple) and pair.reference else pair.reference
    try:
        signature = resolved(first, pair.framework).signature
    except UnknownReferenceError:
        signature = None
    if signature is None:
        return {}
    shape = [] if callable(pair.shapes) or not pair.shapes else pair.shapes[0]
    for count in (*([len(shape)] if isinstance(shape, tuple | list) and shape else []), *_ANY_AXES):
        try:
            return signature.inputs(count)
        except IndexError:
            continue
    return {}


def special_name(dtype: str, special: Special) -> str:
    """Return the name of a check of special values, such as ``special-float64-all-labels-ignored``."""
    return f"special-{dtype}-{special.slug}"


def _check(special: Special, dtype: str) -> Check:
    name = special_name(dtype, special)

    def run(prepared: Prepared, settings: Settings) -> CheckResult:
        case = special_case(prepared, special, dtype)
        if isinstance(case, Case) and (why_not := not_known(prepared, case, dtype, settings.seed)):
            case = why_not
        if isinstance(case, str):
            return CheckResult(name, Verdict.SKIPPED, case)
        try:
            call = prepared.call(case, FAMILIES["normal"], dtype, settings.seed)
        except RefusedError as error:
            return CheckResult(name, Verdict.SKIPPED, str(error))
        result = CheckResult(name, Verdict.SKIPPED)
        judge_call(prepared, call, dtype, str(case), result, special.words, explained(prepared, case, "normal", dtype, settings))
        return result.conclude()

    return Check(name, f"{dtype} output and gradients with {special.words}", run, dtype)


def special_cases(prepared: Prepared, names: Collection[str]) -> Iterator[tuple[str, str, Case | str]]:
    """Yield, for each check of special values among the named ones, its name, its precision, and its case or the reason why there is none."""
    for dtype in prepared.pair.dtypes:
        for special in specials_of(_possible_inputs(prepared.pair)):
            if special_name(dtype, special) in names:
                yield special_name(dtype, special), dtype, special_case(prepared, special, dtype)


def special_case(prepared: Prepared, special: Special, dtype: str) -> Case | str:
    """Return the case with special values, or why there is none."""
    case = prepared.cases[0]
    own = next((one for one in specials_of(case.inputs) if one == special), None)
    if own is None:
        return f"your code does not take {special.name}"
    if isinstance(case.inputs[special.name], Labels) and prepared.layer.convention.one_sample and prepared.pair.reduction == "mean":
        return "your code takes one sample at a time, so that it cannot know over how many labels the mean is"
    return replace(case, special=own) if dtype in prepared.pair.dtypes else prepared.pair.precisions_in_words


def not_known(prepared: Prepared, case: Case, dtype: str, seed: int) -> str:
    """Return why labels that PyTorch ignores by default are not tried: code that does not know them is right without; empty if they are tried.

    Code knows them if the gradient of an ignored sample is zero or, for a mean, the loss is right although some labels are ignored.
    """
    own = next((name for name, one in case.inputs.items() if isinstance(one, Labels) and one.ignored == DEFAULT_IGNORED), None)
    if own is None:
        return ""
    some = next(special for special in specials_of(case.inputs) if special.name == own)
    why_not = f"your code does not ignore labels of {DEFAULT_IGNORED}, as PyTorch does by default"
    try:
        call = prepared.call(replace(case, special=some), FAMILIES["normal"], dtype, seed)
    except RefusedError as error:
        return str(error)
    check, judgements = judged(prepared, call, dtype)
    right = all(judgement.verdict is Verdict.MATCH for judgement in judgements if is_output(judgement.place.quantity))
    averages = getattr(prepared.pair.reference, "reduction", "mean") == "mean"
    return "" if (averages and right) or _zero_where_ignored(call, own, check.found.get("grad_input")) else why_not


def _zero_where_ignored(call: Call, labels: str, grad_input: Array | None) -> bool:
    """Return whether the gradient is zero for each sample whose label is ignored."""
    ignored = call.constants[labels] == DEFAULT_IGNORED
    if grad_input is None or grad_input.ndim < 2 or np.moveaxis(grad_input, 1, -1).shape[:-1] != ignored.shape:
        return False
    return not np.moveaxis(grad_input, 1, -1)[ignored].any()
