"""Windows: what PyTorch calls "same"; results that depend on nothing but the numbers given, from plain and from fast kernels."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
from crosscheck.core.inputs import arranged
from crosscheck.references.pytorch.modules import SameConv2d
from scratch import fast


@pytest.mark.parametrize("kernel", [(3, 3), (4, 2), (1, 6)], ids=str)
def test_same_is_what_pytorch_calls_same(kernel: tuple[int, int]) -> None:
    own, ours = nn.Conv2d(2, 3, kernel, padding="same", dilation=(1, 2)), SameConv2d(2, 3, kernel, dilation=(1, 2))
    ours.load_state_dict(own.state_dict())
    x = torch.from_numpy(np.random.default_rng(0).integers(-9, 9, (2, 2, 6, 7)).astype(np.float32))
    with torch.no_grad():
        for module in (own, ours):
            for value in module.parameters():
                value.copy_(torch.round(value * 16))  # whole numbers, so that no order of summation rounds
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
            assert torch.equal(ours(x), own(x))


LAYERS: dict[str, Any] = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4, "padding": "same"},
}


KERNELS: dict[str, Any] = {"plain": scratch, "fast": fast}


def results(layer: scratch.Conv2d, x: Any, grad_output: Any) -> list[bytes]:
    """Return the bits of everything that a convolution computes."""
    output = layer.forward(x)
    grad_input = layer.backward(grad_output)
    return [np.ascontiguousarray(array).tobytes() for array in (output, grad_input, *layer.grads.values())]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("memory", ["F", "strided"])
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_same_bits_however_the_numbers_lie_in_memory(options: dict[str, Any], memory: str, kernels: str) -> None:
    rng = np.random.default_rng(0)
    layer = KERNELS[kernels].Conv2d(4, 4, 3, rng=rng, dtype=np.float32, **options)
    x = rng.standard_normal((5, 4, 9, 8)).astype(np.float32)
    grad_output = rng.standard_normal(layer.forward(x).shape).astype(np.float32)
    assert results(layer, arranged(x, memory), arranged(grad_output, memory)) == results(layer, x, grad_output)


MADE: dict[str, Any] = {
    "plain-conv": lambda: scratch.Conv2d(2, 3, 3, rng=np.random.default_rng(0)),
    "fast-conv": lambda: fast.Conv2d(2, 3, 3, rng=np.random.default_rng(0)),
    "plain-pool": lambda: scratch.MaxPool2d(2),
    "fast-pool": lambda: fast.MaxPool2d(2),
}


@pytest.mark.parametrize("between", ["before forward", "before backward"])
@pytest.mark.parametrize("kind", MADE.values(), ids=MADE)
def test_copied_layer_goes_on_alone(kind: Any, between: str) -> None:
    """A copy shares no memory with the original, and computes what the original would have computed."""
    rng, layer = np.random.default_rng(0), kind()
    first, second, third = rng.standard_normal((3, 2, 2, 6, 6))
    grad_output = rng.standard_normal(layer.forward(first).shape)
    if between == "before backward":
        layer.forward(second)
    other = copy.deepcopy(layer)
    if between == "before forward":
        other.forward(second)
    layer.forward(third)  # must not reach the copy
    expected = kind()
    expected.forward(second)
    assert np.array_equal(other.backward(grad_output), expected.backward(grad_output))
    assert all(np.array_equal(other.grads[name], expected.grads[name]) for name in expected.grads)


@pytest.mark.parametrize("kind", MADE.values(), ids=MADE)
def test_batch_without_images(kind: Any) -> None:
    layer, x = kind(), np.zeros((0, 2, 6, 6))
    output = layer.forward(x)
    assert output.shape[0] == 0
    assert layer.backward(output).shape == x.shape
    assert not any(grad.any() for grad in layer.grads.values())


def test_initializer_gets_what_it_needs() -> None:
    seen: list[Any] = []

    def init(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> Any:
        seen.extend((shape, fan_in, fan_out))
        return np.asarray(rng.uniform(-1, 1, shape), dtype)

    layer = scratch.Conv2d(4, 6, (3, 5), groups=2, rng=np.random.default_rng(0), dtype=np.float32, init=init)
    assert seen == [(6, 2, 3, 5), 30, 45]
    assert np.array_equal(layer.params["weight"], np.random.default_rng(0).uniform(-1, 1, (6, 2, 3, 5)).astype(np.float32))
