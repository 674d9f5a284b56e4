"""The functions that carry out the tasks. Importing this module imports PyTorch."""

from __future__ import annotations

import linecache
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from crosscheck.checks import Settings
from crosscheck.checks.values import value_name
from crosscheck.core.judge import Facts
from crosscheck.run.check import check_pair
from study.edits.drawing import Edit, Source, source_of, two
from study.edits.faults import LEAST, Corrupt, Fault, Sizes, corrupted
from study.edits.outcome import CRASHED, SEEN, Outcome, outcome_of
from study.edits.tasks import ALL_NOISY, TWO_EDITS, Task
from tests.support.edited import LAYERS, Row

torch.set_num_threads(1)  # the arrays of a check are far too small for more

FIRST = value_name("float64", "normal")
"""The check on whose calls the sizes of results are noted."""
TRIES = 100
"""How many pairs of edits are drawn until both are seen in the same quantity."""


def class_of(source: str, name: str) -> type:
    """Return the class that a source defines. The source can be read like that of a file, for the lines in reports."""
    file = f"<edited {name}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    space: dict[str, Any] = {"__name__": "edited"}
    exec(compile(source, file, "exec"), space)  # noqa: S102 - the source is that of a layer of this repository with one edit
    layer = space[name]
    assert isinstance(layer, type)
    return layer


def edited(task: Task) -> Facts:
    """Check an edited layer."""
    return asdict(_checked(LAYERS[task.layer], task.source, task))


def _checked(row: Row, source: str, task: Task, search: bool = True) -> Outcome:
    return outcome_of(lambda: row.pair(class_of(source, row.layer.__name__)), task.seed, task.limit, search)


def faulty(task: Task) -> Facts:
    """Check a layer with a fault that no single edit explains. The facts say what the fault is."""
    row = LAYERS[task.layer]
    if task.kind == TWO_EDITS:
        return _two_edits(row, task)
    sizes = Sizes({})
    check_pair(_corrupted(row, sizes), Settings(seed=task.seed, shrink=False), only=lambda name: name == FIRST)
    rng = np.random.default_rng([task.seed, 2, task.number])
    names = [name for name, size in sizes.found.items() if size >= LEAST]
    if not names:
        return asdict(Outcome(CRASHED, words="no result has enough elements"))
    result = names[int(rng.integers(len(names)))]
    fault = Fault(task.kind, result, (task.seed, 3, task.number))
    where = "all results" if task.kind == ALL_NOISY else result
    return asdict(outcome_of(lambda: _corrupted(row, fault), task.seed, task.limit)) | {"fault": f"{task.kind}: {where}"}


def _corrupted(row: Row, corrupt: Corrupt) -> Any:
    return row.pair(corrupted(row.layer, list(row.params), corrupt))


def _two_edits(row: Row, task: Task) -> Facts:
    """Check a layer with two edits. Each alone shows in the same quantity as both together, and none hides the other."""
    source, rng = source_of(task.layer, row.layer), np.random.default_rng([task.seed, 2, task.number])
    for _ in range(TRIES):
        edits = two(source, rng)
        if _both_show(row, source, task, *edits):
            found = _checked(row, source.edited(*edits), task)
            words = " AND ".join("{} -> {}".format(*source.lines(edit)) for edit in edits)
            return asdict(found) | {"fault": words}
    return asdict(Outcome(CRASHED, words=f"no two edits in {TRIES} show in the same quantity"))


def _both_show(row: Row, source: Source, task: Task, first: Edit, second: Edit) -> bool:
    """Return whether two edits, each alone and both together, are seen in the same quantity by the same check, with three different results."""
    places, worst = set[tuple[str, str]](), set[str]()
    for edits in ((first,), (second,), (first, second)):
        found = _checked(row, source.edited(*edits), task, search=False)
        if found.outcome != SEEN or not found.quantity:
            return False
        places.add((found.check, found.quantity))
        worst.add(found.worst)
    return len(places) == 1 and len(worst) == 3
