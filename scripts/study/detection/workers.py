"""Tasks in processes of their own: one that crashes its process, or does not end, has that for its result, and the others go on.

Each worker is a pool of one process, so that it is known whose process died. It computes with one thread: the arrays are far too small for more.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from crosscheck.core.judge import Facts
from study.detection.results import FAILED

T = TypeVar("T")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK = 0.5
"""Seconds between two looks at whether anybody has run out of time or asked to stop."""


def begin() -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that waits for the others; end when that one has.

    Warnings would be written across the progress.
    """
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


class _Worker(Generic[T]):
    """One process, replaced when it dies.

    Parameters
    ----------
    function : callable
        What it does with a task.
    """

    def __init__(self, function: Callable[[T], Facts]) -> None:
        # A new process: a copy of one in which a framework runs its threads may stand still.
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin)
        self._function, self._pid = function, self.pool.submit(os.getpid)

    def start(self, task: T) -> Future[Facts]:
        """Begin a task."""
        return self.pool.submit(self._function, task)

    def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(BrokenProcessPool, ProcessLookupError):
            os.kill(self._pid.result(), signal.SIGKILL)
        self.pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Running(Generic[T]):
    worker: _Worker[T]
    task: T
    deadline: float


def results(
    function: Callable[[T], Facts], tasks: Sequence[T], jobs: int, limit: float, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[T, Facts]]:
    """Yield each task with its result as it comes.

    Parameters
    ----------
    function : callable
        Gets a task and returns plain data; it is imported in the processes by its name.
    tasks : sequence
    jobs : int
        Processes at a time.
    limit : float
        Seconds that a task may take.
    stopped : callable
        Whether to begin nothing more and give up what is running.
    """
    left, running = list(reversed(tasks)), dict[Future[Facts], _Running[T]]()
    with _one_thread():
        workers = [_Worker(function) for _ in range(min(jobs, len(tasks)))]
        idle = list(workers)
        try:
            while (left or running) and not stopped():
                while left and idle:
                    worker, task = idle.pop(), left.pop()
                    running[worker.start(task)] = _Running(worker, task, time.monotonic() + limit)
                done, _ = wait(running, _LOOK, FIRST_COMPLETED)
                late = {future for future, one in running.items() if future not in done and time.monotonic() > one.deadline}
                for future in done | late:
                    one = running.pop(future)
                    reason = f"did not end within {limit:g} s" if future in late else _reason(future)
                    if future in late or isinstance(future.exception(), BrokenProcessPool):
                        one.worker.end()
                        workers.remove(one.worker)
                        workers.append(worker := _Worker(function))
                        idle.append(worker)
                    else:
                        idle.append(one.worker)
                    yield one.task, {FAILED: reason} if reason else future.result()
        finally:
            for worker in workers:
                worker.end()


def _reason(future: Future[Facts]) -> str:
    """Return why a task has no result; empty where it has one."""
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return "its process died"
    return f"{type(error).__name__}: {error}" if error else ""


@contextmanager
def _one_thread() -> Iterator[None]:
    """While this is entered, new processes compute with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
