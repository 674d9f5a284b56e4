"""Record the results of the subject or of the reference of pairs, on the same inputs that the checks use."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crosscheck.checks import Settings
from crosscheck.checks.facts import check_facts
from crosscheck.checks.special import not_known, special_cases
from crosscheck.checks.values import value_name
from crosscheck.core.arguments import Case as Inputs
from crosscheck.core.check_layer import context_of
from crosscheck.core.guard import SubjectError, TimeLimitError, time_limit
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import CONTRACT
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.recorded.file import STORABLE, Case, Recording, Side, TraceFile, digest, put_call
from crosscheck.references.recorded.inputs import described
from crosscheck.run.check import run_check, why_not
from crosscheck.run.select import Selection

Progress = Callable[[str], None]

Put = Callable[[str, str, Array], None]
"""A function ``put(role, quantity, array)`` that adds an array to the recorded case."""


def record(selections: Sequence[Selection], side: Side, settings: Settings, progress: Progress) -> TraceFile:
    """Return a trace of what the subject or the reference computes. ``progress`` is called with the name of each case before the case runs."""
    trace = TraceFile(side, settings.seed)
    for selection in selections:
        reason = why_not(selection.pair, settings) or _not_recordable(selection.pair, side)
        trace.recordings.append(Recording(selection.pair.title, error=reason))
        if not reason:
            _record_pair(trace, selection, settings, progress)
    return trace


def _not_recordable(pair: Declaration, side: Side) -> str:
    if not isinstance(pair, Pair):
        return f"{pair.title}: a {type(pair).__name__} cannot be recorded, only layers and losses; check it where its reference is installed"
    if side == "reference" and len(prepare(pair).references) != 1:
        return f"{pair.title}: has {len(prepare(pair).references)} references, but a trace holds only one; declare the pair with the one to record"
    if side == "subject" and not prepare(pair).references:
        return f"{pair.title}: has no reference to compare a trace with; run 'crosscheck check', which needs none"
    if prepare(pair).dropped is not None:
        return f"{pair.title}: draws a random mask, which a trace of the reference cannot contain; check it where its reference is installed"
    return ""


def _record_pair(trace: TraceFile, selection: Selection, settings: Settings, progress: Progress) -> None:
    assert isinstance(selection.pair, Pair)
    prepared, recording = prepare(selection.pair).stateless, trace.recordings[-1]
    recording.elements, recording.labels = prepared.elements, prepared.labels
    reference = prepared.references[0]
    recording.modes, recording.deterministic = reference.modes, prepared.pair.deterministic
    recording.params = {name: list(shape) for name, shape in prepared.param_shapes.items()}
    recording.order, recording.outputs = list(prepared.order), list(prepared.outputs)
    recording.settings = {name: list(value) for name, value in reference.oracle.settings.items()}
    _describe(recording, prepared)
    recording.title = prepared.layer.convention.title if trace.side == "subject" else reference.name
    names = [check.name for check in selection.checks]
    for name, dtype, one, call in itertools.chain(_calls(prepared, settings, names), _special(prepared, settings, names)):
        progress(f"{recording.name}/{name}")
        special = "" if one.special is None else one.special.words
        skipped = not_known(prepared, one, dtype, settings.seed) if special and trace.side == "subject" else ""
        if isinstance(call, str) or skipped:
            reason = call if isinstance(call, str) and not skipped else ""
            recording.cases.append(Case(name, dtype, list(one.shape), "", reason, inputs=str(one), special=special, skipped=skipped))
            continue
        case = Case(name, dtype, list(one.shape), digest(call), inputs=str(one), special=special)
        at, place = len(trace.recordings) - 1, len(recording.cases)
        recording.cases.append(case)
        put_call(trace, at, place, call)
        put = functools.partial(trace.put, at, place)
        if trace.side == "subject":
            _record_subject(case, put, prepared, call, settings)
        else:
            _record_reference(case, put, prepared, call)
    for check in selection.checks if trace.side == "subject" else ():
        if check.name.startswith(CONTRACT):
            progress(f"{recording.name}/{check.name}")
            recording.contracts.append(check_facts(check, run_check(selection.pair, check, settings), "", 0.0))


def _calls(prepared: Prepared, settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, str, Inputs, Call | str]]:
    """Yield (check, precision, inputs, call) for each case of the checks of values. If the reference refuses a call, its reason replaces the call."""
    for dtype, family in itertools.product(prepared.pair.dtypes, FAMILIES):
        if (name := value_name(dtype, family)) not in names:
            continue
        for one in prepared.cases_for(FAMILIES[family]):
            try:
                yield name, dtype, one, prepared.call(one, FAMILIES[family], dtype, settings.seed).astype(dtype)
            except RefusedError as error:
                if one not in prepared.derived:
                    yield name, dtype, one, str(error)


def _special(prepared: Prepared, settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, str, Inputs, Call | str]]:
    """Yield the same for the checks of special values."""
    for name, dtype, case in special_cases(prepared, names):
        if not isinstance(case, str):
            with contextlib.suppress(RefusedError):
                yield name, dtype, case, prepared.call(case, FAMILIES["normal"], dtype, settings.seed).astype(dtype)


def _describe(recording: Recording, prepared: Prepared) -> None:
    """Record what the reference takes and returns, so that a recorded reference can be declared as the reference itself."""
    declared = [described(case) for case in prepared.cases]
    if all(declared):
        recording.declared = [description for description in declared if description is not None]
        recording.derived = [{axis: int(length) for axis, length in case.sizes.items()} for case in prepared.derived]
        recording.refused = list(prepared.sizes.refused)
    recording.whole, recording.upstream = sorted(prepared.layer.whole), list(prepared.upstream)
    recording.reduction = str(getattr(prepared.pair.reference, "reduction", ""))


def _record_reference(case: Case, put: Put, prepared: Prepared, call: Call) -> None:
    """Record the expected values in float64, and the error bounds and the reference's own rounding errors in the subject's precision."""
    context = context_of(prepared.references[0].oracle, call, prepared.precision(case.dtype))
    case.reason = "" if context.expected else context.undecided
    for quantity, value in context.expected.items():
        put("expected", quantity, value)
        terms, roundings = (np.asarray(part, np.float64) for part in (context.bounds[quantity].abs_sum, context.bounds[quantity].n_roundings))
        if (unknown := np.isnan(terms) | np.isnan(roundings)).any():
            # There is no bound where the expected value is not finite, as the mean over no labels at all.
            terms, roundings = np.where(unknown, np.inf, terms), np.where(unknown, 1.0, roundings)
        put("abs_sum", quantity, terms)
        put("n_roundings", quantity, roundings)
    # These errors depend on this machine's kernels and may differ on another machine.
    for quantity, errors in context.witness.items():
        put("witness", quantity, errors.astype(np.float64, copy=False))


def _record_subject(case: Case, put: Put, prepared: Prepared, call: Call, settings: Settings) -> None:
    """Record the subject's results; if the subject fails, the results up to then and the reason."""
    layer = prepared.layer
    try:
        with time_limit(settings.timeout):
            found = layer.vjp(call)
    except SubjectError as error:
        found, case.reason = error.found, error.reason
    except TimeLimitError:
        found, case.reason = {}, f"did not end within {settings.timeout:g} s"
    case.absent = {name: reason for name, reason in layer.absent.items() if name not in found}
    for quantity, value in found.items():
        if value.dtype.name not in STORABLE:
            case.reason = f"{quantity} is an array of dtype {value.dtype}, expected {case.dtype}"
            continue
        put("found", quantity, value)
        if (reading := layer.reading(quantity, call, value)) is not None:
            put("reading_abs_sum", quantity, np.asarray(reading.abs_sum, np.float64))
            put("reading_n_roundings", quantity, np.asarray(reading.n_roundings, np.float64))
