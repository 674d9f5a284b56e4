"""Memory that is used again: never while anything references it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scratch.fast.memory import KEPT, LARGE, Blocks, clear

SHAPE = (LARGE // 4, 2)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_memory_without_references_is_used_again() -> None:
    blocks = Blocks()
    array = blocks.empty(SHAPE, np.dtype(np.float32))
    place = address(array)
    del array
    assert address(blocks.empty(SHAPE, np.dtype(np.float32))) == place
    assert address(blocks.empty(SHAPE[::-1], np.dtype(np.int32))) == place


@pytest.mark.parametrize(
    "hold",
    [lambda array: array, lambda array: array[3:5, 1:].T, lambda array: array.view(np.int32).reshape(-1)[7:], memoryview],
    ids=["array", "view", "bits", "buffer"],
)
def test_memory_with_references_is_left_alone(hold: object) -> None:
    blocks = Blocks()
    array = blocks.empty(SHAPE, np.dtype(np.float32))
    array[...] = 1
    held = hold(array)  # type: ignore[operator]
    del array
    for _ in range(3):
        blocks.empty(SHAPE, np.dtype(np.float32))[...] = 2
    assert (np.asarray(held).view(np.float32) == 1).all()


@pytest.mark.parametrize(("shape", "dtype"), [((), np.float64), ((3, 0), np.float32), ((2, 3), np.bool_), (SHAPE, np.float64)])
def test_arrays_are_as_numpy_makes_them(shape: tuple[int, ...], dtype: type) -> None:
    mine: Any = Blocks().empty(shape, np.dtype(dtype))
    usual: Any = np.empty(shape, dtype)
    assert (mine.shape, mine.dtype, mine.strides) == (usual.shape, usual.dtype, usual.strides)
    assert mine.flags.writeable
    assert mine.flags.aligned


def test_no_more_is_kept_than_is_told() -> None:
    blocks = Blocks()
    held = [blocks.empty((KEPT // 4 + number,), np.dtype(np.uint8)) for number in range(6)]
    assert len(blocks._blocks) == 3
    assert len({address(array) for array in held}) == 6
    blocks.empty((KEPT + 1,), np.dtype(np.uint8))
    assert len(blocks._blocks) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_cleared_is_zero_and_nothing_else(dtype: type) -> None:
    images: Any = np.full((4, 2, 3), np.nan, dtype)
    clear(images[1:3])
    assert (images[1:3] == 0).all()
    assert np.isnan(images[[0, 3]]).all()
