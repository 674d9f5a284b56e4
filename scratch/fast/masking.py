"""Numbers that a mask keeps, and zeros elsewhere: what activations, dropout and pooling do to gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import empty
from scratch.fast.parallel import elementwise
from scratch.layer import Array


def masked(x: Array, mask: npt.NDArray[np.bool_], divisor: float = 1.0) -> Array:
    """Return the numbers of ``x``, divided, where a mask of its shape is true, and 0 elsewhere, whatever stands there.

    The bits of the numbers, read as integers, are multiplied by 1 or 0. To multiply the numbers themselves would turn an infinity that is not kept
    into NaN, and to choose between two numbers takes a branch, which the processor guesses wrong half of the time: many times slower.
    """
    bits, result = f"i{x.dtype.itemsize}", empty(x.shape, x.dtype)

    def keep(x: Array, mask: npt.NDArray[np.bool_], result: Array) -> None:
        if divisor != 1:
            x = np.divide(x, divisor, out=result)
        np.multiply(x.view(bits), mask, out=result.view(bits))

    elementwise(keep, np.asarray(x, order="C"), mask, result)
    return result
