"""Batch normalisation beside PyTorch's in training, and what its running statistics are and do."""

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
from scratch.normalisation import RunningVariance

PAIRS = [
    Pair(scratch.BatchNorm1d(4), nn.BatchNorm1d(4), shapes=[(5, 4)], name="batchnorm1d"),
    Pair(scratch.BatchNorm2d(3, eps=0.01, affine=False), nn.BatchNorm2d(3, eps=0.01, affine=False), shapes=[(2, 3, 4, 5)], name="batchnorm2d"),
]
COLUMN = np.array([[1.0], [3.0], [5.0], [7.0], [9.0]])
"""Mean 5, sum of squares about it 40: a variance of 8 or, without bias, of 10."""


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_batchnorm(pair: Pair) -> None:
    """Every check that applies matches."""
    result = check_pair(pair, Settings(shrink=False))
    assert {one.check: one.reason for one in result.results if one.verdict not in (Verdict.MATCH, Verdict.SKIPPED)} == {}
    assert (result.verdict, result.error) == (Verdict.MATCH, "")


@pytest.mark.parametrize(("convention", "expected"), [("unbiased", 0.75 + 2.5), ("biased", 0.75 + 2.0)])
def test_running_statistics(convention: RunningVariance, expected: float) -> None:
    """A quarter of the batch's and three quarters of what was there: 0 and 1."""
    layer = scratch.BatchNorm1d(1, momentum=0.25, running_variance=convention)
    layer.forward(COLUMN)
    assert layer.buffers["running_mean"].tolist() == [1.25]
    assert layer.buffers["running_var"].tolist() == [expected]


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


def evaluating() -> scratch.BatchNorm1d:
    """Return a layer that takes off 1, halves, takes 3 times that and adds 5."""
    layer = scratch.BatchNorm1d(1, eps=1.0)
    for arrays, name, value in (
        (layer.buffers, "running_mean", 1),
        (layer.buffers, "running_var", 3),
        (layer.params, "weight", 3),
        (layer.params, "bias", 5),
    ):
        arrays[name][...] = value
    layer.training = False
    return layer


def test_evaluation() -> None:
    """Statistics are constants: the same for every batch, and nothing is differentiated by them."""
    layer = evaluating()
    assert layer.forward(COLUMN).tolist() == [[5], [8], [11], [14], [17]]
    assert layer.backward(np.array([[1.0], [2.0], [0.0], [0.0], [-4.0]])).tolist() == [[1.5], [3], [0], [0], [-6]]
    assert layer.grads["weight"].tolist() == [1 * 0 + 2 * 1 - 4 * 4]
    assert layer.grads["bias"].tolist() == [-1]


def test_evaluation_leaves_the_statistics() -> None:
    layer = evaluating()
    layer.forward(COLUMN)
    assert {name: value.tolist() for name, value in layer.buffers.items()} == {"running_mean": [1], "running_var": [3]}


def test_backward_is_of_the_mode_of_its_forward() -> None:
    rng = np.random.default_rng(0)
    layer, grad_output = scratch.BatchNorm1d(1), rng.standard_normal((5, 1))
    layer.forward(COLUMN)
    expected = layer.backward(grad_output)
    layer.training = False
    assert np.array_equal(layer.backward(grad_output), expected)
