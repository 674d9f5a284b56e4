"""Run tasks in worker processes. If a task crashes its process, or takes too long, its result says so, and the other tasks are still carried out.

A process receives tasks over a pipe and sends back their results. It is started with the environment variables, and if wanted on the cores, that its
tasks need, because a BLAS decides how many threads to start when it is loaded.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar
from unittest import mock

from crosscheck.core.judge import Facts

T = TypeVar("T")

FAILED = "failed"
"""A task without a result has only this key, with the reason."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_LOOK = 0.2
"""Seconds between checks of the deadlines and of whether to stop."""

_CONTEXT = multiprocessing.get_context("spawn")  # a fork of a process whose framework runs threads may hang
_reporting: list[Callable[[str], None]] = []
"""In a worker process: functions that send words to the process that waits for the result."""


@dataclass(frozen=True)
class Setting:
    """The threads, cores and environment variables with which a process is started."""

    threads: int = 1  # how many threads a BLAS and OpenMP may start
    pinned: bool = False  # whether the process gets only that many cores, which works on Linux alone
    variables: Mapping[str, str] = field(default_factory=dict)  # other environment variables

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside this context, new processes start with this setting."""
        cores = available_cores() if self.pinned else []
        with mock.patch.dict(os.environ, {**dict.fromkeys(THREADS, str(self.threads)), **self.variables}):
            if cores:
                os.sched_setaffinity(0, cores[: self.threads])
            try:
                yield
            finally:
                if cores:
                    os.sched_setaffinity(0, cores)


def available_cores() -> list[int]:
    """Return the cores that this process may use; empty if the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def available() -> int:
    """Return how many cores this process may use."""
    return len(available_cores()) or os.cpu_count() or 1


def report(words: str) -> None:
    """Report what a task is doing, to the progress bar of the process that waits for it."""
    for send in _reporting:
        send(words)


class _Worker(Generic[T]):
    """A process and the task that it works on, which is None while it is idle."""

    def __init__(self, function: Callable[[T], Facts], setting: Setting) -> None:
        self.setting, self.deadline, self.task = setting, math.inf, None
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(function, theirs), daemon=True)
        with setting.entered():
            self._process.start()
        theirs.close()

    task: T | None

    def start(self, task: T, limit: float) -> None:
        """Begin a task."""
        self.task, self.deadline = task, time.monotonic() + limit
        with suppress(OSError):  # the process is dead, which ``answer`` will notice
            self.connection.send(task)

    def answer(self, reported: Callable[[str], None]) -> Facts | None:
        """Return the result that the process sent; None if it only reported what it is doing."""
        try:
            kind, what = self.connection.recv()
        except (EOFError, OSError):
            return {FAILED: "its process died"}
        if kind == "reported":
            reported(what)
            return None
        found: Facts = what
        return found

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def results(
    function: Callable[[T], Facts],
    tasks: Sequence[T],
    *,
    jobs: int = 1,
    limit: float = math.inf,
    setting: Callable[[T], Setting] = lambda task: Setting(),
    fresh: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    reported: Callable[[str], None] = lambda words: None,
) -> Iterator[tuple[T, Facts]]:
    """Yield each task with its result as it arrives.

    Parameters
    ----------
    function : callable
        Gets a task and returns plain data. The processes import it by its name.
    jobs : int
        Processes at a time.
    limit : float
        Seconds that a task may take.
    setting : callable
        Returns the setting that a task needs.
    fresh : bool
        Whether each task gets a new process.
    stopped : callable
        Whether to start no more tasks and to end those that run.
    reported : callable
        Called with what the tasks report while they run.
    """
    left, workers = list(reversed(tasks)), list[_Worker[T]]()

    def ended(worker: _Worker[T]) -> None:
        worker.end()
        workers.remove(worker)

    try:
        while (left or any(worker.task is not None for worker in workers)) and not stopped():
            while left and sum(worker.task is not None for worker in workers) < jobs:
                _worker_for(setting(left[-1]), workers, jobs, function).start(left.pop(), limit)
            running = [worker for worker in workers if worker.task is not None]
            ready = wait([worker.connection for worker in running], _LOOK)
            for worker in running:
                late = worker.connection not in ready and time.monotonic() > worker.deadline
                found = worker.answer(reported) if worker.connection in ready else {FAILED: f"did not end within {limit:g} s"} if late else None
                if found is None or worker.task is None:
                    continue
                task, worker.task = worker.task, None
                if late or fresh or found == {FAILED: "its process died"}:
                    ended(worker)
                yield task, found
    finally:
        for worker in list(workers):
            ended(worker)


def _worker_for(setting: Setting, workers: list[_Worker[T]], jobs: int, function: Callable[[T], Facts]) -> _Worker[T]:
    """Return an idle worker with this setting. If there is none, start one; if there are ``jobs`` workers already, it replaces an idle one."""
    idle = [worker for worker in workers if worker.task is None]
    if fitting := [worker for worker in idle if worker.setting == setting]:
        return fitting[0]
    if len(workers) == jobs:
        idle[0].end()
        workers.remove(idle[0])
    workers.append(_Worker(function, setting))
    return workers[-1]


def here(
    function: Callable[[T], Facts], tasks: Sequence[T], *, stopped: Callable[[], bool] = lambda: False, **ways: Any
) -> Iterator[tuple[T, Facts]]:
    """Carry out tasks in this process, one after the other, and yield each with its result."""
    for task in tasks:
        if stopped():
            return
        yield task, function(task)


def _serve(function: Callable[[T], Facts], connection: Connection) -> None:
    """Carry out tasks until the process is killed."""
    warnings.simplefilter("ignore")  # warnings would be written across the progress bar
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to every process; only the main process reacts
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _reporting.append(lambda words: connection.send(("reported", words)))
    while True:
        task = connection.recv()
        try:
            found = function(task)
        except Exception as error:  # noqa: BLE001 - an error of one task does not stop the others
            found = {FAILED: f"{type(error).__name__}: {error}"}
        connection.send(("found", found))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
