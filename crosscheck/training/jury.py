"""Several references at once, and who agrees with whom.

Each side, the subject and every reference, does the same step from the same weights and leaves a trace. Each reference's oracle judges every trace,
link by link, on the values that stand in it: the rounding of one side is never held against another, and neither is a decision at a kink that
rounding turned. What is left is a difference of mathematics. Where the oracles of two frameworks differ about a trace, they hold different
conventions, and the verdict on a subject that follows one of them is ``undecided``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Arrays, Constants, Labels
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Trace
from crosscheck.core.training import MakeTraining, Snapshot, Training, TrainState, merge, split
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.step import start_of
from crosscheck.training.free_run import DistanceSample
from crosscheck.training.lockstep import Layers, links

SUBJECT = "subject"


@dataclass(frozen=True)
class Juror:
    """A reference among several; layers, parameters and layouts are called as the subject's are.

    Attributes
    ----------
    name : str
        For reports.
    architecture : Architecture
        Its oracles.
    converted : frozenset of str
        States that its optimizer keeps in another form, and that are converted, rounded as they are, for the others to start from: nobody judges how
        it moves them. What it makes of them, the parameters, is judged.
    """

    name: str
    architecture: Architecture
    make: MakeTraining
    converted: frozenset[str] = frozenset()


@dataclass
class Tally:
    """What the oracles of one reference say about all traces of one side.

    Attributes
    ----------
    worst : Judgement or None
        The one closest to its tolerance, or furthest beyond it.
    first : Judgement or None
        The first mismatch.
    """

    judge: str
    side: str
    steps: int = 0
    compared: int = 0
    mismatches: int = 0
    undecided: int = 0
    worst: Judgement | None = None
    first: Judgement | None = None

    def add(self, judgements: Iterable[Judgement]) -> None:
        """Take in the links of one step."""
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
        """Whether rounding explains all of it."""
        if self.mismatches:
            return Verdict.MISMATCH
        if self.undecided:
            return Verdict.UNDECIDED
        return Verdict.MATCH if self.compared else Verdict.SKIPPED


@dataclass
class Jury:
    """References that judge a subject and each other, step by step.

    Parameters
    ----------
    jurors : sequence of Juror
        The first is the one whose names and layouts all have.
    precision : Precision
        The subject's.

    Attributes
    ----------
    tallies : dict of (str, str) to Tally
        By judge and side.
    looks : dict of (str, str) to DistanceSample
        The last look at each parameter of each further reference that trains alone: how far the subject has come apart from it.
    """

    jurors: Sequence[Juror]
    precision: Precision
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    looks: dict[tuple[str, str], DistanceSample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._twins: dict[str, Training] = {juror.name: juror.make(self.precision.dtype, None, 0) for juror in self.jurors}
        self.alone: dict[str, Training] = {juror.name: juror.make(self.precision.dtype, None, 0) for juror in self.jurors[1:]}

    def begin(self, start: TrainState) -> None:
        """Let the references that train alone start where the subject does."""
        for training in self.alone.values():
            training.load(start)

    def step(self, x: Array, labels: Labels, constants: Mapping[str, Constants], lr_factor: float = 1.0) -> None:
        """Move the references that train alone on by one step."""
        for training in self.alone.values():
            training.step(x, labels, None, constants, lr_factor)

    def judge(self, trace: Trace, layers: Layers, x: Array, labels: Labels, lr_factor: float = 1.0) -> None:
        """Let every reference judge the subject's step, and every reference's step from the same weights."""
        start = start_of(self.jurors[0].architecture, trace)
        traces = {SUBJECT: trace} | {name: _traced(trace.step, twin, start, x, labels, lr_factor) for name, twin in self._twins.items()}
        unjudged = {juror.name: tuple(f".{state}" for state in juror.converted) for juror in self.jurors}
        for juror in self.jurors:
            for side, own in traces.items():
                of: Layers = layers if side == SUBJECT else dict.fromkeys(layers, Shown())
                tally = self.tallies.setdefault((juror.name, side), Tally(juror.name, side))
                judged = links(juror.architecture.at_rate(lr_factor), of, own, x, labels, self.precision)
                tally.add(judgement for judgement in judged if not judgement.place.quantity.endswith(unjudged.get(side, ())))

    def look(self, params: Arrays, looks: Iterable[DistanceSample]) -> None:
        """Measure how far the subject is from the further references, on the yardstick of its looks at the first one."""
        yardsticks = {look.parameter: look for look in looks}
        for name, training in self.alone.items():
            others = training.params | training.buffers
            for parameter, yardstick in yardsticks.items():
                difference = params[parameter].astype(np.float64) - others[parameter]
                norm, largest = float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0.0))
                known = self.looks.get((name, parameter))
                look = DistanceSample(yardstick.step, parameter, norm, yardstick.spread, yardstick.allowed, largest)
                # A reference that the subject has left once stays left.
                if known is None or known.verdict is not Verdict.MISMATCH:
                    self.looks[name, parameter] = look

    def snapshot(self) -> Snapshot:
        """Return the state of the references that train alone; what was found out so far is not part of it."""
        return merge({str(number): training.snapshot() for number, training in enumerate(self.alone.values())})

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the state of the references of a jury that was made in the same way."""
        parts = split(snapshot)
        for number, training in enumerate(self.alone.values()):
            training.restore(parts[str(number)])

    def verdict_by(self, judge: str, perturbed: bool) -> Verdict:
        """Return what one reference says about the subject: its steps and, where the free run has a yardstick, the free run beside it."""
        steps = self.tallies[judge, SUBJECT].verdict if (judge, SUBJECT) in self.tallies else Verdict.SKIPPED
        free = {look.verdict for (name, _), look in self.looks.items() if name == judge and perturbed}
        return next((v for v in (Verdict.MISMATCH, Verdict.UNDECIDED) if v is steps or v in free), steps)


class Shown:
    """A layer of a reference: everything that it computes is there, as it is."""

    absent: Mapping[str, str] = {}
    sources: Mapping[str, str] = {}

    def vjp(self, call: Any) -> dict[str, Array]:
        """Return nothing: it is never asked."""
        return {}

    def reading(self, quantity: str, call: Any, value: Array) -> None:
        """Return None."""


def _traced(step: int, twin: Training, start: TrainState, x: Array, labels: Labels, lr_factor: float) -> Trace:
    """Return the trace of a reference's step, with what it started from and what it left."""
    twin.load(start)
    trace = Trace(step)
    for name, value in (*start.params.items(), *start.buffers.items()):
        layer, own = _key(name)
        trace.record(layer, f"{own}.before", value)
    for name, state in start.state.items():
        layer, parameter = _key(name)
        for kept, value in state.items():
            trace.record(layer, f"{parameter}.{kept}.before", value)
    for layer, constants in start.constants.items():
        for name, constant in constants.items():
            trace.record(layer, name, constant)
    twin.step(x, labels, trace, start.constants, lr_factor)
    state_after = twin.state
    for name, value in twin.params.items():
        layer, parameter = _key(name)
        trace.record(layer, parameter, value)
        for kept, left in state_after.get(name, {}).items():
            trace.record(layer, f"{parameter}.{kept}", left)
    return trace


def _key(name: str) -> tuple[str, str]:
    layer, _, own = name.rpartition(".")
    return layer, own
