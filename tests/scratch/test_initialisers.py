"""Initial weights: the distributions of PyTorch's own initialisers, the same draw in every precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import scratch
from scratch import initialisers
from scratch.initialisers import Initialiser

FANS = (300, 200)
DRAWN = 60_000
REFERENCES = {
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "he_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
}
initialised = pytest.mark.parametrize("name", REFERENCES)


def initialiser(name: str) -> Initialiser:
    """Return an initialiser by its name."""
    found: Initialiser = getattr(initialisers, name)
    return found


@initialised
def test_distribution(name: str) -> None:
    """Two samples of one distribution differ in no place by more than chance allows: the Kolmogorov-Smirnov statistic, at one in a million."""
    torch.manual_seed(0)
    reference = np.sort(REFERENCES[name](torch.empty(FANS[1], FANS[0])).numpy().ravel())
    drawn = np.sort(initialiser(name)(FANS, *FANS, np.random.default_rng(0), np.float64).ravel())
    places = np.concatenate([reference, drawn])
    distance = np.abs(np.searchsorted(reference, places, "right") - np.searchsorted(drawn, places, "right")).max() / DRAWN
    assert distance < np.sqrt(np.log(2e6) / DRAWN)


@initialised
def test_same_numbers_in_every_precision(name: str) -> None:
    wide, narrow = (initialiser(name)((4, 3), 4, 3, np.random.default_rng(7), dtype) for dtype in (np.float64, np.float32))
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, wide.astype(np.float32))


def test_linear_takes_one() -> None:
    layer = scratch.Linear(*FANS, rng=np.random.default_rng(3), init=initialisers.he_normal)
    assert np.array_equal(layer.params["weight"], initialisers.he_normal(FANS, *FANS, np.random.default_rng(3), np.float64))
