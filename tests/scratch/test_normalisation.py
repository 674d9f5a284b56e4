"""Batch normalisation in training beside PyTorch's, in every check, and on images with a constant background."""

from __future__ import annotations

import numpy as np
import pytest
from digits.files import SHIPPED, load
from torch import nn

import scratch
from crosscheck import Pair, Verdict
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.objects import Dicts
from crosscheck.checks import Settings
from crosscheck.core.check_layer import check_layer, quantities
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.run.check import check_pair
from reference.copying import layout_of

PAIRS = [
    Pair(scratch.BatchNorm1d(4), nn.BatchNorm1d(4), shapes=[(5, 4)], name="batchnorm1d"),
    Pair(scratch.BatchNorm2d(3, eps=0.01, affine=False), nn.BatchNorm2d(3, eps=0.01, affine=False), shapes=[(2, 3, 4, 5)], name="batchnorm2d"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_batchnorm(pair: Pair) -> None:
    """Every check that applies matches."""
    result = check_pair(pair, Settings(shrink=False))
    assert {one.check: one.reason for one in result.results if one.verdict not in (Verdict.MATCH, Verdict.SKIPPED)} == {}
    assert (result.verdict, result.error) == (Verdict.MATCH, "")


def test_digits_on_a_constant_background() -> None:
    """Half of the pixels are one number, which PyTorch adds up one by one: its errors are larger than those of as many different numbers would be."""
    images = (load(SHIPPED).train_images[:256, None] / 255 - 0.1307) / 0.3081  # as is usual: a background of -0.424
    reference = oracle(nn.BatchNorm2d(1))
    call = Call(
        images,
        {"weight": np.ones(1), "bias": np.zeros(1)},
        np.random.default_rng(0).standard_normal(images.shape),
        buffers={"running_mean": np.zeros(1), "running_var": np.ones(1)},
    )
    subject = AdaptedLayer(Dicts(scratch.BatchNorm2d(1)), layout_of(scratch.BatchNorm2d(1)))
    judgements = check_layer(subject, reference, call, Precision(np.dtype(np.float64), 10 * images.size), "norm").judgements
    assert {judgement.place.quantity: judgement.verdict for judgement in judgements} == dict.fromkeys(quantities(call), Verdict.MATCH)
