"""Compare right implementations that differ on purpose: anything that crosscheck calls wrong in them is a false alarm.

The right implementations are in tests/support/right_ways/. The work is planned as chunks of trials. A chunk runs in a process with the environment
variables that it needs, which may select another BLAS kernel, and always gives the same result.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

import cattrs
import threadpoolctl

from crosscheck.core.judge import Facts
from crosscheck.run.cli import UsageError
from study.detection.alarms_found import Chunk, Found, joined
from study.workers import FAILED, Setting

if TYPE_CHECKING:
    from tests.support.right_ways.task import Compared, Task, Trial

DEFAULT = "default"
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    **{kernel: {"OPENBLAS_CORETYPE": kernel} for kernel in ("Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX")},
    "2 threads": {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
}
"""For each environment, the variables that a process is started with, so that its BLAS uses other kernels or more threads."""

QUICK = 2.0
"""A quick run leaves out tasks on digit images that cost more than this."""

ELSEWHERE = 1_000_000
"""The numbers of an environment's trials start at its own multiple of this, so that no two environments get the same inputs."""

CHUNK = 1500
"""About how many quantities a chunk compares."""

LONGEST = 60_000
"""About the longest time that a chunk takes; the unit is the time to compare one quantity of a typical layer."""

PLANNED = 1.05
"""Plan this many times the quantities that are wanted: in some trials the results overflow, and nothing is compared."""

MEASURED = 1 / 3
"""The share of quantities that get tolerances from measured rounding."""


def chunks(quantities: int, only: str = "") -> list[Chunk]:
    """Return the chunks that compare at least ``quantities`` quantities, sorted by environment; the same arguments give the same chunks.

    Slow tasks are compared less often, so that none of them takes most of the time. In a third of the chunks the reference's rounding is measured.
    ``only`` is a pattern for the names of tasks; all tasks if empty.
    """
    chosen = [task for task in _tasks().values() if not only or fnmatchcase(task.name, only)]
    measured, known = ([task for task in chosen if task.measured is kind] for kind in (True, False))
    shares = [(measured, MEASURED), (known, 1 - MEASURED)] if measured and known else [(chosen, 1.0)]
    planned = [chunk for tasks, share in shares for chunk in _shared_out(tasks, share * quantities)]
    return sorted(planned, key=lambda chunk: list(ENVIRONMENTS).index(chunk.environment))


def _shared_out(tasks: Sequence[Task], quantities: float) -> Iterator[Chunk]:
    """Yield chunks of the tasks that together compare at least ``quantities`` quantities."""
    planned = [(task, environment, _ways(task, environment)) for task in tasks for environment in ENVIRONMENTS if _ways(task, environment)]
    total = sum(_weight(task, environment) for task, environment, _ in planned)
    for task, environment, ways in planned:
        each = len(ways) * task.quantities
        trials = math.ceil(PLANNED * quantities * _weight(task, environment) / total / each / len(_dtypes()))
        start, size = list(ENVIRONMENTS).index(environment) * ELSEWHERE, max(1, min(CHUNK // each, math.ceil(LONGEST / (each * task.cost))))
        parts = range(start, start + trials, size)
        yield from (Chunk(task.name, environment, dtype, first, min(first + size, start + trials)) for dtype in _dtypes() for first in parts)


def quick() -> list[Chunk]:
    """Return a few chunks that compare every implementation; slow ones get one precision, and only conv2d gets two other environments.

    Digit images take longest: only networks and fast layers get them.
    """
    tasks = {name: task for name, task in _tasks().items() if task.cost <= QUICK or not task.images}
    chosen = [Chunk(name, DEFAULT, dtype, 0, 1) for name, task in tasks.items() for dtype in _dtypes()[-1 if task.cost > 1 else 0 :]]
    starts = {name: number * ELSEWHERE for number, name in enumerate(ENVIRONMENTS)}
    return chosen + [Chunk("conv2d", name, "float32", starts[name], starts[name] + 2) for name in ("Haswell", "2 threads")]


def setting(chunk: Chunk) -> Setting:
    """Return the setting with which a chunk's process is started."""
    return Setting(variables=ENVIRONMENTS[chunk.environment])


def work_on(chunk: Chunk) -> Facts:
    """Carry out a chunk and return its findings as plain data."""
    return asdict(run_here(chunk))


def all_found(results: Iterable[Facts]) -> Found:
    """Return the findings of several chunks, added up; raise UsageError if one of them has no result."""
    results = list(results)
    for result in results:
        if FAILED in result:
            raise UsageError(f"right implementations could not be compared: {result[FAILED]}")
    return joined(cattrs.structure(result, Found) for result in results)


def run_here(chunk: Chunk) -> Found:
    """Carry out a chunk in this process, whatever its environment is."""
    task, found = _tasks()[chunk.task], Found(kernels=_kernels())
    for trial in trials_of(chunk):
        for way in _ways(task, chunk.environment):
            again = f"{chunk.task}, {way}, {chunk.environment}, {chunk.dtype}, {trial.inputs}, seed {trial.seed}"
            for judgement in task.judged(way, trial):
                found.add(judgement, f"{chunk.task}: {judgement.place.quantity}, {chunk.dtype}", f"{chunk.task}: {way}", again, task.measured)
    return found


def compared_in(chunk: Chunk) -> Iterator[Compared]:
    """Yield every quantity of a chunk's layer, with the reference's result in the same precision and in float64; nothing for networks and steps."""
    from tests.support.right_ways.task import LayerTask  # noqa: PLC0415 - as in _tasks

    task = _tasks()[chunk.task]
    if isinstance(task, LayerTask):
        for trial in trials_of(chunk):
            for way in _ways(task, chunk.environment):
                yield from task.compared(way, trial)


def trials_of(chunk: Chunk) -> Iterator[Trial]:
    """Yield the trials of a chunk, alternately on a family of inputs and on inputs of one scale."""
    from crosscheck.core.inputs import FAMILIES  # noqa: PLC0415
    from tests.support.right_ways.task import SCALES, Trial  # noqa: PLC0415 - as in _tasks

    for number in range(chunk.first, chunk.last):
        names = list(SCALES if number % 2 else FAMILIES)
        yield Trial(names[number // 2 % len(names)], chunk.dtype, number)


@cache
def _tasks() -> Mapping[str, Task]:
    """Return the tasks by name; this imports PyTorch."""
    import torch  # noqa: PLC0415

    from tests.support.right_ways.tasks import tasks  # noqa: PLC0415

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return tasks()


def _ways(task: Task, environment: str) -> Sequence[str]:
    """Return the implementations whose results may depend on the environment; for the default environment, all implementations."""
    return task.ways if environment == DEFAULT else task.sensitive


def _weight(task: Task, environment: str) -> float:
    """Return a task's share of the quantities, smaller for slow tasks. The other environments together get half the share of the default one."""
    own = 1 / (task.cost * math.sqrt(task.cost))
    return own if environment == DEFAULT else 0.5 * own / (len(ENVIRONMENTS) - 1)


def _dtypes() -> Sequence[str]:
    from crosscheck.core.operation import DTYPES  # noqa: PLC0415

    return DTYPES


def _kernels() -> list[str]:
    found: list[dict[str, Any]] = threadpoolctl.threadpool_info()
    return sorted({f"{one['architecture']}, threads: {one['num_threads']}" for one in found if one.get("architecture")})
