"""Each part of the benchmark in a process of its own, which has so many cores and no more from before its first import.

How many threads a BLAS, OpenMP or XLA starts is decided when it is loaded, and each decides in its own way. So the process is given its cores by the
system (where it can: on Linux), and told the same in the usual environment variables.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from crosscheck.core.judge import Facts
from study.benchmark.rounds import Tell
from study.detection.workers import begin

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_LOOK = 0.2
"""Seconds between two looks at whether somebody has asked to stop."""


@dataclass(frozen=True)
class Task:
    """One part of the benchmark.

    Attributes
    ----------
    part : str
        What it is called.
    function : str
        ``module.name`` of what measures it: gets the settings, the threads and somebody to tell; returns plain data.
    threads : int
    settings : dict
        Plain data.
    """

    part: str
    function: str
    threads: int
    settings: dict[str, Any]


def carried_out(task: Task, tell: Tell) -> Facts:
    """Carry out a task in this process."""
    module, _, name = task.function.rpartition(".")
    found: Facts = getattr(importlib.import_module(module), name)(**task.settings, threads=task.threads, tell=tell)
    return found


def results(tasks: Sequence[Task], tell: Tell, stopped: Callable[[], bool]) -> Iterator[tuple[Task, Facts]]:
    """Yield each task with what it found, or with the reason for which it found nothing under ``"failed"``; end early when asked to stop."""
    context = multiprocessing.get_context("spawn")
    for task in tasks:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(task, sender), daemon=True)
        with cores(task.threads):
            process.start()
        sender.close()
        try:
            found = _followed(receiver, tell, stopped)
        finally:
            process.kill()
            process.join()
            receiver.close()
        if found is None:
            return
        yield task, found


def _followed(receiver: Connection, tell: Tell, stopped: Callable[[], bool]) -> Facts | None:
    """Return what a process sends in the end, None where somebody asked to stop before."""
    while not stopped():
        if not receiver.poll(_LOOK):
            continue
        try:
            kind, what = receiver.recv()
        except EOFError:
            return {"failed": "its process died"}
        if kind == "found":
            found: Facts = what
            return found
        tell(what)
    return None


def _work(task: Task, sender: Connection) -> None:
    begin()
    try:
        found = carried_out(task, lambda words: sender.send(("tells", words)))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with one part, the others are measured
        found = {"failed": f"{type(error).__name__}: {error}"}
    sender.send(("found", found))


@contextmanager
def cores(threads: int) -> Iterator[None]:
    """While this is entered, processes that are started have so many cores."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    if affinity:
        os.sched_setaffinity(0, sorted(affinity)[:threads])
    try:
        yield
    finally:
        if affinity:
            os.sched_setaffinity(0, affinity)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def available() -> int:
    """Return how many cores there are for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
