"""The results of a run so far, collected in memory that does not grow with the length of the run: verdicts, worst errors, curves.

A curve starts with a point for each step. When it is full, neighbours are merged in pairs, and each point then stands for twice as many steps. So the
points are spread evenly over the run, however long it gets, and depend only on the values that were added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crosscheck.core.judge import Judgement, Kind, Verdict

KEPT = 1024
"""The most points of a curve of peaks; an even number."""
AVERAGED = 400
"""The most points of a curve of means; an even number."""


@dataclass
class Peaks:
    """The largest value of each group of steps, and its step: no peak is lost, however short."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    each: int = 1  # how many values a point stands for
    filled: int = 0  # how many values the last point stands for so far

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
    """The average of each group of steps, for two sides at once."""

    sums: list[tuple[float, float]] = field(default_factory=list)  # the sums of the subject's and of the reference's values in each group
    each: int = 1  # how many steps a group has
    filled: int = 0  # how many steps the last group has so far

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
        """Return for each group its last step, counted from 1, and both averages."""
        sizes = [self.each] * (len(self.sums) - 1) + [self.filled] * bool(self.sums)
        return [(at * self.each + size, sums[0] / size, sums[1] / size) for at, (size, sums) in enumerate(zip(sizes, self.sums, strict=True))]


Key = tuple[Kind, str, str]


@dataclass
class Series:
    """One quantity over all checked steps."""

    curve: Peaks = field(default_factory=Peaks)  # the largest error of the checked steps, as a fraction of its tolerance
    elements: int = 0  # numbers compared so far
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))  # how many steps ended in each verdict
    worst: Judgement | None = None  # the judgement with the largest fraction; a mismatch before a match
    first: Judgement | None = None  # the first mismatch
    reason: str = ""  # why the first skipped or undecided judgement was so
    widened: int = 0  # how many steps match within a tolerance that the witness widened

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
    """All judgements of a run by (kind, layer, quantity), in the order in which they first came."""

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
        """Return how many judgements ended in a verdict."""
        return sum(series.counts[verdict] for series in self.series.values())

    @property
    def compared(self) -> int:
        """How many quantities were compared with a result, match or mismatch."""
        return self.count(Verdict.MATCH) + self.count(Verdict.MISMATCH)

    @property
    def widened(self) -> int:
        """How many quantities match within a tolerance that the witness widened."""
        return sum(series.widened for series in self.series.values())

    @property
    def elements(self) -> int:
        """How many single numbers were compared."""
        return sum(series.elements for series in self.series.values())

    def worst(self, *kinds: Kind) -> Judgement | None:
        """Return the judgement closest to its tolerance, or furthest beyond it."""
        candidates = [series.worst for _, series in self.of(*kinds) if series.worst is not None]
        return max(candidates, key=_severity, default=None)
