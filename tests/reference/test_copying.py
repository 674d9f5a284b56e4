"""Weights and optimizer state travel between a scratch network and its PyTorch twin and come back bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import scratch
from reference.copying import layout_of, to_scratch
from reference.pytorch import from_scratch, optimizer_twin, twin
from scratch import article
from tests.support.networks import NETWORKS

DTYPES = ("float64", "float32")


def trained(network: str, dtype: str, seed: int) -> tuple[scratch.Sequential, scratch.SGD]:
    """Return a network that has done two steps with momentum."""
    model = NETWORKS[network].make(np.random.default_rng(seed), dtype)
    optimizer = scratch.SGD(model.trainable_params, 0.01, momentum=0.9)
    rng, loss = np.random.default_rng(seed), scratch.SoftmaxCrossEntropy()
    for _ in range(2):
        loss.forward(model.forward(rng.standard_normal((2, 1, 28, 28)).astype(dtype)), np.array([3, 7]))
        model.backward(loss.backward())
        optimizer.step(model.grads)
    return model, optimizer


def fresh(network: str, dtype: str) -> tuple[scratch.Sequential, scratch.SGD]:
    """Return a network with other weights, and no optimizer state."""
    model = NETWORKS[network].make(np.random.default_rng(99), dtype)
    return model, scratch.SGD(model.trainable_params, 0.01, momentum=0.9)


networks = pytest.mark.parametrize("network", NETWORKS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


@networks
@dtypes
def test_round_trip(network: str, dtype: str) -> None:
    model, optimizer = trained(network, dtype, 0)
    other, its_optimizer = fresh(network, dtype)
    to_scratch(from_scratch(model, optimizer), other, its_optimizer)
    for found, expected in ((other.params, model.params), (its_optimizer.state["momentum"], optimizer.state["momentum"])):
        assert found.keys() == expected.keys()
        assert [name for name in expected if found[name].dtype != dtype or not np.array_equal(found[name], expected[name])] == []


@networks
def test_way_back_forgets_state_that_is_not_there(network: str) -> None:
    model, optimizer = fresh(network, "float64")
    other, its_optimizer = trained(network, "float64", 1)
    to_scratch(from_scratch(model, optimizer), other, its_optimizer)
    assert its_optimizer.state["momentum"] == {}


@networks
@dtypes
def test_twin_shares_no_memory(network: str, dtype: str) -> None:
    model, optimizer = trained(network, dtype, 0)
    before = {name: value.copy() for name, value in model.params.items()}
    training = from_scratch(model, optimizer)
    rng = np.random.default_rng(5)
    kept = {name: {"mask": np.ones(1, bool)} for name, layer in model.layers.items() if isinstance(layer, scratch.Dropout)}
    training.step(rng.standard_normal((2, 1, 28, 28)).astype(dtype), np.array([1, 2]), None, kept)
    assert [name for name in before if not np.array_equal(before[name], model.params[name])] == []


@networks
def test_twin_in_double_precision_holds_the_same_numbers(network: str) -> None:
    model, optimizer = trained(network, "float32", 0)
    narrow, wide = from_scratch(model, optimizer).params, from_scratch(model, optimizer, np.float64).params
    assert {value.dtype for value in wide.values()} == {np.dtype(np.float64)}
    assert [name for name in wide if not np.array_equal(narrow[name], wide[name])] == []


def test_linear_weights_are_transposed() -> None:
    layer = scratch.Linear(3, 2, rng=np.random.default_rng(0))
    layer.params["weight"][...] = [[0, 1], [10, 11], [20, 21]]  # row: input, column: output
    assert tuple(twin(layer).weight.shape) == (2, 3)
    assert layout_of(layer).params["weight"].layout.to_reference(layer.params["weight"]).tolist() == [[0, 10, 20], [1, 11, 21]]


def test_flatten_order_of_channels_last() -> None:
    """Weight (h, w, c) of the tutorial's layer goes to column c*13*13 + h*13 + w: each weight is its own address."""
    layer = article.Softmax(13 * 13 * 8, 10, np.random.default_rng(0))
    h, w, c, k = np.meshgrid(*map(np.arange, (13, 13, 8, 10)), indexing="ij")
    addresses = (c * 13 * 13 + h * 13 + w) * 10 + k
    found = layout_of(layer).params["weights"].layout.to_reference(addresses.reshape(13 * 13 * 8, 10).astype(np.float64))
    assert found.shape == (10, 1352)
    assert np.array_equal(found, np.arange(1352) * 10 + np.arange(10)[:, None])


@pytest.mark.parametrize("thing", [object(), 3, "conv"], ids=["object", "number", "text"])
def test_layer_without_an_entry(thing: Any) -> None:
    with pytest.raises(TypeError, match=rf"no PyTorch twin for {type(thing).__name__}; add an entry to reference/pytorch\.py"):
        twin(thing)


def test_dropout_by_the_same_mask() -> None:
    """The twin draws nothing: it takes the mask that scratch drew."""
    layer, x = scratch.Dropout(0.3, rng=np.random.default_rng(0)), np.random.default_rng(1).standard_normal((5, 7))
    output = layer.forward(x)
    assert np.array_equal(twin(layer)(torch.from_numpy(x), torch.from_numpy(layer.mask)).numpy(), output)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_batchnorm_settings(training: bool) -> None:
    layer = scratch.BatchNorm2d(3, eps=0.5, momentum=0.25, affine=False)
    layer.training = training
    module = twin(layer)
    assert (module.num_features, module.eps, module.momentum, module.affine, module.training) == (3, 0.5, 0.25, False, training)


@pytest.mark.parametrize("thing", [object(), scratch.Linear(1, 1, rng=np.random.default_rng(0))], ids=["object", "layer"])
def test_optimizer_without_an_entry(thing: Any) -> None:
    with pytest.raises(TypeError, match=rf"no settings are known for {type(thing).__name__}; add an entry to reference/copying\.py"):
        optimizer_twin(thing)


def test_softmax_of_another_image_size() -> None:
    with pytest.raises(ValueError, match="has 100 inputs; known is the order of"):
        layout_of(article.Softmax(100, 10, np.random.default_rng(0)))
