"""Curves over the steps of a run, in memory that does not grow with its length.

A curve starts with a point for each step. When it is full, neighbours are merged two by two, and from then on each point stands for twice as many
steps; so the points are spread evenly over the run, however long it becomes, and depend on nothing but what was added.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT = 1024
"""Points that a curve of peaks holds at most; an even number."""
AVERAGED = 400
"""Points that a curve of means holds at most; an even number."""


@dataclass
class Peaks:
    """The largest value of each group of steps, and the step where it stood: no peak is lost, however short.

    Attributes
    ----------
    steps : list of int
    values : list of float
    each : int
        How many of the values added a point stands for.
    filled : int
        How many of them the last point has taken in.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    each: int = 1
    filled: int = 0

    def add(self, step: int, value: float) -> None:
        """Take in the value of the next step."""
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
    """The average of each group of steps, for two sides at once.

    Attributes
    ----------
    sums : list of (float, float)
        Of the values of subject and reference in each group.
    each : int
        How many steps a group has.
    filled : int
        How many of them the last group has taken in.
    """

    sums: list[tuple[float, float]] = field(default_factory=list)
    each: int = 1
    filled: int = 0

    def add(self, subject: float, reference: float) -> None:
        """Take in the values of the next step."""
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
