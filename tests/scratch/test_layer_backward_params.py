"""The gradients of the parameters have the same bits with and without the gradient of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import scratch
from scratch.layer import Array
from scratch.networks import NETWORKS, Kernels
from tests.support.cases import CASES
from tests.support.layer_runs import made


def gradients(network: scratch.Sequential, cotangent: Array, method: str) -> dict[str, Array]:
    """Return the gradients that a backward method stores."""
    for layer in network.layers.values():
        layer.grads.clear()
    getattr(network, method)(cotangent)
    return {name: value.copy() for name, value in network.grads.items()}


def differing(network: scratch.Sequential, x: Array) -> list[str]:
    """Return the parameters whose gradients differ between the two methods; ``"nothing"`` if there are no gradients."""
    cotangent = np.random.default_rng(1).standard_normal(network.forward(x).shape).astype(x.dtype)
    whole, alone = (gradients(network, cotangent, method) for method in ("backward", "backward_params"))
    return [name for name in whole if name not in alone or not np.array_equal(whole[name], alone[name])] or ([] if whole else ["nothing"])


@pytest.mark.parametrize(
    ("case", "kernels"), [(case, kernels) for case in CASES if getattr(made(case), "params", None) for kernels in CASES[case].kernels]
)
def test_layer(case: str, kernels: Kernels) -> None:
    x = np.random.default_rng(0).standard_normal((3, *CASES[case].sample))
    assert differing(scratch.Sequential(layer=made(case, kernels)), x) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    network = NETWORKS[name].make(np.random.default_rng(0), np.float32)
    assert differing(network, np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)) == []


@pytest.mark.parametrize(("frozen", "left"), [(("conv",), []), (("linear",), []), (("conv", "linear"), ["nothing"])])
def test_frozen_layers(frozen: tuple[str, ...], left: list[str]) -> None:
    """Frozen layers have no gradients, the others have all."""
    network = NETWORKS["tutorial"].make(np.random.default_rng(0), np.float64)
    network.freeze(*frozen)
    assert differing(network, np.random.default_rng(0).standard_normal((2, 1, 28, 28))) == left


def test_gradient_that_is_forgotten() -> None:
    """A ``backward_params`` that computes a wrong gradient is found."""

    class Forgets(scratch.Linear):
        def backward_params(self, grad_output: Array) -> None:
            super().backward_params(grad_output)
            self.grads["bias"] = np.zeros_like(self.grads["bias"])

    network = scratch.Sequential(layer=Forgets(4, 3, rng=np.random.default_rng(0)))
    layer: Any = network.layers["layer"]
    layer.backward = lambda grad: scratch.Linear.backward_params(layer, grad)
    assert differing(network, np.random.default_rng(0).standard_normal((2, 4))) == ["layer.bias"]
