"""Judge a subject's trace by a reference's trace. The judgements are the same as with the reference itself, but need only the two files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crosscheck.checks import Check, CheckResult, Settings
from crosscheck.checks.facts import blank, check_facts
from crosscheck.checks.values import judge_call, undecided
from crosscheck.core.arguments import times
from crosscheck.core.guard import SubjectError
from crosscheck.core.judge import Facts, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.recorded.file import Case, Recording, TraceFile, TraceFileError, digest
from crosscheck.references.recorded.oracle import Recorded, given
from crosscheck.references.recorded.read import read
from crosscheck.references.resolve import resolved

_NOT_ASKED = "your code's trace does not contain this"


@dataclass
class RecordedLayer:
    """A layer that returns the recorded results of a subject."""

    trace: TraceFile
    at: int
    absent: dict[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places = {case.digest: place for place, case in enumerate(self._recording.cases) if case.digest}

    @property
    def _recording(self) -> Recording:
        return self.trace.recordings[self.at]

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return what was recorded for a call; raise :class:`SubjectError` if the subject failed on this call when it was recorded."""
        place = self._places.get(digest(call))
        if place is None:
            raise SubjectError(_NOT_ASKED)
        found, case = self.trace.role(self.at, place, "found"), self._recording.cases[place]
        self.absent = case.absent
        if case.reason:
            raise SubjectError(case.reason, found)
        return found

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return the recorded bound on the error of reading a gradient from an update; None if the gradient was read directly."""
        if (place := self._places.get(digest(call))) is None:
            return None
        terms, roundings = (self.trace.role(self.at, place, role) for role in ("reading_abs_sum", "reading_n_roundings"))
        return Bound(terms[quantity], roundings[quantity]) if quantity in terms else None


def compared(subject_path: Path, reference_path: Path, reproduce: str, strict: bool = False) -> tuple[list[Facts], int]:
    """Return the facts of every pair in either trace, and the seed of both traces. ``reproduce`` is the command that repeats the comparison.

    Raises
    ------
    TraceFileError
        If a file cannot be read or holds the wrong side's results, or if the two files were recorded with different seeds.
    """
    subject, reference = read(subject_path), read(reference_path)
    for trace, path, side in ((subject, subject_path, "subject"), (reference, reference_path, "reference")):
        if trace.side != side:
            raise TraceFileError(
                f"{path}: a {trace.side}'s trace, expected a {side}'s; name the subject's file first: crosscheck compare SUBJECT REFERENCE"
            )
    if subject.seed != reference.seed:
        raise TraceFileError(
            f"{subject_path} was recorded with seed {subject.seed}, {reference_path} with seed {reference.seed}; record one of them again"
        )
    names = dict.fromkeys([*(r.name for r in subject.recordings), *(r.name for r in reference.recordings)])
    return [_pair(name, subject, reference, reproduce, strict) for name in names], subject.seed


def _pair(name: str, subject: TraceFile, reference: TraceFile, reproduce: str, strict: bool) -> Facts:
    facts = blank(name)
    at, beside = subject.find(name), reference.find(name)
    if at is None or beside is None:
        return facts | {"error": f"{name}: not in the {'subject' if at is None else 'reference'}'s trace"}
    recording = subject.recordings[at]
    if error := recording.error or reference.recordings[beside].error:
        return facts | {"error": error}
    oracle = Recorded(reference, beside)
    checks = [check_facts(check, result, reproduce, 0.0) for check, result in _results(subject, at, oracle, reference.recordings[beside].cases)]
    dtypes = list(dict.fromkeys(case.dtype for case in recording.cases))
    contracts = [one | {"counts_as": one["verdict"], "warning": False} if strict and one["warning"] else one for one in recording.contracts]
    return facts | {"references": [oracle.name], "dtypes": dtypes, "deterministic": recording.deterministic, "checks": [*checks, *contracts]}


def _results(subject: TraceFile, at: int, oracle: Recorded, theirs: list[Case]) -> Iterator[tuple[Check, CheckResult]]:
    """Yield each check of values with its result."""
    recording, layer = subject.recordings[at], RecordedLayer(subject, at)
    pair = Pair(layer, oracle, name=recording.name)
    prepared = Prepared(pair, layer, [resolved(oracle)], [], {}, [], oracle.elements)  # type: ignore[arg-type]
    dtypes = {case.check: case.dtype for case in [*recording.cases, *theirs]}
    for name, dtype in dtypes.items():
        result = CheckResult(name, Verdict.SKIPPED)
        mine = {place: case for place, case in enumerate(recording.cases) if case.check == name}
        for place, case in mine.items():
            if case.skipped:
                result.reason = case.skipped
                continue
            call, shape = given(subject, at, place), case.inputs or times(case.shape)
            if call is None:
                result.add(shape, undecided(recording.name, case.reason))
            else:
                judge_call(prepared, call, case.dtype, shape, result, case.special)
        asked = [(case.shape, case.inputs) for case in mine.values()]
        for case in theirs:
            if case.check == name and (case.shape, case.inputs) not in asked:
                result.add(case.inputs or times(case.shape), undecided(recording.name, _NOT_ASKED))
        yield Check(name, "as recorded", _never_run, dtype), result.conclude()


def _never_run(prepared: Prepared, settings: Settings) -> CheckResult:
    raise NotImplementedError("what was recorded is judged, not run")
