"""Masks that are drawn as often as they should, and others."""

from __future__ import annotations

import numpy as np
import pytest
from digits.batches import batches
from training.run import Plan, compared
from training.subjects import layered

import scratch
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Precision
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.mask_counts import all_alike
from scratch.layer import Array
from tests.support.networks import digits


class NeverDrops(scratch.Dropout):
    """Everything is kept, and scaled as if it were not."""

    def forward(self, x: Array, mask: scratch.dropout.Mask | None = None) -> Array:
        return super().forward(x, np.ones(x.shape, bool) if mask is None and self.training else mask)


class SameMask(scratch.Dropout):
    """The mask is drawn once."""

    def forward(self, x: Array, mask: scratch.dropout.Mask | None = None) -> Array:
        return super().forward(x, self.mask if mask is None and self.training else mask)


def masked(kind: type, steps: int) -> TrainingComparison:
    """Train a network with a larger dropout of a faulty kind."""
    rng = np.random.default_rng(0)
    model = scratch.Sequential(flatten=scratch.Flatten(), dropout=scratch.Dropout(0.25, rng=rng), linear=scratch.Linear(784, 10, rng=rng))
    model.layers["dropout"].__class__ = kind
    plan = Plan(np.dtype(np.float64), 4, steps, 1, 0, 0)
    comparison = compared(layered(model, scratch.SGD(model.trainable_params, lr=0.01)), plan, digits())
    for batch in batches(digits(), plan, np.random.default_rng(0)):
        comparison.step(batch.x, batch.labels)
    return comparison


@pytest.mark.parametrize(
    ("kind", "step", "words"),
    [
        pytest.param(NeverDrops, 1, "3,136 of 3,136 elements were kept so far; expected 2,352", id="never-drops"),
        pytest.param(SameMask, 2, "the same mask as in the previous step", id="same-mask"),
    ],
)
def test_mask_that_is_not_drawn(kind: type, step: int, words: str) -> None:
    """Whatever is computed with such a mask is right."""
    comparison = masked(kind, 3)
    assert comparison.verdict is Verdict.MISMATCH
    assert comparison.first is not None
    assert str(comparison.first.judgement.place) == f"step {step}, dropout.mask"
    assert words in comparison.first.judgement.reason


def test_mask_that_is_drawn() -> None:
    assert masked(scratch.Dropout, 20).verdict is Verdict.MATCH


def test_masks_that_are_all_alike() -> None:
    """Few elements may be alike by chance, many may not; those of one sample cannot differ."""
    precision, mask = Precision(np.dtype(np.float64), 1000), np.random.default_rng(0).random((1, 1, 400)) < 0.7
    assert all_alike(np.repeat(mask, 2, axis=1), 0.3, precision)
    assert not all_alike(np.repeat(mask[..., :4], 2, axis=1), 0.3, precision)
    assert not all_alike(np.stack([mask[0], ~mask[0]], axis=1), 0.3, precision)
    assert not all_alike(mask, 0.3, precision)
