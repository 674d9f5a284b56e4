"""Memory for large arrays, which is reused once nothing references it.

The memory of a large NumPy array often comes from the operating system, which clears it first and takes it back when the array is deleted. Each
training step would pay for that again.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LARGE = 2**20
"""Arrays of fewer bytes are allocated by NumPy: their memory already belongs to the process and is more likely to be in the cache."""
KEPT = 2**28
"""The most bytes that are kept: 256 MiB, as much as a training step of a convolutional network needs."""

_COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether Python counts references reliably; if not, memory is never reused."""

Block = npt.NDArray[np.uint8]


class Blocks:
    """Blocks of memory; the last in the list is the one used last."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self.unlock()
        self._unused = sys.getrefcount(np.empty(0, np.uint8)) + 1  # the list references a block as well

    def unlock(self) -> None:
        """Make a new lock: in a forked process, the thread that may have held the old lock no longer exists to release it."""
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an uninitialised array of this shape and dtype, like :func:`numpy.empty`."""
        size = math.prod(shape) * dtype.itemsize
        if not (LARGE <= size <= KEPT and _COUNTED):
            return np.empty(shape, dtype)
        with self._lock:
            return np.ndarray(shape, dtype, self._block(size))

    def copied(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy, in C order, like :meth:`numpy.ndarray.copy`."""
        if x.nbytes < LARGE:
            return x.copy()
        copy = self.empty(x.shape, x.dtype)
        copy[...] = x
        return copy

    def _block(self, size: int) -> Block:
        """Return a block that nothing references; an array in a block, and each view of that array, references it."""
        for place in reversed(range(len(self._blocks))):  # the block used last is most likely still in the cache
            if self._blocks[place].nbytes == size and sys.getrefcount(self._blocks[place]) == self._unused:
                self._blocks.append(self._blocks.pop(place))
                return self._blocks[-1]
        self._blocks.append(np.empty(size, np.uint8))
        while sum(block.nbytes for block in self._blocks) > KEPT:
            self._blocks.pop(0)  # arrays in the block keep it alive
        return self._blocks[-1]


def clear(array: npt.NDArray[Any]) -> None:
    """Write zeros to an array in C order, as bytes, which is faster than writing numbers."""
    array.view(np.uint8).fill(0)


_BLOCKS = Blocks()
empty, copied = _BLOCKS.empty, _BLOCKS.copied

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_BLOCKS.unlock)
