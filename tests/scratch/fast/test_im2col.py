"""Columns of windows: a batch that is worked through in parts gives the same bits as one that is not, and a view stays within its image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scratch import fast
from scratch.fast import im2col, pooling
from scratch.fast.windows import over
from scratch.pooling import TIE_RULES
from scratch.windows import Window
from tests.scratch.test_windows import LAYERS, results


def test_window_beyond_its_image_is_no_view() -> None:
    with pytest.raises(ValueError, match="incompatible"):
        over(Window((3, 3), (1, 1)), np.zeros((1, 1, 4, 4)), (3, 2))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "gathered-anew"])
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_parts_of_a_batch_change_no_output(options: dict[str, Any], kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the batch is worked through whole or image by image, outputs and input gradients have the same bits."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4, 9, 8)).astype(np.float32)

    def layer() -> fast.Conv2d:
        return fast.Conv2d(4, 4, 3, rng=np.random.default_rng(0), dtype=np.float32, **options)

    grad_output = rng.standard_normal(layer().forward(x).shape).astype(np.float32)
    whole = results(layer(), x, grad_output)
    monkeypatch.setattr(im2col, "PART", 1)
    parts = results(layer(), x, grad_output)
    assert parts[:2] == whole[:2]
    if not kept:
        monkeypatch.setattr(im2col, "KEPT", 0)
        assert results(layer(), x, grad_output) == parts


@pytest.mark.parametrize("ties", TIE_RULES)
@pytest.mark.parametrize("options", [{}, {"stride": 1, "padding": 1}], ids=["apart", "overlapping"])
def test_parts_of_a_batch_change_no_pooling(options: dict[str, Any], ties: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (5, 2, 7, 6)).astype(np.float32)
    whole = fast.MaxPool2d(2, ties=ties, **options)
    output = whole.forward(x)
    grad_output = rng.standard_normal(output.shape).astype(np.float32)
    monkeypatch.setattr(pooling, "PART", 2 * x[0].size)
    parts = fast.MaxPool2d(2, ties=ties, **options)
    assert np.array_equal(parts.forward(x), output)
    assert np.array_equal(parts.backward(grad_output), whole.backward(grad_output))
