"""Formats of lower precision, as functions that round an array to them: also those that NumPy lacks, bfloat16 and TF32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.core.precision import Array, Bound, Precision

_FLOAT32_BITS = 24


@dataclass(frozen=True)
class Format:
    """A floating-point format. One that NumPy lacks has the range of float32 and fewer bits."""

    name: str
    dtype: np.dtype[Any]  # NumPy's own format, or float32
    bits: int = 0  # the number of significant bits that are left of float32's; 0 for NumPy's own format
    cut: bool = False  # whether bits are cut off and not rounded

    @property
    def spacing(self) -> float:
        """The distance from 1 to the next larger number."""
        return 2.0 ** (1 - self.bits) if self.bits else float(np.finfo(self.dtype).eps)

    @property
    def in_words(self) -> str:
        """The format with how numbers get into it: "rounded to bfloat16"."""
        return f"{'cut' if self.cut else 'rounded'} to {self.name}"

    def rounded(self, array: Array) -> Array:
        """Return an array with every number as the format holds it, in the array's own precision."""
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(array, dtype=self.dtype).reshape(array.shape)
        if self.bits:
            dropped = _FLOAT32_BITS - self.bits
            code = narrow.view(np.uint32)
            if not self.cut:
                # Ties go to the number whose last bit is 0.
                code = code + np.uint32((1 << (dropped - 1)) - 1) + (code >> np.uint32(dropped) & np.uint32(1))
            narrow = (code >> np.uint32(dropped) << np.uint32(dropped)).view(np.float32)
        return narrow.astype(array.dtype)

    def holds(self, array: Array) -> bool:
        """Return whether the format holds every number exactly, and not all of them are 0."""
        return bool(array.any()) and np.array_equal(self.rounded(array), array)

    def tolerance(self, bound: Bound, like: Precision) -> Array:
        """Return the largest error that rounding in this format explains, with the number of elements of another precision."""
        allowed = Precision(self.dtype, like.elements, like.false_alarms).tolerance(bound)
        # Cutting bits off loses up to a spacing, rounding up to half of it.
        return allowed * 2.0 ** (_FLOAT32_BITS + 1 - self.bits) if self.bits else allowed


SINGLE, HALF = (Format(np.dtype(kind).name, np.dtype(kind)) for kind in (np.float32, np.float16))
BRAIN, BRAIN_CUT = (Format("bfloat16", np.dtype(np.float32), 8, cut) for cut in (False, True))
TENSOR, TENSOR_CUT = (Format("the 11 bits of TF32", np.dtype(np.float32), 11, cut) for cut in (False, True))

LOWER = {np.dtype(np.float64): (SINGLE, HALF, BRAIN), np.dtype(np.float32): (HALF, BRAIN)}
"""For each precision, the lower precisions in which a result may have been computed; errors are larger in the later ones."""

INPUTS = {np.dtype(np.float64): (SINGLE, HALF, BRAIN), np.dtype(np.float32): (HALF, BRAIN, BRAIN_CUT, TENSOR, TENSOR_CUT)}
"""For each precision, the formats to which inputs may have been rounded. Units that multiply matrices round float32 to TF32."""
