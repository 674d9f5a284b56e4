"""Dropout in a single pass over memory, split among threads."""

from __future__ import annotations

import numpy as np

import scratch.dropout as plain
from scratch.fast.masking import masked
from scratch.fast.memory import empty
from scratch.layer import Array


class Dropout(plain.Dropout):
    """The same as :class:`scratch.Dropout`, which describes parameters and the derivative."""

    def _drawn(self, shape: tuple[int, ...]) -> plain.Mask:
        return self.rng.random(out=empty(shape, np.dtype(np.float64))) >= self.p

    def _kept(self, x: Array, mask: plain.Mask) -> Array:
        return masked(x, mask, 1 - self.p)
