"""The networks by name: their sizes and graphs, and that each learns when it is trained as its entry says."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from digits.files import SHIPPED, load

import scratch
import scratch.fast
from scratch.layer import Layer
from scratch.networks import KERNELS, NETWORKS, Kernels

SIZES = {
    "tutorial": (3, 13_602),
    "keras-mnist-cnn": (8, 1_199_882),
    "lenet5": (10, 61_706),
    "batchnorm-cnn": (8, 20_538),
    "resnet-50-layers": (151, 758_074),
}
"""Arrays and numbers of the parameters."""


def made(name: str, dtype: str = "float32", seed: int = 0, kernels: Kernels = "fast") -> scratch.Sequential:
    """Return a network with fresh weights."""
    return NETWORKS[name].make(np.random.default_rng(seed), np.dtype(dtype), kernels)


named = pytest.mark.parametrize("name", NETWORKS)


@named
def test_size(name: str) -> None:
    params = made(name).params
    assert (len(params), sum(value.size for value in params.values())) == SIZES[name]


@named
def test_precision(name: str) -> None:
    model = made(name)
    assert {value.dtype.name for value in [*model.params.values(), *model.buffers.values()]} == {"float32"}
    output = model.forward(np.random.default_rng(1).standard_normal((2, 1, 28, 28)).astype(np.float32))
    assert output.dtype == np.float32
    assert output.shape == (2, 10)


@named
def test_same_seed_same_network(name: str) -> None:
    """Weights and masks are those of the seed."""
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28)).astype(np.float32)
    assert np.array_equal(made(name).forward(x), made(name).forward(x))
    assert not np.array_equal(made(name).forward(x), made(name, seed=1).forward(x))


@named
def test_kernels_change_neither_weights_nor_masks(name: str) -> None:
    plain, fast = made(name, kernels="plain"), made(name, kernels="fast")
    assert [type(layer).__name__ for layer in plain.layers.values()] == [type(layer).__name__ for layer in fast.layers.values()]
    assert not any(type(layer).__module__.startswith("scratch.fast") for layer in plain.layers.values())
    assert {type(layer).__name__ for layer in fast.layers.values() if type(layer).__module__.startswith("scratch.fast")} == {
        type(layer).__name__ for layer in plain.layers.values() if type(layer).__name__ in KERNELS["fast"].__all__
    }
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28)).astype(np.float32)
    plain.forward(x)
    fast.forward(x)
    assert [name for name, value in plain.params.items() if not np.array_equal(value, fast.params[name])] == []
    masks = [[layer.mask for layer in model.layers.values() if isinstance(layer, scratch.Dropout)] for model in (plain, fast)]
    assert all(np.array_equal(one, other) for one, other in zip(*masks, strict=True))


def test_optimizer_has_the_kernels_of_its_network() -> None:
    kinds = {kernels: type(NETWORKS["keras-mnist-cnn"].trained_by({}, kernels)) for kernels in get_args(Kernels)}
    assert kinds == {"plain": scratch.Adadelta, "fast": scratch.fast.Adadelta}
    assert type(NETWORKS["tutorial"].trained_by({}, "fast")) is scratch.SGD


def test_unknown_kernels() -> None:
    with pytest.raises(ValueError, match="kernels='quick': expected one of plain, fast"):
        made("tutorial", kernels="quick")  # type: ignore[arg-type]


@pytest.mark.slow("a hundred steps of 50 layers; the smaller networks learn in the same way", default=["tutorial", "lenet5", "batchnorm-cnn"])
@named
def test_learns(name: str) -> None:
    """A few steps of the optimizer on one batch bring its loss down by half."""
    row, model, loss = NETWORKS[name], made(name), scratch.SoftmaxCrossEntropy()
    optimizer = row.trained_by(model.trainable_params)
    digits = load(SHIPPED)
    x, labels = digits.train_images[:16, None].astype(np.float32) / 255 - np.float32(0.5), digits.train_labels[:16]
    model.eval()
    before = float(loss.forward(model.forward(x), labels))
    model.train()
    for _ in range(STEPS[name]):
        loss.forward(model.forward(x), labels)
        model.backward(loss.backward())
        optimizer.step(model.grads)
    assert float(loss.forward(model.forward(x), labels)) < before / 2


STEPS = {"tutorial": 400, "keras-mnist-cnn": 12, "lenet5": 60, "batchnorm-cnn": 12, "resnet-50-layers": 6}


def layers_of(name: str, kind: type[Layer]) -> dict[str, Layer]:
    """Return a network's layers of a kind."""
    return {layer: value for layer, value in made(name).layers.items() if isinstance(value, kind)}


def test_fifty_layers_of_weights() -> None:
    kinds = (scratch.Conv2d, scratch.Linear)
    weighted = [layer for kind in kinds for layer in layers_of("resnet-50-layers", kind)]
    assert len([layer for layer in weighted if not layer.endswith("shortcut")]) == 50
    assert [layer for layer in weighted if layer.endswith("shortcut")] == ["stage2.block1.shortcut", "stage3.block1.shortcut"]


def test_residual_graph() -> None:
    graph = made("resnet-50-layers").graph()
    assert graph["stage1.relu1"][1] == ("stage1.block1.norm2", "relu")
    assert graph["stage2.relu1"][1] == ("stage2.block1.norm2", "stage2.block1.shortcut")
    assert graph["stage2.block1.shortcut"][1] == ("stage1.relu8",)
    assert graph["pool"][1] == ("stage3.relu8",)


def test_drawn_masks_are_the_dropouts_own() -> None:
    """No two dropouts share a generator, nor does one draw from that of the weights."""
    rng = np.random.default_rng(0)
    model = NETWORKS["keras-mnist-cnn"].make(rng, np.float32)
    generators = [layer.rng for layer in model.layers.values() if isinstance(layer, scratch.Dropout)]
    assert len({id(generator) for generator in [rng, *generators]}) == 3
