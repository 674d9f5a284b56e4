"""Numbers that a mask keeps, and zeros elsewhere: what activations, dropout and pooling do to gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scratch.layer import Array


def kept(x: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Return the numbers of ``x`` where a mask of its shape is true, and 0 elsewhere, whatever stands there.

    The bits of the numbers, read as integers, are multiplied by 1 or 0. To multiply the numbers themselves would turn an infinity that is not kept
    into NaN, and to choose between two numbers takes a branch, which the processor guesses wrong half of the time: many times slower.
    """
    bits: npt.NDArray[Any] = np.ascontiguousarray(x).view(f"i{x.dtype.itemsize}")
    return (bits * mask).view(x.dtype)
