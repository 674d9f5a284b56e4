"""Time several sides in turns: in each round all sides run, in one process, so that a slow spell of the machine slows all of them.

A figure is the median over the rounds. Two sides are compared by the median of their ratios in each round, which a slow spell changes less.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WARMED = 10
"""Before each timed run, a side warms up with one untimed repetition for each 10 timed ones."""

Run = Callable[[int], object]
"""A function that repeats something as many times as its argument says."""


@dataclass(frozen=True)
class Pace:
    """How many rounds to measure, and how long each side runs in a round."""

    rounds: int
    seconds: float  # about how long each side runs in a round; it does at least one repetition


@dataclass(frozen=True)
class Times:
    """Seconds of one repetition, by side and round."""

    rounds: Mapping[str, list[float]]

    def milliseconds(self, side: str) -> float:
        """Return the median over the rounds."""
        return 1e3 * statistics.median(self.rounds[side])

    def times(self, side: str, other: str) -> float:
        """Return how many times as long as ``other`` the side took: the median over the rounds."""
        return statistics.median(one / two for one, two in zip(self.rounds[side], self.rounds[other], strict=True))


def repeated(action: Callable[[], object]) -> Run:
    """Return a run that repeats an action."""

    def run(count: int) -> None:
        for _ in range(count):
            action()

    return run


def alternated(runs: Mapping[str, Run], pace: Pace, clock: Callable[[], float] = time.perf_counter) -> Times:
    """Time several runs in turns; every other round takes them in reverse order. ``clock`` returns seconds."""

    def timed(run: Run, repetitions: int) -> float:
        before = clock()
        run(repetitions)
        return (clock() - before) / repetitions

    counts = {}
    for name, run in runs.items():
        timed(run, 1)  # work that is done only once, such as compiling, does not count
        counts[name] = max(1, round(pace.seconds / max(timed(run, 1), 1e-7)))
    found: dict[str, list[float]] = {name: [] for name in runs}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(pace.rounds):
            for name in list(runs) if number % 2 else reversed(list(runs)):
                # Threads of the previous side may still be waiting for work, and its data may fill the caches.
                if counts[name] >= WARMED:
                    runs[name](counts[name] // WARMED)
                found[name].append(timed(runs[name], counts[name]))
    finally:
        if collecting:
            gc.enable()
    return Times(found)
