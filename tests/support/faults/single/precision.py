"""Single precision, and the lower ones that are used in its place."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array

LARGEST_HALF = 65504


def single(x: Array) -> bool:
    return bool(x.dtype == np.float32)


def half(x: Array) -> Array:
    """Return numbers of single precision after they were stored in half precision, 11 bits, cut off at its largest."""
    return np.clip(x, -LARGEST_HALF, LARGEST_HALF).astype(np.float16).astype(np.float32)


def brain(x: Array) -> Array:
    """Return numbers of single precision with the 8 bits of bfloat16, cut off."""
    return _cut(x, 16)


def tensor_float(x: Array) -> Array:
    """Return numbers of single precision with the 11 bits of TF32, cut off."""
    return _cut(x, 13)


def _cut(x: Array, bits: int) -> Array:
    return (np.ascontiguousarray(x).view(np.uint32) >> bits << bits).view(np.float32)
