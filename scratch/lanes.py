"""The parts of a batch side by side, and matrix products that leave room for it: while NumPy computes in one thread, another one can.

A batch is divided in the same way whatever the machine, and what the parts give is put together in their order, so that results do not depend on how
many threads there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TypeVar

import numpy as np

from scratch.layer import Array

Part = TypeVar("Part")
Result = TypeVar("Result")

BLAS_ALONE = 2**18
"""Up to how many multiplications a matrix product is left to one thread by OpenBLAS. Larger ones it divides itself; two who divide are in each
other's way, and threads that BLAS has woken up go on looking for work for milliseconds."""

WORTH_WAKING = 2**24
"""From how many multiplications on BLAS is left to wake its threads up: some tenths of a millisecond."""


@cache
def lanes() -> int:
    """Return how many threads work at a time: one for each core that this process may use, or as many as ``OMP_NUM_THREADS`` says, as for BLAS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked))) if asked.isdigit() else cores


def side_by_side(work: Callable[[int, Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Do some work on each part and return what came of each, in the order of the parts.

    Parameters
    ----------
    work : callable
        Gets the number of a lane and a part. Within a lane one part is done after another: what belongs to a lane needs no lock.
    parts : sequence
    """
    if len(parts) == 1:
        return [work(0, parts[0])]
    count = min(lanes(), len(parts))

    def drive(lane: int) -> list[Result]:
        return [work(lane, part) for part in parts[lane::count]]

    # In the caller's context, so that numpy.errstate holds there as well.
    others = [_threads().submit(copy_context().run, drive, lane) for lane in range(1, count)]
    driven = [drive(0), *(other.result() for other in others)]
    return [driven[number % count][number // count] for number in range(len(parts))]


def product(a: Array, b: Array) -> Array:
    """Return the matrix product of ``a`` and ``b``; one of middling size in pieces, along the longer side, that BLAS leaves to one thread."""
    (rows, inner), columns = a.shape, b.shape[1]
    multiplications = rows * inner * columns
    if multiplications <= BLAS_ALONE or multiplications > WORTH_WAKING:
        whole: Array = a.dot(b)  # not @, which is five times as slow where there is a single row
        return whole
    output = np.empty((rows, columns), a.dtype)
    step = max(1, BLAS_ALONE * max(rows, columns) // multiplications)
    for start in range(0, max(rows, columns), step):
        own = slice(start, start + step)
        if rows > columns:
            np.matmul(a[own], b, out=output[own])
        else:
            np.matmul(a, b[:, own], out=output[:, own])
    return output


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(lanes() - 1, thread_name_prefix="scratch")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has none of its parent's threads
