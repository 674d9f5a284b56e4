"""Memory for large arrays, used again once nothing references them.

A large array that NumPy allocates is often made of pages that the system has to clear first, and that go back to it when the array is gone: a step
that needs as much memory as the one before would pay for it anew. A block is reused only when nothing references it.
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
"""From how many bytes on: smaller arrays get theirs from memory that the process has, and that is more likely to be in the cache."""
KEPT = 2**28
"""How many bytes are kept at most: 256 MiB, what a step of a network of convolutions takes."""

_COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether objects count their references; where they do not, memory is always fresh."""

Block = npt.NDArray[np.uint8]


class Blocks:
    """Blocks of memory, those that were handed out last at the end."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self.unlock()
        self._unused = sys.getrefcount(np.empty(0, np.uint8)) + 1  # the list references a block as well

    def unlock(self) -> None:
        """Take a new lock: in a forked process, the thread that may have held the old one is not there to give it back."""
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an array of this shape and dtype, with anything in it, as :func:`numpy.empty` does."""
        size = math.prod(shape) * dtype.itemsize
        if not (LARGE <= size <= KEPT and _COUNTED):
            return np.empty(shape, dtype)
        with self._lock:
            return np.ndarray(shape, dtype, self._block(size))

    def copied(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy, in C order, as :meth:`numpy.ndarray.copy` does."""
        if x.nbytes < LARGE:
            return x.copy()
        copy = self.empty(x.shape, x.dtype)
        copy[...] = x
        return copy

    def _block(self, size: int) -> Block:
        """Return a block that nothing references: an array that is made of one does, and so does every view of that array."""
        for place in reversed(range(len(self._blocks))):  # what was used last is still in the cache
            if self._blocks[place].nbytes == size and sys.getrefcount(self._blocks[place]) == self._unused:
                self._blocks.append(self._blocks.pop(place))
                return self._blocks[-1]
        self._blocks.append(np.empty(size, np.uint8))
        while sum(block.nbytes for block in self._blocks) > KEPT:
            self._blocks.pop(0)  # arrays that are made of it keep it
        return self._blocks[-1]


def clear(array: npt.NDArray[Any]) -> None:
    """Write zeros to an array in C order: as bytes, which the system writes faster than NumPy writes numbers."""
    array.view(np.uint8).fill(0)


_BLOCKS = Blocks()
empty, copied = _BLOCKS.empty, _BLOCKS.copied

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_BLOCKS.unlock)
