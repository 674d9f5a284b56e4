"""Work on the parts of a batch in several threads, and matrix products that use one thread each. NumPy releases Python's lock while it computes.

A batch is divided in the same way on every machine, and the results of its parts are combined in their order, so that results do not depend on the
number of threads.
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
"""OpenBLAS uses its own threads for a matrix product of this many multiplications. They would compete with ours, and stay busy for milliseconds
waiting for more work."""

TILE = 2**18
"""The most multiplications in a tile of a larger product: its factors then stay in the first and second cache."""
WIDE, TALL = 64, 4
"""The columns and rows of a tile are multiples of these where the product is large enough, so that they fill vector registers."""
PIECE = 2**18
"""The number of elements per piece of elementwise work, which takes some tenths of a millisecond."""
WORTH_SHARING = 2**22
"""The number of multiplications per thread of a product: about 80 microseconds, several times what it takes to start work in a thread."""


@cache
def thread_count() -> int:
    """Return the number of threads: one for each core that this process may use, or fewer if ``OMP_NUM_THREADS`` says so, as for BLAS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked))) if asked.isdigit() else cores


def in_parallel(work: Callable[[int, Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Return the results of ``work`` for all parts, in their order.

    ``work`` gets the number of a thread and a part. A thread does one part after another, so data of its own needs no lock.
    """
    if len(parts) == 1:
        return [work(0, parts[0])]
    count = min(thread_count(), len(parts))

    def drive(thread: int) -> list[Result]:
        return [work(thread, part) for part in parts[thread::count]]

    # In the caller's context, so that its numpy.errstate applies.
    others = [_threads().submit(copy_context().run, drive, thread) for thread in range(1, count)]
    driven = [drive(0), *(other.result() for other in others)]
    return [driven[number % count][number // count] for number in range(len(parts))]


def elementwise(work: Callable[..., object], *arrays: npt.NDArray[Any]) -> None:
    """Call ``work``, an elementwise operation, on arrays of one shape: on large arrays piece by piece, in several threads."""
    if all(array.flags.f_contiguous for array in arrays):
        arrays = tuple(array.T for array in arrays)
    if arrays[0].size <= PIECE or not all(array.flags.c_contiguous for array in arrays):
        work(*arrays)
        return
    rows = [array.reshape(-1) for array in arrays]
    in_parallel(lambda thread, own: work(*(row[own] for row in rows)), parts(rows[0].size, 1, PIECE))


def product(a: Array, b: Array) -> Array:
    """Return the matrix product of ``a`` and ``b``; a large product is split among threads, along the longest of its three axes."""
    (rows, inner), columns = a.shape, b.shape[1]
    multiplications = rows * inner * columns
    if multiplications < BLAS_ALONE:
        whole: Array = a.dot(b)  # not @, which is five times as slow for a single row
        return whole
    if _long(inner, columns) and inner > max(rows, columns):
        # Copies, because rows whose distance in memory is a power of two evict each other from the cache.
        shares = parts(inner, rows * columns, WORTH_SHARING)
        return reduce(np.add, in_parallel(lambda thread, own: multiplied(a[:, own].copy("K"), b[own].copy("K")), shares))
    output: Array = empty((rows, columns), a.dtype)
    if rows > columns:
        in_parallel(lambda thread, own: multiply(a[own], b, output[own]), parts(rows, inner * columns, WORTH_SHARING))
    else:
        in_parallel(lambda thread, own: multiply(a, b[:, own], output[:, own]), parts(columns, inner * rows, WORTH_SHARING))
    return output


def multiplied(a: Array, b: Array) -> Array:
    """Return the matrix products that :func:`multiply` writes."""
    if a.shape[-2] * a.shape[-1] * b.shape[-1] < BLAS_ALONE:
        product: Array = np.matmul(a, b)
        return product
    output: Array = empty((*b.shape[:-2], a.shape[-2], b.shape[-1]), a.dtype)
    multiply(a, b, output)
    return output


def multiply(a: Array, b: Array, output: Array) -> None:
    """Write the matrix products of ``a`` and ``b``, or of stacks of them, to ``output``: large products tile by tile, in one thread.

    BLAS computes a tile in one thread. This is no slower than the whole product, because the parts of ``a`` and ``b`` for a tile stay in the cache. A
    long sum is split into halves.
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
    """Return whether sums have so many terms that a tile would have fewer than ``TALL`` rows."""
    return inner * min(WIDE, columns) * TALL > TILE


def _tiles(count: int, size: int) -> list[tuple[slice, int]]:
    """Return the part of a side that is divided into tiles of this size, and the rest as one tile, each with its tile size."""
    whole = count - count % size
    return [(own, tile) for own, tile in ((slice(0, whole), size), (slice(whole, count), count - whole)) if own.start < own.stop]


def parts(batch: int, size: int, most: int) -> list[slice]:
    """Divide a batch into equal parts of at most ``most`` numbers, or of one image; an image has ``size`` numbers.

    The number of parts is 1 or even, so that two threads have the same amount of work.
    """
    count = math.ceil(batch * size / most)
    own = max(1, math.ceil(batch / (count + count % 2) if count > 1 else batch))
    return [slice(start, min(start + own, batch)) for start in range(0, max(1, batch), own)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count() - 1, thread_name_prefix="scratch")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process does not have its parent's threads
