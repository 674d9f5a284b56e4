"""What was found of right implementations: how many quantities were compared, every false alarm, how near to their tolerances they came."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crosscheck.core.judge import Judgement, Verdict

DECADES = 7
"""Tenths, hundredths and so on of a tolerance that are told apart; whatever is nearer to right is counted together."""

LOOSE = 1e-3
"""A tolerance of which no right implementation ever reached this fraction is named: it may be far wider than it has to be."""


@dataclass(frozen=True)
class Chunk:
    """Some trials of one task in one environment and one precision: what one process does at a time.

    Attributes
    ----------
    task, environment, dtype : str
    first, last : int
        The trials from the first to the one before the last; a trial's number decides its inputs and is its seed.
    """

    task: str
    environment: str
    dtype: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.task}, {self.environment}, {self.dtype}, trials {self.first} to {self.last - 1}"


@dataclass
class Reached:
    """How near a quantity came to its tolerance.

    Attributes
    ----------
    largest : float
        The largest fraction of a tolerance.
    equal : int
        How often it was equal bit for bit.
    decades : list of int
        How often the largest fraction of an array was at least a tenth, at least a hundredth and so on; the last number counts all others.
    """

    largest: float = 0.0
    equal: int = 0
    decades: list[int] = field(default_factory=lambda: [0] * DECADES)

    def add(self, fraction: float) -> None:
        """Count one array."""
        self.largest = max(self.largest, fraction)
        if fraction:
            self.decades[min(DECADES - 1, max(0, math.ceil(-math.log10(fraction)) - 1)) if math.isfinite(fraction) else 0] += 1
        else:
            self.equal += 1

    def join(self, other: Reached) -> None:
        """Add what was counted elsewhere."""
        self.largest, self.equal = max(self.largest, other.largest), self.equal + other.equal
        self.decades = [one + two for one, two in zip(self.decades, other.decades, strict=True)]


@dataclass
class Found:
    """What was found in a chunk, or in several.

    Attributes
    ----------
    quantities, elements : int
        Arrays that were compared and got a verdict, and the numbers in them.
    measured : int
        Those of them whose tolerance comes from measured rounding.
    undecided, skipped : int
        Arrays that got none, most of them because the operation itself leaves the range of numbers.
    reasons : dict of str to int
        Why they got none, and how often; numbers in a reason are left out.
    ways : dict of str to int
        How many quantities of each right implementation were compared.
    kernels : list of str
        Those that BLAS had.
    alarms : list of str
        Every false alarm with all that it takes to see it again.
    reached : dict of str to Reached
        By task, quantity and precision.
    """

    quantities: int = 0
    elements: int = 0
    measured: int = 0
    undecided: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    kernels: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    reached: dict[str, Reached] = field(default_factory=dict)

    def add(self, judgement: Judgement, key: str, way: str, again: str, measured: bool = False) -> None:
        """Count one judgement.

        Parameters
        ----------
        judgement : Judgement
        key : str
            The quantity, as it is counted.
        way : str
            The right implementation.
        again : str
            What it takes to see it again.
        measured : bool
            Whether the reference's rounding is measured.
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
        """Add what was found elsewhere."""
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
        """The largest fraction of the tolerance of those quantities that never came near it; those that were always equal are left out."""
        return {key: one.largest for key, one in sorted(self.reached.items()) if 0 < one.largest < LOOSE}

    @property
    def always_equal(self) -> list[str]:
        """The quantities that were equal in every trial."""
        return sorted(key for key, one in self.reached.items() if not one.largest)


def _added(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + two.get(key, 0) for key in {**one, **two}}


def joined(parts: Iterable[Found]) -> Found:
    """Return what was found in several chunks."""
    total = Found()
    for part in parts:
        total.join(part)
    return total


def _said(judgement: Judgement) -> str:
    worst = "" if judgement.worst is None else f", {judgement.worst.subject!r} for {judgement.worst.oracle!r} at {list(judgement.worst.index)}"
    return f"{worst}{', ' if judgement.reason else ''}{judgement.reason}"
