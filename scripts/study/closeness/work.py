"""Carry out one comparison for many seeds: how often each rule rejects what is right, and how often it sees a planted fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch

import crosscheck
from crosscheck.core.judge import Facts
from crosscheck.core.precision import Array
from crosscheck.run.cli import UsageError
from study import workers
from study.closeness.comparisons import COMPARISONS, Comparison
from study.detection.rivals import CLOSENESS_RULES, Compared

OWN = "crosscheck.assert_close"
SIZES = (1e-3, 1e-4)
"""By how much of itself a fault changes a number."""
WHOLE, ONE = "all", "one"
"""How far a fault reaches: over all elements of a result, or one of them."""
CHUNK = 25
"""The most seeds of a task; faults are planted for the first one of each task."""


@dataclass(frozen=True)
class Task:
    """A comparison and some of its seeds."""

    name: str
    start: int
    stop: int

    @property
    def key(self) -> str:
        """The name of the result."""
        return f"{self.name}, seeds {self.start} to {self.stop - 1}"


def planned(pattern: str, seeds: int) -> list[Task]:
    """Return the tasks for the comparisons that a pattern names; raise UsageError if there is none.

    All comparisons get their first seeds first, so that a run with more seeds can continue from the state of one with fewer.
    """
    names = [name for name in COMPARISONS if fnmatchcase(name, pattern)]
    if not names:
        raise UsageError(f"--only {pattern}: no comparison has such a name; there are {', '.join(COMPARISONS)}")
    return [Task(name, start, min(start + CHUNK, seeds)) for start in range(0, seeds, CHUNK) for name in names]


def accepts(found: Array, comparison: Comparison, inputs: Sequence[Any]) -> bool:
    """Return whether crosscheck takes a result for right."""
    try:
        crosscheck.assert_close(found, comparison.reference, *inputs, framework="torch")
    except AssertionError:
        return False
    return True


def answers(found: Array, comparison: Comparison, inputs: Sequence[Any], reference: Array) -> Mapping[str, bool]:
    """Return which rules take a result for right; ``reference`` is PyTorch's in float32, which the other tools compare with."""
    compared = Compared("output", found, reference, reference)
    return {OWN: accepts(found, comparison, inputs)} | {name: rule.takes_for_right(compared) for name, rule in CLOSENESS_RULES.items()}


def faulty(right: Array, size: float, extent: str, seed: int) -> Array:
    """Return a result with a fault: all of it, or one element that the seed chooses, is multiplied by 1 + size, in float64 before it is rounded."""
    factor = np.ones(right.shape)
    where: Any = ... if extent == WHOLE else np.unravel_index(np.random.default_rng([seed, 1]).integers(right.size), right.shape)
    factor[where] += size
    return np.asarray(right * factor, right.dtype)


def kind(size: float, extent: str) -> str:
    """Return the name of a kind of faults: ``all x 1.001``."""
    return f"{extent} x {1 + size:g}"


def extents(right: Array) -> list[str]:
    """Return how far a fault may reach: of a single number there is only the whole."""
    return [WHOLE, ONE] if right.size > 1 else [WHOLE]


def compared(task: Task) -> Facts:
    """Return, for each rule, how many right results it rejected, and how many faults it saw; or why that could not be found out."""
    try:
        return _compared(task)
    except Exception as error:  # noqa: BLE001 - the other comparisons are still made
        return {workers.FAILED: f"{type(error).__name__}: {error}"}


def _compared(task: Task) -> Facts:
    torch.set_num_threads(1)  # the arrays are too small for more
    comparison, rules = COMPARISONS[task.name], (OWN, *CLOSENESS_RULES)
    rejected = dict.fromkeys(rules, 0)
    faults: dict[str, dict[str, Any]] = {}
    for seed in range(task.start, task.stop):
        workers.report(f"{task.name}, seed {seed}")
        inputs = comparison.inputs(seed)
        reference = comparison.reference(*map(torch.from_numpy, inputs)).numpy()
        right = np.asarray(comparison.actual(*inputs))
        for rule, right_for_it in answers(right, comparison, inputs, reference).items():
            rejected[rule] += not right_for_it
        for size in SIZES if seed == task.start else ():
            for extent in extents(right):
                counts = faults.setdefault(kind(size, extent), {"planted": 0, "seen": dict.fromkeys(rules, 0)})
                counts["planted"] += 1
                for rule, right_for_it in answers(faulty(right, size, extent, seed), comparison, inputs, reference).items():
                    counts["seen"][rule] += not right_for_it
    return {"seeds": task.stop - task.start, "rejected": rejected, "faults": faults}


def summed(tasks: Sequence[Task], results: Sequence[Facts]) -> dict[str, Facts]:
    """Return the results by comparison, the counts of all its seeds added up; or why one could not be made."""
    found: dict[str, Facts] = {}
    for task, one in zip(tasks, results, strict=True):
        before = found.get(task.name)
        if before is None:
            found[task.name] = one if workers.FAILED in one else {"way": COMPARISONS[task.name].way, **one}
        elif workers.FAILED not in before:
            found[task.name] = one if workers.FAILED in one else _added(before, one)
    return found


def _added(one: Any, other: Any) -> Any:
    """Return nested counts added up; words stay as they are."""
    if isinstance(one, dict):
        return {name: _added(value, other[name]) if name in other else value for name, value in one.items()}
    return one if isinstance(one, str) else one + other
