"""Compare right implementations, different on purpose, in every way that differs, and count what the harness takes for wrong: false alarms.

The right implementations are those of tests/support/right_ways/. All work is planned as chunks of trials, each of which gives the same result
whenever and wherever it is run: in this process, or, where it is to see another BLAS, in one that was started with the environment for it.

How to call it by itself::

    python scripts/detection_alarms.py --quick                 every implementation at least once
    python scripts/detection_alarms.py --quantities 1000000    so many quantities
    python scripts/detection_alarms.py --only 'batch norm*'    some of the tasks

What the exit status says: 0 no false alarm, 1 some.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cattrs
import threadpoolctl
from study.detection.alarms_found import Chunk, Found, joined

if TYPE_CHECKING:
    from tests.support.right_ways.task import Compared, Task, Trial

ROOT = Path(__file__).resolve().parent.parent
PATHS = [str(ROOT / part) for part in ("", "scripts")]
"""Where a process finds the right implementations, and the tables that they are made of."""

DEFAULT = "default"
_ONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    **{kernel: {"OPENBLAS_CORETYPE": kernel, **_ONE} for kernel in ("Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX")},
    "2 threads": {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
}
"""Variables that a process is started with, so that its BLAS has other kernels or more threads."""

QUICK = 2.0
"""The most that a task of digit images may cost to be among the least work."""

ELSEWHERE = 1_000_000
"""Trials of each environment start at a multiple of this, so that each has numbers of its own."""

CHUNK = 1500
"""Quantities of a chunk, about."""

LONGEST = 60_000
"""How long a chunk takes at most, about, in multiples of what a quantity of most layers does."""


PLANNED = 1.05
"""Quantities that are planned for one that is to be compared: of some trials the results leave the range of numbers, and nothing is compared."""


MEASURED = 1 / 3
"""The share of what is compared whose tolerances come from measured rounding."""


def chunks(quantities: int, only: str = "") -> list[Chunk]:
    """Return the work in which at least so many quantities are compared, always the same.

    What takes longer is compared less often, so that no task takes most of the time. A third of it has references whose rounding is measured.

    Parameters
    ----------
    quantities : int
    only : str
        A pattern of the names of tasks; all of them if left empty.
    """
    chosen = [task for task in _tasks().values() if not only or fnmatchcase(task.name, only)]
    measured, known = ([task for task in chosen if task.measured is kind] for kind in (True, False))
    shares = [(measured, MEASURED), (known, 1 - MEASURED)] if measured and known else [(chosen, 1.0)]
    return [chunk for tasks, share in shares for chunk in _shared_out(tasks, share * quantities)]


def _shared_out(tasks: Sequence[Task], quantities: float) -> Iterator[Chunk]:
    """Yield the work on some tasks in which so many quantities are compared."""
    planned = [(task, environment, _ways(task, environment)) for task in tasks for environment in ENVIRONMENTS if _ways(task, environment)]
    total = sum(_weight(task, environment) for task, environment, _ in planned)
    for task, environment, ways in planned:
        each = len(ways) * task.quantities
        trials = math.ceil(PLANNED * quantities * _weight(task, environment) / total / each / len(_dtypes()))
        start, size = list(ENVIRONMENTS).index(environment) * ELSEWHERE, max(1, min(CHUNK // each, math.ceil(LONGEST / (each * task.cost))))
        parts = range(start, start + trials, size)
        yield from (Chunk(task.name, environment, dtype, first, min(first + size, start + trials)) for dtype in _dtypes() for first in parts)


def quick() -> list[Chunk]:
    """Return the least work in which every implementation is compared, what takes long in one precision alone, and two other environments seen.

    Digit images, which take longest, are shown to networks and to layers that take little time.
    """
    tasks = {name: task for name, task in _tasks().items() if task.cost <= QUICK or not task.images}
    chosen = [Chunk(name, DEFAULT, dtype, 0, 1) for name, task in tasks.items() for dtype in _dtypes()[-1 if task.cost > 1 else 0 :]]
    starts = {name: number * ELSEWHERE for number, name in enumerate(ENVIRONMENTS)}
    return chosen + [Chunk("conv2d", name, "float32", starts[name], starts[name] + 2) for name in ("Haswell", "2 threads")]


def run(chunk: Chunk) -> Found:
    """Carry out a chunk, in a process of its own where it needs another environment than this one."""
    return run_here(chunk) if chunk.environment == DEFAULT else _worker(chunk.environment).run(chunk)


def run_here(chunk: Chunk) -> Found:
    """Carry out a chunk in this process, whatever its environment."""
    task, found = _tasks()[chunk.task], Found(kernels=_kernels())
    for trial in trials_of(chunk):
        for way in _ways(task, chunk.environment):
            again = f"{chunk.task}, {way}, {chunk.environment}, {chunk.dtype}, {trial.inputs}, seed {trial.seed}"
            for judgement in task.judged(way, trial):
                found.add(judgement, f"{chunk.task}: {judgement.place.quantity}, {chunk.dtype}", f"{chunk.task}: {way}", again, task.measured)
    return found


def compared_in(chunk: Chunk) -> Iterator[Compared]:
    """Yield every quantity of the layers of a chunk, beside the reference's in the same precision and in float64; of a network or a step, none."""
    from tests.support.right_ways.task import LayerTask  # noqa: PLC0415 - as in _tasks

    task = _tasks()[chunk.task]
    if isinstance(task, LayerTask):
        for trial in trials_of(chunk):
            for way in _ways(task, chunk.environment):
                yield from task.compared(way, trial)


def trials_of(chunk: Chunk) -> Iterator[Trial]:
    """Yield the trials: every other one is on a family of inputs, and those between them on a scale."""
    from crosscheck.core.inputs import FAMILIES  # noqa: PLC0415
    from tests.support.right_ways.task import SCALES, Trial  # noqa: PLC0415 - as in _tasks

    for number in range(chunk.first, chunk.last):
        names = list(SCALES if number % 2 else FAMILIES)
        yield Trial(names[number // 2 % len(names)], chunk.dtype, number)


class Worker:
    """A process with an environment of its own, which gets chunks and returns what was found in them, a line each."""

    def __init__(self, environment: str) -> None:
        variables = {**os.environ, **ENVIRONMENTS[environment], "PYTHONPATH": os.pathsep.join(PATHS)}
        command = [sys.executable, "-W", "ignore", __file__, "--worker"]
        self._process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - itself

    def run(self, chunk: Chunk) -> Found:
        """Carry out a chunk.

        Raises
        ------
        RuntimeError
            If the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(chunk)) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{chunk}: the process of this environment ended with {self._process.wait()}")
        return cattrs.structure(json.loads(line), Found)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


@cache
def _worker(environment: str) -> Worker:
    return Worker(environment)


@contextmanager
def workers() -> Iterator[None]:
    """End the processes of other environments in the end."""
    try:
        yield
    finally:
        for environment in ENVIRONMENTS if _worker.cache_info().currsize else ():
            _worker(environment).close()
        _worker.cache_clear()


def _serve() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asdict(run_here(Chunk(**json.loads(line))))) + "\n")
        sys.stdout.flush()


@cache
def _tasks() -> Mapping[str, Task]:
    """Return the tasks by name; frameworks are imported only by who computes."""
    sys.path.extend(path for path in PATHS if path not in sys.path)
    import torch  # noqa: PLC0415

    from tests.support.right_ways.tasks import tasks  # noqa: PLC0415

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return tasks()


def _ways(task: Task, environment: str) -> Sequence[str]:
    """Return the implementations that compute something of their own in an environment."""
    return task.ways if environment == DEFAULT else task.sensitive


def _weight(task: Task, environment: str) -> float:
    """Return the share of a task in what is compared, so that the longer it takes, the less time it gets; half of it in other environments."""
    own = 1 / (task.cost * math.sqrt(task.cost))
    return own if environment == DEFAULT else 0.5 * own / (len(ENVIRONMENTS) - 1)


def _dtypes() -> Sequence[str]:
    from crosscheck.core.operation import DTYPES  # noqa: PLC0415

    return DTYPES


def _kernels() -> list[str]:
    found: list[dict[str, Any]] = threadpoolctl.threadpool_info()
    return sorted({f"{one['architecture']}, threads: {one['num_threads']}" for one in found if one.get("architecture")})


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantities", type=int, default=20_000, metavar="N", help="about how many to compare (%(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="tasks whose names match, such as 'conv2d*'")
    parser.add_argument("--quick", action="store_true", help="every implementation at least once")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        _serve()
        return 0
    with workers():
        found = joined(map(run, quick() if options.quick else chunks(options.quantities, options.only)))
    sys.stdout.write(_words(found))
    return 1 if found.alarms else 0


def _words(found: Found) -> str:
    lines = [
        f"{found.quantities:,} quantities compared, {found.measured:,} of them beside references whose rounding is measured, {found.elements:,} "
        f"numbers, of {len(found.ways):,} right implementations; "
        f"{found.undecided + found.skipped:,} not compared; {len(found.alarms):,} false alarms",
        *(f"false alarm: {alarm}" for alarm in found.alarms),
        *(f"not compared, {count:,}: {reason}" for reason, count in sorted(found.reasons.items(), key=lambda item: -item[1])),
        *(f"never nearer to its tolerance than {fraction:.2g} of it: {key}" for key, fraction in found.loose.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
