"""Numbers where a mask is true, and zeros elsewhere, as activations, dropout and pooling need for gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.fast.memory import empty
from scratch.fast.parallel import elementwise
from scratch.layer import Array


def masked(x: Array, mask: npt.NDArray[np.bool_], divisor: float = 1.0) -> Array:
    """Return ``x / divisor`` where the mask is true and 0 elsewhere, even where x is not finite.

    The bits of the numbers, read as integers, are multiplied by 1 or 0. Multiplying the numbers themselves would turn infinity times 0 into NaN.
    ``numpy.where`` is many times slower, because the processor predicts half of its branches wrong.
    """
    bits, result = f"i{x.dtype.itemsize}", empty(x.shape, x.dtype)

    def keep(x: Array, mask: npt.NDArray[np.bool_], result: Array) -> None:
        if divisor != 1:
            x = np.divide(x, divisor, out=result)
        np.multiply(x.view(bits), mask, out=result.view(bits))

    elementwise(keep, np.asarray(x, order="C"), mask, result)
    return result
