"""What a mask keeps is the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from scratch.fast.masking import masked
from tests.support.layer_runs import DTYPES


@pytest.mark.parametrize("dtype", [*DTYPES, "float16"])
def test_what_a_mask_keeps(dtype: str) -> None:
    """Bit for bit, NaN and infinities, too; and of what it does not keep not even they are left."""
    x = np.array([1.5, -0.0, np.inf, np.nan, -np.inf, np.finfo(dtype).smallest_subnormal], dtype)
    none, all_of_it = np.zeros(x.shape, bool), np.ones(x.shape, bool)
    assert masked(x, none).tobytes() == np.zeros_like(x).tobytes()
    assert masked(x, all_of_it).tobytes() == x.tobytes()
    assert masked(x[::-1], np.arange(6) == 1)[1] == -np.inf
