"""A jury: several references that judge the subject and each other.

The subject and every reference do the same step from the same weights, and each records a trace. Each reference's oracle judges every trace, link by
link, on the values in that trace. So rounding errors in other traces do not count, and neither do decisions at kinks that rounding changed. Any
remaining difference is one of mathematics. If the oracles of two frameworks disagree about a trace, the frameworks follow different conventions, and
the verdict on a subject that follows one of them is ``undecided``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosscheck.adapters.network_listened import Traced
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Arrays, Constants, Labels
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Trace, key_of
from crosscheck.core.training import MakeTraining, Snapshot, Training, TrainState, merge, split
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.step import start_of
from crosscheck.training.free_run import DistanceSample
from crosscheck.training.lockstep import Layers, links

SUBJECT = "subject"


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
    mismatches: int = 0
    undecided: int = 0
    worst: Judgement | None = None  # the judgement closest to its tolerance, or furthest beyond it
    first: Judgement | None = None  # the first mismatch

    def add(self, judgements: Iterable[Judgement]) -> None:
        """Add the judgements on one step."""
        self.steps += 1
        for judgement in judgements:
            wrong = judgement.verdict is Verdict.MISMATCH
            self.compared += judgement.verdict in (Verdict.MATCH, Verdict.MISMATCH)
            self.mismatches += wrong
            self.undecided += judgement.verdict is Verdict.UNDECIDED
            if wrong and self.first is None:
                self.first = judgement
            if self.worst is None or judgement.fraction > self.worst.fraction:
                self.worst = judgement

    @property
    def verdict(self) -> Verdict:
        """Whether rounding explains every difference."""
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

    def judge(self, trace: Trace, layers: Layers, x: Array, labels: Labels, lr_factor: float = 1.0) -> None:
        """Let every reference judge the subject's step and all references' steps from the same weights."""
        start = start_of(self.jurors[0].architecture, trace)
        traces = {SUBJECT: trace} | {name: _traced(trace.step, twin, start, x, labels, lr_factor) for name, twin in self._twins.items()}
        unjudged = {juror.name: tuple(f".{state}" for state in juror.converted) for juror in self.jurors}
        for juror in self.jurors:
            for side, own in traces.items():
                of: Layers = layers if side == SUBJECT else dict.fromkeys(layers, Traced())
                tally = self.tallies.setdefault((juror.name, side), Tally(juror.name, side))
                judged = links(juror.architecture.at_rate(lr_factor), of, own, x, labels, self.precision)
                tally.add(judgement for judgement in judged if not judgement.place.quantity.endswith(unjudged.get(side, ())))

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
        free = {look.verdict for (name, _), look in self.looks.items() if name == judge and perturbed}
        return next((v for v in (Verdict.MISMATCH, Verdict.UNDECIDED) if v is steps or v in free), steps)


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
