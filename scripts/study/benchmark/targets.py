"""The targets of the benchmark, compared with the measured figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from crosscheck.core.judge import Facts
from study.benchmark.plan import CNN, CNN_BATCH, TUTORIAL


@dataclass(frozen=True)
class Target:
    """A target for one figure of the benchmark."""

    part: str  # the part of the benchmark that measures it
    what: str
    find: Callable[[Facts], list[float]]  # returns the measured figures, one for each number of threads; the worst one counts
    unit: str = "times"
    # at_least, at_most: the limits of the figure; one of them is infinite
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def aim(self) -> str:
        """The limit in words."""
        return f"at least {self.at_least:g} {self.unit}" if math.isfinite(self.at_least) else f"at most {self.at_most:g} {self.unit}"


def _times(facts: Facts, network: str, batch: int, side: str) -> list[float]:
    """Return how many times as long as scratch a side took, for each number of threads."""
    key = (network, batch, side)
    rows = [row for row in facts["training_step"] if (row["network"], row["batch"], row["side"]) == key]
    return [row["times_scratch"] for row in rows if row["times_scratch"] is not None]


def _checked(facts: Facts, batch: int) -> list[float]:
    return [row["times_sides"] for row in facts["checked_step"] if row["batch"] == batch]


def _full(facts: Facts, what: str) -> list[float]:
    run = facts["full_run"]
    return [] if run is None else [run["of_allowed"] if what == "of_allowed" else run["whole_seconds"][what]]


def _memory(facts: Facts) -> list[float]:
    run = facts["memory_run"]
    # If the run fits into the memory that the process had before, the first step needs 0 more, and there is no ratio.
    return [run["mebibytes"] / run["first_mebibytes"]] if run and run["first_mebibytes"] else []


def _startup(facts: Facts) -> list[float]:
    return [row["milliseconds"] / 1e3 for row in facts["startup"] if row["command"] == "crosscheck --help"]


def _step(side: str, words: str, batch: int, least: float, network: str = TUTORIAL) -> Target:
    """Return a target for the ratio of a side's training step to scratch's."""
    name = f"{words} step over scratch's, {network}, batch {batch}"
    return Target("steps", name, partial(_times, network=network, batch=batch, side=side), at_least=least)


TARGETS = [
    *(_step("torch", "PyTorch's", batch, least) for batch, least in ((1, 4), (8, 3), (32, 2), (128, 2), (512, 2))),
    *(_step("jax", "JAX's", batch, least) for batch, least in ((1, 1.3), (8, 1), (32, 1), (128, 1), (512, 1))),
    _step("article", "the article's", 1, 150),
    _step("torch", "PyTorch's", CNN_BATCH, 1, CNN),
    Target("full", "whole MNIST, 3 epochs at batch 1, plain", partial(_full, what="scratch"), "seconds", at_most=40),
    Target("full", "the same, every 100th step checked, over 1.5 times that and PyTorch's own", partial(_full, what="of_allowed"), at_most=1),
    Target("checked", "a checked step over its sides, batch 1", partial(_checked, batch=1), at_most=3),
    Target("checked", "a checked step over its sides, batch 32", partial(_checked, batch=32), at_most=1.5),
    Target("memory", "peak memory of a run over that of the data and one step", _memory, at_most=1.2),
    Target("startup", "crosscheck --help", _startup, "seconds", at_most=0.5),
]


def compared(facts: Facts) -> Iterator[Facts]:
    """Yield each target of the parts that were run, with its measured figure, or None if it was not measured."""
    for target in TARGETS:
        if target.part not in facts["parts"]:
            continue
        found = target.find(facts)
        worst = (min(found) if math.isfinite(target.at_least) else max(found)) if found else None
        reached = None if worst is None else target.at_least <= worst <= target.at_most
        yield {"part": target.part, "what": target.what, "unit": target.unit, "target": target.aim, "measured": worst, "reached": reached}
