"""The tasks of the study: each checks one edited layer, or one with a fault that no edit explains, and returns plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crosscheck.core.judge import Facts

if TYPE_CHECKING:
    from study.edits.drawing import Source

EDIT, NOISE = "edit", "noise"

ONE_NOISY, ALL_NOISY, ONE_ELEMENT, HALF, TWO_EDITS = "noise on one result", "noise on all results", "one wrong element", "half scaled", "two edits"
FAULTS = (ONE_NOISY, ALL_NOISY, ONE_ELEMENT, HALF, TWO_EDITS)
"""The faults that no single edit explains."""


@dataclass(frozen=True)
class Task:
    """A wrong layer to check.

    Parameters
    ----------
    group : {"edit", "noise"}
    name : str
        The row's number, its layer and what is wrong with it.
    layer : str
        The name in the table of layers.
    kind : str
        The kind of the edit, or the fault.
    seed : int
        The seed of the checks.
    limit : float
        Seconds that one check may take.
    source : str
        The edited source; empty for a fault.
    method, before, after : str
        Where the edit is, and the line before and after it; empty for a fault.
    number : int
        The row's number, which seeds a fault's random numbers.
    """

    group: str
    name: str
    layer: str
    kind: str
    seed: int
    limit: float
    number: int
    source: str = ""
    method: str = ""
    before: str = ""
    after: str = ""

    @property
    def key(self) -> str:
        """The name of the task's result."""
        return f"{self.group}:{self.name}"


def planned(sources: Sequence[Source], edits: int, noise: int, seed: int, limit: float) -> list[Task]:
    """Return all tasks: first the edits, then the faults that no edit explains."""
    from study.edits.drawing import draws  # noqa: PLC0415 - a process that only carries out tasks needs no plan

    tasks, by_layer = list[Task](), {source.layer: source for source in sources}
    for number, edit in enumerate(draws(sources, edits, seed)):
        source, place = by_layer[edit.layer], f"e{number:03}"
        before, after = source.lines(edit)
        name = f"{place}, {edit.name}"
        tasks.append(Task(EDIT, name, edit.layer, edit.kind, seed, limit, number, source.edited(edit), edit.method, before, after))
    rng = np.random.default_rng([seed, 1])
    for number in range(noise):
        layer, fault = sources[int(rng.integers(len(sources)))].layer, FAULTS[int(rng.integers(len(FAULTS)))]
        tasks.append(Task(NOISE, f"n{number:03}, {layer}, {fault}", layer, fault, seed, limit, number))
    return tasks


def run(task: Task) -> Facts:
    """Carry out a task and return its result."""
    from study.edits.work import edited, faulty  # noqa: PLC0415 - only processes that compute import frameworks

    return edited(task) if task.group == EDIT else faulty(task)
