"""Activations where a plain formula loses its digits or overflows."""

from __future__ import annotations

import numpy as np
import pytest

import scratch
from scratch.layer import Layer


def at(layer: Layer, x: float) -> tuple[float, float]:
    """Return output and derivative at a number."""
    output = float(layer.forward(np.array([x], float))[0])
    return output, float(layer.backward(np.ones(1))[0])


def test_tail_of_gelu() -> None:
    """Where Φ is 7.6198530242e-24, ``1 + erf`` is 0."""
    assert f"{at(scratch.GELU(), -10)[0]:.9e}" == "-7.619853024e-23"


@pytest.mark.parametrize(("x", "output", "derivative"), [(-1e300, 0, 0), (1e300, 1e300, 1)], ids=["negative", "positive"])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_far_out(approximate: str, x: float, output: float, derivative: float) -> None:
    assert at(scratch.GELU(approximate), x) == (output, derivative)  # type: ignore[arg-type]


@pytest.mark.parametrize(("x", "output"), [(-1e300, 0), (1e300, 1), (0, 0.5)], ids=["negative", "positive", "zero"])
def test_sigmoid_far_out(x: float, output: float) -> None:
    assert at(scratch.Sigmoid(), x) == (output, output * (1 - output))


def test_small_sigmoid_keeps_its_digits() -> None:
    assert at(scratch.Sigmoid(), -700)[0] == np.exp(-700)
