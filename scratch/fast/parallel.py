"""The parts of a batch side by side, and matrix products that leave room for it: while NumPy computes in one thread, another one can.

A batch is divided in the same way whatever the machine, and what the parts give is put together in their order, so that results do not depend on how
many threads there are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, reduce
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import empty
from scratch.layer import Array

Part = TypeVar("Part")
Result = TypeVar("Result")

BLAS_ALONE = 2**19
"""From how many multiplications on OpenBLAS itself divides a matrix product; its threads and ours are in each other's way, and once it has woken them
they look for work for milliseconds."""

TILE = 2**18
"""How many multiplications a tile of a larger product takes at most: its factors then stay in the first and second cache."""
WIDE, TALL = 64, 4
"""Columns and rows that a tile has at least, and whole multiples of, where the product has them: they fill vector registers."""
PIECE = 2**18
"""How many elements of arrays are worked on at a time, where each is worked on alone: some tenths of a millisecond's work."""
WORTH_SHARING = 2**22
"""From how many multiplications on a product is shared out: some 80 microseconds, several times what it takes to hand work to a thread."""


@cache
def thread_count() -> int:
    """Return how many threads work at a time: one for each core that this process may use, or as many as ``OMP_NUM_THREADS`` says, as for BLAS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked))) if asked.isdigit() else cores


def in_parallel(work: Callable[[int, Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Do some work on each part and return what came of each, in the order of the parts.

    Parameters
    ----------
    work : callable
        Gets the number of a thread and a part. Within a thread one part is done after another: what belongs to a thread needs no lock.
    parts : sequence
    """
    if len(parts) == 1:
        return [work(0, parts[0])]
    count = min(thread_count(), len(parts))

    def drive(thread: int) -> list[Result]:
        return [work(thread, part) for part in parts[thread::count]]

    # In the caller's context, so that numpy.errstate holds there as well.
    others = [_threads().submit(copy_context().run, drive, thread) for thread in range(1, count)]
    driven = [drive(0), *(other.result() for other in others)]
    return [driven[number % count][number // count] for number in range(len(parts))]


def elementwise(work: Callable[..., object], *arrays: npt.NDArray[Any]) -> None:
    """Do to arrays of one shape what work does to each of their elements alone: to large ones piece by piece, side by side."""
    if all(array.flags.f_contiguous for array in arrays):
        arrays = tuple(array.T for array in arrays)
    if arrays[0].size <= PIECE or not all(array.flags.c_contiguous for array in arrays):
        work(*arrays)
        return
    rows = [array.reshape(-1) for array in arrays]
    in_parallel(lambda thread, own: work(*(row[own] for row in rows)), parts(rows[0].size, 1, PIECE))


def product(a: Array, b: Array) -> Array:
    """Return the matrix product of ``a`` and ``b``: a large one shared out, by the longer side of the output, or by the terms of long sums."""
    (rows, inner), columns = a.shape, b.shape[1]
    multiplications = rows * inner * columns
    if multiplications < BLAS_ALONE:
        whole: Array = a.dot(b)  # not @, which is five times as slow where there is a single row
        return whole
    if _long(inner, columns) and inner > max(rows, columns):
        # Copies: rows that lie a power of two apart in memory push each other out of the cache.
        shares = parts(inner, rows * columns, WORTH_SHARING)
        return reduce(np.add, in_parallel(lambda thread, own: multiplied(a[:, own].copy("K"), b[own].copy("K")), shares))
    output: Array = empty((rows, columns), a.dtype)
    if rows > columns:
        in_parallel(lambda thread, own: multiply(a[own], b, output[own]), parts(rows, inner * columns, WORTH_SHARING))
    else:
        in_parallel(lambda thread, own: multiply(a, b[:, own], output[:, own]), parts(columns, inner * rows, WORTH_SHARING))
    return output


def multiplied(a: Array, b: Array) -> Array:
    """Return what :func:`multiply` writes."""
    if a.shape[-2] * a.shape[-1] * b.shape[-1] < BLAS_ALONE:
        product: Array = np.matmul(a, b)
        return product
    output: Array = empty((*b.shape[:-2], a.shape[-2], b.shape[-1]), a.dtype)
    multiply(a, b, output)
    return output


def multiply(a: Array, b: Array, output: Array) -> None:
    """Write the matrix products of ``a`` and ``b``, or of stacks of them, to ``output``: large ones tile by tile, in one thread.

    A tile of the output is a product that BLAS leaves to one thread. It is no slower than the whole: what it takes of ``a`` and ``b`` stays in the
    cache. A long sum is that of its halves.
    """
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    if rows * inner * columns < BLAS_ALONE:
        np.matmul(a, b, out=output)
    elif _long(inner, columns):
        half = inner // 2
        multiply(a[..., :half], b[..., :half, :], output)
        output += multiplied(a[..., half:], b[..., half:, :])
    else:
        tallest = TILE // (inner * min(WIDE, columns))
        height = min(rows, tallest - tallest % TALL)
        max_error = TILE // (inner * height)
        for down, tall in _tiles(rows, height):
            for across, wide in _tiles(columns, min(columns, max_error - max_error % WIDE or columns)):
                left = a[..., down, :].reshape(*a.shape[:-2], -1, 1, tall, inner)
                right = b[..., across].reshape(*b.shape[:-1], -1, wide).swapaxes(-3, -2)[..., None, :, :, :]
                own = output[..., down, across]
                np.matmul(left, right, out=own.reshape(*own.shape[:-2], -1, tall, own.shape[-1] // wide, wide).swapaxes(-3, -2))


def _long(inner: int, columns: int) -> bool:
    """Return whether sums have so many terms that a tile would not be tall enough."""
    return inner * min(WIDE, columns) * TALL > TILE


def _tiles(count: int, size: int) -> list[tuple[slice, int]]:
    """Return what of a side is divided into whole tiles, and what is left, each with the size of its tiles."""
    whole = count - count % size
    return [(own, tile) for own, tile in ((slice(0, whole), size), (slice(whole, count), count - whole)) if own.start < own.stop]


def parts(batch: int, size: int, most: int) -> list[slice]:
    """Return a batch, whose images take ``size`` numbers each, in equal parts that take at most so many, unless a single image takes more.

    The number of parts is even, but for a single one, so that two threads have the same to do.
    """
    count = math.ceil(batch * size / most)
    own = max(1, math.ceil(batch / (count + count % 2) if count > 1 else batch))
    return [slice(start, min(start + own, batch)) for start in range(0, max(1, batch), own)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count() - 1, thread_name_prefix="scratch")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has none of its parent's threads
