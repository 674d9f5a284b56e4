"""The facts of a run, collected step by step: of a size that does not grow with its length, complete enough to find where and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crosscheck.curve import Peaks
from crosscheck.judgement import Judgement, Kind, Verdict

Key = tuple[Kind, str, str]


@dataclass
class Series:
    """One quantity over all checked steps.

    Attributes
    ----------
    curve : Peaks
        The largest error of the checked steps, as a fraction of its tolerance.
    elements : int
        Numbers compared so far.
    counts : dict of Verdict to int
        How many steps ended in each verdict.
    worst : Judgement or None
        The judgement with the largest fraction; a mismatch before a match.
    first : Judgement or None
        The first mismatch.
    reason : str
        Why it was skipped or undecided, the first time.
    widened : int
        How many steps match by a tolerance that the witness widened.
    """

    curve: Peaks = field(default_factory=Peaks)
    elements: int = 0
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    worst: Judgement | None = None
    first: Judgement | None = None
    reason: str = ""
    widened: int = 0

    def add(self, judgement: Judgement) -> None:
        """Take in one judgement."""
        self.counts[judgement.verdict] += 1
        self.elements += judgement.elements
        self.widened += judgement.verdict is Verdict.MATCH and judgement.widened
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
        """Take in the judgements of a step."""
        for judgement in judgements:
            key = (judgement.kind, judgement.place.layer, judgement.place.quantity)
            if (series := self.series.get(key)) is None:
                series = self.series[key] = Series()
            series.add(judgement)

    def of(self, *kinds: Kind) -> Iterator[tuple[Key, Series]]:
        """Yield the series of some kinds, in order."""
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
        """How many quantities match by a tolerance that the witness widened."""
        return sum(series.widened for series in self.series.values())

    @property
    def elements(self) -> int:
        """How many single numbers were compared."""
        return sum(series.elements for series in self.series.values())

    def worst(self, *kinds: Kind) -> Judgement | None:
        """Return the judgement closest to its tolerance, or furthest beyond it."""
        candidates = [series.worst for _, series in self.of(*kinds) if series.worst is not None]
        return max(candidates, key=_severity, default=None)
