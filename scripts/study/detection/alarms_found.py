"""The findings of comparing right implementations: numbers of quantities, every false alarm, the largest errors relative to their tolerances."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crosscheck.core.judge import Judgement, Verdict

DECADES = 7
"""Errors are counted by powers of ten of the tolerance: at least a tenth, at least a hundredth and so on; the last count holds all smaller ones."""

LOOSE = 1e-3
"""If no right implementation reaches this fraction of a tolerance, the tolerance is named: it may be far wider than needed."""


@dataclass(frozen=True)
class Chunk:
    """Some trials of one task in one environment and one precision, which one process carries out together."""

    task: str
    environment: str
    dtype: str
    # first, last: the trials from ``first`` up to, but without, ``last``. A trial's number decides its inputs and is its seed.
    first: int
    last: int

    @property
    def key(self) -> str:
        """The name of the chunk's result."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.task}, {self.environment}, {self.dtype}, trials {self.first} to {self.last - 1}"


@dataclass
class Reached:
    """How large the errors of a quantity were relative to its tolerance."""

    largest: float = 0.0  # the largest error, as a fraction of its tolerance
    equal: int = 0  # how many arrays were equal to the reference bit for bit
    # how many arrays had a largest fraction of at least a tenth, at least a hundredth and so on; the last number counts all others
    decades: list[int] = field(default_factory=lambda: [0] * DECADES)

    def add(self, fraction: float) -> None:
        """Count one array."""
        self.largest = max(self.largest, fraction)
        if fraction:
            self.decades[min(DECADES - 1, max(0, math.ceil(-math.log10(fraction)) - 1)) if math.isfinite(fraction) else 0] += 1
        else:
            self.equal += 1

    def join(self, other: Reached) -> None:
        """Add the counts of ``other``."""
        self.largest, self.equal = max(self.largest, other.largest), self.equal + other.equal
        self.decades = [one + two for one, two in zip(self.decades, other.decades, strict=True)]


@dataclass
class Found:
    """The findings of one or several chunks."""

    # quantities, elements: how many arrays were compared and got a verdict, and how many numbers they have
    quantities: int = 0
    elements: int = 0
    measured: int = 0  # how many of these arrays have a tolerance from measured rounding
    # undecided, skipped: how many arrays got no verdict, usually because the operation itself leaves the range of numbers
    undecided: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # why arrays got no verdict, and how often; numbers in a reason are left out
    ways: dict[str, int] = field(default_factory=dict)  # how many quantities of each right implementation were compared
    kernels: list[str] = field(default_factory=list)  # the kernels that BLAS used
    alarms: list[str] = field(default_factory=list)  # every false alarm, with all information to reproduce it
    reached: dict[str, Reached] = field(default_factory=dict)  # by task, quantity and precision

    def add(self, judgement: Judgement, key: str, way: str, again: str, measured: bool = False) -> None:
        """Count one judgement.

        The quantity is counted under ``key``. ``way`` is the right implementation, ``again`` says how to reproduce the judgement, and ``measured``
        says whether the reference's rounding is measured.
        """
        if judgement.verdict in (Verdict.UNDECIDED, Verdict.SKIPPED):
            self.undecided += judgement.verdict is Verdict.UNDECIDED
            self.skipped += judgement.verdict is Verdict.SKIPPED
            reason = re.sub(r"(?<![a-z\d])\d[\d.,e+]*", "so many", judgement.reason)
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        else:
            self.quantities += 1
            self.measured += measured
            self.elements += judgement.elements
            self.ways[way] = self.ways.get(way, 0) + 1
            self.reached.setdefault(key, Reached()).add(judgement.fraction)
        if judgement.verdict is Verdict.MISMATCH:
            self.alarms.append(f"{again}: {judgement.place.quantity} at {judgement.fraction:.4g} of its tolerance{_said(judgement)}")

    def join(self, other: Found) -> None:
        """Add the findings of another chunk."""
        self.quantities, self.elements = self.quantities + other.quantities, self.elements + other.elements
        self.undecided, self.skipped = self.undecided + other.undecided, self.skipped + other.skipped
        self.measured += other.measured
        self.ways, self.reasons = _added(self.ways, other.ways), _added(self.reasons, other.reasons)
        self.kernels = sorted({*self.kernels, *other.kernels})
        self.alarms += other.alarms
        for key, reached in other.reached.items():
            self.reached.setdefault(key, Reached()).join(reached)

    @property
    def loose(self) -> Mapping[str, float]:
        """The quantities whose errors never came near the tolerance, each with its largest fraction; quantities without any error are left out."""
        return {key: one.largest for key, one in sorted(self.reached.items()) if 0 < one.largest < LOOSE}

    def words(self) -> str:
        """Return the findings as lines of text."""
        lines = [
            f"{self.quantities:,} quantities compared, {self.measured:,} of them beside references whose rounding is measured, {self.elements:,} "
            f"numbers, of {len(self.ways):,} right implementations; "
            f"{self.undecided + self.skipped:,} not compared; {len(self.alarms):,} false alarms",
            *(f"false alarm: {alarm}" for alarm in self.alarms),
            *(f"not compared, {count:,}: {reason}" for reason, count in sorted(self.reasons.items(), key=lambda item: -item[1])),
            *(f"never nearer to its tolerance than {fraction:.2g} of it: {key}" for key, fraction in self.loose.items()),
        ]
        return "\n".join(lines) + "\n"


def _added(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + two.get(key, 0) for key in {**one, **two}}


def joined(parts: Iterable[Found]) -> Found:
    """Return the sum of the findings of several chunks."""
    total = Found()
    for part in parts:
        total.join(part)
    return total


def _said(judgement: Judgement) -> str:
    worst = "" if judgement.worst is None else f", {judgement.worst.subject!r} for {judgement.worst.oracle!r} at {list(judgement.worst.index)}"
    return f"{worst}{', ' if judgement.reason else ''}{judgement.reason}"
