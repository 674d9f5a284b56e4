"""Faults that no single edit explains: they are in the results that they name, and the same in each call."""

from __future__ import annotations

import numpy as np
import pytest
from study.edits.faults import LEAST, NOISE, Fault, Sizes, corrupted
from study.edits.outcome import SEEN, outcome_of
from study.edits.tasks import ALL_NOISY, HALF, ONE_ELEMENT, ONE_NOISY
from study.edits.work import FIRST

from crosscheck.checks import Settings
from crosscheck.run.check import check_pair
from tests.support.edited import LAYERS

VALUE = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


@pytest.mark.parametrize(("kind", "count"), [(ONE_NOISY, 20), (ALL_NOISY, 20), (ONE_ELEMENT, 1), (HALF, 10)])
def test_fault_changes_so_many_elements(kind: str, count: int) -> None:
    fault = Fault(kind, "output", (0, 1))
    wrong = fault("output", VALUE)
    assert (wrong.dtype, wrong.shape) == (VALUE.dtype, VALUE.shape)
    assert np.count_nonzero(wrong != VALUE) == count
    assert np.array_equal(wrong, fault("output", VALUE))
    assert np.array_equal(fault("gradient", VALUE), VALUE) == (kind != ALL_NOISY)
    assert fault("output", VALUE[:1, : LEAST - 1]) is not None
    assert np.array_equal(fault("output", VALUE[0]), VALUE[0])


def test_size_of_the_noise() -> None:
    relative = Fault(ONE_NOISY, "output", (0,))("output", VALUE.astype(np.float64)) / VALUE - 1
    assert NOISE / 2 < relative.std() < 2 * NOISE


def test_half_is_scaled_by_one_factor() -> None:
    ratio = Fault(HALF, "output", (0,))("output", VALUE.astype(np.float64)) / VALUE
    assert len(np.unique(ratio.round(9))) == 2


@pytest.mark.parametrize("name", ["dense", "LSTM", "causal attention", "embedding"])
def test_every_result_goes_through_the_fault(name: str) -> None:
    row, sizes = LAYERS[name], Sizes({})
    check_pair(row.pair(corrupted(row.layer, list(row.params), sizes)), Settings(shrink=False), only=lambda name: name == FIRST)
    gradients = {"dense": ["gradient"], "LSTM": ["gradient 0", "gradient 1", "gradient 2"], "embedding": []}
    outputs = {"LSTM": ["output 0", "output 1 0", "output 1 1"]}
    expected = [*outputs.get(name, ["output"]), *gradients.get(name, [f"gradient {place}" for place in range(3)]), *(f"d{one}" for one in row.params)]
    assert sorted(sizes.found) == sorted(expected)


def test_fault_is_seen() -> None:
    row = LAYERS["dense"]
    found = outcome_of(lambda: row.pair(corrupted(row.layer, list(row.params), Fault(ONE_ELEMENT, "dW", (0,)))), 0, 60)
    assert (found.outcome, found.quantity) == (SEEN, "weight.grad")
