"""What arrives at a layer instead of the right array."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crosscheck.causes.wiring import Wrong, among, rearranged
from crosscheck.core.precision import Array

SENT: Array = np.random.default_rng(0).standard_normal((4, 3, 2))


def _some_turned(array: Array) -> Array:
    turned = array.copy()
    turned[1] = turned[1, ::-1]
    return turned


REARRANGED: list[tuple[Callable[[Array], Array], list[Wrong]]] = [
    (lambda a: a, []),
    (lambda a: a[:-1], [("sample left out", "the last sample is left out")]),
    (lambda a: a[2:], [("sample left out", "the first 2 samples are left out")]),
    (lambda a: a[::2], []),
    (lambda a: a[[1, 0, 3, 2]], [("samples in another order", "the samples are in another order")]),
    (lambda a: a[:, ::-1], [("samples turned round", "the samples are turned round along axis 1")]),
    (_some_turned, [("samples turned round", "some samples are turned round along axis 1")]),
    (lambda a: a.transpose(0, 2, 1).reshape(a.shape), [("numbers in other places", "the numbers of each sample are in other places")]),
    (lambda a: a + 1, []),
    (np.zeros_like, []),
    (lambda a: a[0], []),
    (lambda a: a[:0], []),
]


@pytest.mark.parametrize(("change", "words"), REARRANGED)
def test_rearranged(change: Callable[[Array], Array], words: list[Wrong]) -> None:
    assert list(rearranged(change(SENT), SENT)) == words


def test_among_others() -> None:
    """Arrays of one value, such as zeros, are equal for many reasons."""
    others = {"one": SENT, "other": SENT + 1, "zeros": np.zeros(4)}
    assert list(among(SENT + 1, others)) == ["other"]
    assert list(among(np.zeros(4), others)) == []
