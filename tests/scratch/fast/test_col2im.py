"""The way back of a convolution multiplies each weight once; that it is right is shown by tests/scratch/test_windows_geometry.py."""

from __future__ import annotations

import numpy as np
import pytest

from scratch.fast.col2im import phases
from scratch.windows import Window

WINDOWS = [
    Window((3, 3), (1, 1)), Window((1, 1), (2, 3)), Window((2, 3), (3, 1)), Window((3, 2), (2, 2)), Window((3, 2), (2, 1), dilation=(3, 2)),
    Window((4, 1), (2, 1), dilation=(2, 1)), Window((5, 2), (3, 2), dilation=(2, 1)),
]  # fmt: skip
"""Of every kind: steps of one, longer than the window, shorter; pixels apart that meet all rows of the stride, or only some."""


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_nothing_is_multiplied_twice(window: Window) -> None:
    weight = np.arange(2.0 * 3 * 4 * window.kernel[0] * window.kernel[1]).reshape(2, 3, 4, *window.kernel)
    taps = np.concatenate([phase.filters.ravel() for phase in phases(window, weight)])
    assert sorted(taps.tolist()) == weight.ravel().tolist()
