"""The results of a run so far: verdicts, worst errors and curves. The memory that they need does not grow with the length of the run.

A curve starts with a point for each step. When it is full, neighbours are merged in pairs, and each point then stands for twice as many steps. So the
points are spread evenly over a run of any length, and depend only on the values that were added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crosscheck.core.judge import Judgement, Kind, Verdict

KEPT = 1024
"""The largest number of points of a curve of peaks; an even number."""
AVERAGED = 400
"""The largest number of points of a curve of means; an even number."""


@dataclass
class Peaks:
    """The largest value of each group of steps and the step where it occurred, so that even the shortest peak is kept."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    each: int = 1  # the number of values that a point stands for
    filled: int = 0  # the number of values that the last point stands for so far

    def add(self, step: int, value: float) -> None:
        """Add the value of the next step."""
        if self.steps and self.filled < self.each:
            self.filled += 1
            if value > self.values[-1]:
                self.steps[-1], self.values[-1] = step, value
            return
        if len(self.steps) == KEPT:
            larger = [at if self.values[at] >= self.values[at + 1] else at + 1 for at in range(0, KEPT, 2)]
            self.steps, self.values = [self.steps[at] for at in larger], [self.values[at] for at in larger]
            self.each *= 2
        self.steps.append(step)
        self.values.append(value)
        self.filled = 1


@dataclass
class Means:
    """The averages of the subject's and of the reference's values over each group of steps."""

    sums: list[tuple[float, float]] = field(default_factory=list)  # the sums of the subject's and of the reference's values in each group
    each: int = 1  # the number of steps in a group
    filled: int = 0  # the number of steps in the last group so far

    def add(self, subject: float, reference: float) -> None:
        """Add the values of the next step."""
        if self.sums and self.filled < self.each:
            self.filled += 1
            self.sums[-1] = (self.sums[-1][0] + subject, self.sums[-1][1] + reference)
            return
        if len(self.sums) == AVERAGED:
            pairs = zip(self.sums[::2], self.sums[1::2], strict=True)
            self.sums = [(one[0] + other[0], one[1] + other[1]) for one, other in pairs]
            self.each *= 2
        self.sums.append((subject, reference))
        self.filled = 1

    def points(self) -> list[tuple[int, float, float]]:
        """Return, for each group, its last step (counted from 1), the subject's average and the reference's average."""
        sizes = [self.each] * (len(self.sums) - 1) + [self.filled] * bool(self.sums)
        return [(at * self.each + size, sums[0] / size, sums[1] / size) for at, (size, sums) in enumerate(zip(sizes, self.sums, strict=True))]


Key = tuple[Kind, str, str]


@dataclass
class Series:
    """The judgements on one quantity in all checked steps, summed up."""

    curve: Peaks = field(default_factory=Peaks)  # the largest error of the checked steps, as a fraction of its tolerance
    elements: int = 0  # the number of elements compared so far
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))  # the number of steps with each verdict
    worst: Judgement | None = None  # the judgement with the largest fraction; a mismatch counts as worse than any match
    first: Judgement | None = None  # the first mismatch
    reason: str = ""  # the reason of the first skipped or undecided judgement
    widened: int = 0  # the number of steps that match within a tolerance that the witness widened

    def add(self, judgement: Judgement) -> None:
        """Add one judgement."""
        self.counts[judgement.verdict] += 1
        self.elements += judgement.elements
        self.widened += judgement.widened and judgement.verdict is Verdict.MATCH
        if judgement.verdict is Verdict.MISMATCH and self.first is None:
            self.first = judgement
        if judgement.verdict in (Verdict.SKIPPED, Verdict.UNDECIDED):
            self.reason = self.reason or judgement.reason
            return
        self.curve.add(judgement.place.step, judgement.fraction)
        if self.worst is None or _severity(judgement) > _severity(self.worst):
            self.worst = judgement


def _severity(judgement: Judgement) -> tuple[bool, float, float]:
    return judgement.verdict is Verdict.MISMATCH, judgement.fraction, judgement.units


@dataclass
class Record:
    """All judgements of a run by (kind, layer, quantity), in the order in which these first occurred."""

    series: dict[Key, Series] = field(default_factory=dict)

    def add(self, judgements: Iterable[Judgement]) -> None:
        """Add the judgements of a step."""
        for judgement in judgements:
            key = (judgement.kind, judgement.place.layer, judgement.place.quantity)
            if (series := self.series.get(key)) is None:
                series = self.series[key] = Series()
            series.add(judgement)

    def of(self, *kinds: Kind) -> Iterator[tuple[Key, Series]]:
        """Yield the series of the given kinds, in order."""
        yield from ((key, series) for key, series in self.series.items() if key[0] in kinds)

    def count(self, verdict: Verdict) -> int:
        """Return the number of judgements with this verdict."""
        return sum(series.counts[verdict] for series in self.series.values())

    @property
    def compared(self) -> int:
        """The number of judgements that are ``match`` or ``mismatch``."""
        return self.count(Verdict.MATCH) + self.count(Verdict.MISMATCH)

    @property
    def widened(self) -> int:
        """The number of judgements that are ``match`` only within a tolerance that the witness widened."""
        return sum(series.widened for series in self.series.values())

    @property
    def elements(self) -> int:
        """The number of elements that were compared."""
        return sum(series.elements for series in self.series.values())

    def worst(self, *kinds: Kind) -> Judgement | None:
        """Return the judgement of the given kinds that is closest to its tolerance, or furthest beyond it; None if there is none."""
        candidates = [series.worst for _, series in self.of(*kinds) if series.worst is not None]
        return max(candidates, key=_severity, default=None)
