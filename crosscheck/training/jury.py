"""A jury: several references that judge the subject and each other.

The subject and every reference do the same step from the same weights, and each records a trace. Each reference's oracle judges every trace, link by
link, on the values in that trace. So rounding errors in other traces do not count, and neither do decisions at kinks that rounding changed. Any
remaining difference is one of mathematics: the oracles of two frameworks that disagree about a trace follow different conventions.

If the subject agrees with the first reference, and a known convention explains everything that another reference objects to, the objection is named
but does not count. Otherwise the verdict on a subject that agrees with some of the references is ``undecided``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from crosscheck.adapters.network_listened import Traced
from crosscheck.causes.conventions import Convention, explaining
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays, Constants, Labels
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place, Trace, key_of
from crosscheck.core.training import MakeTraining, Snapshot, Training, TrainState, merge, split
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.step import start_of
from crosscheck.training.free_run import DistanceSample
from crosscheck.training.lockstep import Layers, StepReport, check_links

SUBJECT = "subject"

Key = tuple[str, str]
"""A layer and the name of one of its quantities."""


@dataclass(frozen=True)
class Juror:
    """One reference of a jury; its layers and parameters have the names and layouts of the first reference's."""

    name: str  # the reference's name in reports
    architecture: Architecture
    make: MakeTraining
    # Optimizer states that this reference stores in another form. They are converted, with rounding errors, so that the other references can start
    # from them. This reference's updates of these states are not judged; the parameters that result from them are.
    converted: frozenset[str] = frozenset()


@dataclass
class Tally:
    """The verdicts of one reference's oracles on all traces of the subject, or on all traces of one reference."""

    judge: str  # the name of the reference that judges
    side: str  # the name of the reference that is judged, or ``SUBJECT``
    steps: int = 0
    compared: int = 0
    mismatches: int = 0  # without those that a convention explains, like the judgements below
    explained: int = 0  # the number of mismatches that a convention explains
    undecided: int = 0
    worst: Judgement | None = None  # the judgement closest to its tolerance, or furthest beyond it
    first: Judgement | None = None  # the first mismatch

    def add(self, judgements: Iterable[Judgement], explained: Collection[Key] = ()) -> None:
        """Add the judgements on one step; ``explained`` are the layers and quantities whose mismatches a convention explains."""
        self.steps += 1
        for judgement in judgements:
            wrong = judgement.verdict is Verdict.MISMATCH
            self.compared += judgement.verdict in (Verdict.MATCH, Verdict.MISMATCH)
            if wrong and judgement.place.key in explained:
                self.explained += 1
                continue
            self.mismatches += wrong
            self.undecided += judgement.verdict is Verdict.UNDECIDED
            if wrong and self.first is None:
                self.first = judgement
            if self.worst is None or judgement.fraction > self.worst.fraction:
                self.worst = judgement

    @property
    def verdict(self) -> Verdict:
        """Whether rounding and conventions explain every difference."""
        if self.mismatches:
            return Verdict.MISMATCH
        if self.undecided:
            return Verdict.UNDECIDED
        return Verdict.MATCH if self.compared else Verdict.SKIPPED


@dataclass
class Jury:
    """References that judge a subject and each other, step by step."""

    jurors: Sequence[Juror]  # all use the first juror's parameter names and layouts
    precision: Precision
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)  # by judge and side
    # by reference and parameter, the subject's last measured distance from each reference but the first
    looks: dict[tuple[str, str], DistanceSample] = field(default_factory=dict)
    # by reference and place, the conventions by which a reference differs from the first one
    conventions: dict[tuple[str, Key], Convention] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._twins: dict[str, Training] = {juror.name: juror.make(self.precision.dtype, None, 0) for juror in self.jurors}
        self.alone: dict[str, Training] = {juror.name: juror.make(self.precision.dtype, None, 0) for juror in self.jurors[1:]}

    def begin(self, start: TrainState) -> None:
        """Let all references but the first, which train independently, start from the subject's state."""
        for training in self.alone.values():
            training.load(start)

    def step(self, x: Array, labels: Labels, constants: Mapping[str, Constants], lr_factor: float = 1.0) -> None:
        """Advance the references that train independently by one step."""
        for training in self.alone.values():
            training.step(x, labels, None, constants, lr_factor)

    def judge(self, trace: Trace, layers: Layers, x: Array, labels: Labels, own: StepReport, lr_factor: float = 1.0) -> None:
        """Let every reference judge the subject's step and all references' steps from the same weights.

        ``own`` is the first reference's report on the subject's step.
        """
        start, first = start_of(self.jurors[0].architecture, trace), self.jurors[0].name
        # What a step starts from and how often a mask drops are judged by the first reference alone.
        judged = {first: [one for one in own.links if not one.place.quantity.endswith((".before", "mask"))]}
        named: dict[str, set[Key]] = {first: set()}  # in this step
        double = replace(self.precision, dtype=np.dtype(np.float64))
        for juror in self.jurors[1:]:
            report = check_links(juror.architecture.at_rate(lr_factor), layers, trace, x, labels, self.precision)
            judged[juror.name] = report.links
            found = {place.key: _convention(place, own, report, double) for place in _differing([*judged[first], *report.links])}
            self.conventions |= {(juror.name, key): convention for key, convention in found.items() if convention is not None}
            named[juror.name] = {key for key, convention in found.items() if convention is not None}
        agreed = {one.place.key for one in judged[first] if one.verdict is Verdict.MATCH}
        for name, judgements in judged.items():
            self._tally(name, SUBJECT).add(judgements, named[name] & agreed)
        for side in self.jurors:
            # One trace at a time, because the traces of a large network fill the memory.
            other, seen = _traced(trace.step, self._twins[side.name], start, x, labels, lr_factor), dict.fromkeys(layers, Traced())
            unjudged = tuple(f".{state}" for state in side.converted)
            for juror in self.jurors:
                links = check_links(juror.architecture.at_rate(lr_factor), dict(seen), other, x, labels, self.precision).links
                kept = [judgement for judgement in links if not judgement.place.quantity.endswith(unjudged)]
                self._tally(juror.name, side.name).add(kept, named[juror.name] | named[side.name])

    def _tally(self, judge: str, side: str) -> Tally:
        return self.tallies.setdefault((judge, side), Tally(judge, side))

    def look(self, params: Arrays, looks: Iterable[DistanceSample]) -> None:
        """Measure the subject's distance from all references but the first; ``looks``, the distances from the first, give the limit."""
        first_looks = {look.parameter: look for look in looks}
        for name, training in self.alone.items():
            others = training.params | training.buffers
            for parameter, first in first_looks.items():
                difference = params[parameter].astype(np.float64) - others[parameter]
                norm, largest = float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0.0))
                known = self.looks.get((name, parameter))
                look = DistanceSample(first.step, parameter, norm, first.spread, first.allowed, largest)
                # Once the subject has diverged from a reference, that verdict stays.
                if known is None or known.verdict is not Verdict.MISMATCH:
                    self.looks[name, parameter] = look

    def snapshot(self) -> Snapshot:
        """Return the state of the references that train independently, without the verdicts so far."""
        return merge({str(number): training.snapshot() for number, training in enumerate(self.alone.values())})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state of the references from the snapshot of a jury that was made with the same arguments."""
        parts = split(snapshot)
        for number, training in enumerate(self.alone.values()):
            training.restore(parts[str(number)])

    def verdict_by(self, judge: str, perturbed: bool) -> Verdict:
        """Return one reference's verdict on the subject: on its steps and, if there are perturbed references, on its free run."""
        steps = self.tallies[judge, SUBJECT].verdict if (judge, SUBJECT) in self.tallies else Verdict.SKIPPED
        free = {look.verdict for look in self.looks_at(judge)} if perturbed else set()
        return next((v for v in (Verdict.MISMATCH, Verdict.UNDECIDED) if v is steps or v in free), steps)

    def looks_at(self, reference: str) -> list[DistanceSample]:
        """Return the last distances from a reference, without those that its other conventions explain.

        Running statistics have no effect on a training. Every other difference in one step leads to differences in all arrays of the next.
        """
        keys = {key for name, key in self.conventions if name == reference}
        buffers = self.jurors[0].architecture.buffers
        if any(quantity not in buffers.get(layer, ()) for layer, quantity in keys):
            return []
        return [look for (name, array), look in self.looks.items() if name == reference and key_of(array) not in keys]


def _differing(judgements: Iterable[Judgement]) -> list[Place]:
    """Return the places in layers where one of the judgements is a mismatch."""
    return list(dict.fromkeys(one.place for one in judgements if one.kind is Kind.LAYER and one.verdict is Verdict.MISMATCH))


def _convention(place: Place, first: StepReport, other: StepReport, precision: Precision) -> Convention | None:
    """Return the convention that explains the difference of what two references expect of a layer on the same values; None if none does.

    ``precision`` is that of the expected values.
    """
    ours, theirs = first.contexts.get(place.layer), other.contexts.get(place.layer)
    if ours is None or theirs is None or ours.oracle is None or place.quantity not in ours.expected.keys() & theirs.expected.keys():
        return None
    found, expected, bound = theirs.expected[place.quantity], ours.expected[place.quantity], ours.bounds[place.quantity]
    judgement = judge(place, Kind.LAYER, found, expected, bound, precision)
    return explaining(Failure(judgement, found, expected, bound, ours.wide, ours.oracle, Traced(), precision))


def _traced(step: int, twin: Training, start: TrainState, x: Array, labels: Labels, lr_factor: float) -> Trace:
    """Let a reference do a step from the given state, and return its trace, with the state before and after the step."""
    twin.load(start)
    trace = Trace(step)
    for name, value in (*start.params.items(), *start.buffers.items()):
        layer, own = key_of(name)
        trace.record(layer, f"{own}.before", value)
    for name, state in start.state.items():
        layer, parameter = key_of(name)
        for kept, value in state.items():
            trace.record(layer, f"{parameter}.{kept}.before", value)
    for layer, constants in start.constants.items():
        for name, constant in constants.items():
            trace.record(layer, name, constant)
    twin.step(x, labels, trace, start.constants, lr_factor)
    state_after = twin.state
    for name, value in twin.params.items():
        layer, parameter = key_of(name)
        trace.record(layer, parameter, value)
        for kept, left in state_after.get(name, {}).items():
            trace.record(layer, f"{parameter}.{kept}", left)
    return trace
