"""Convolutions of any geometry against the definition in loops, exactly: sums of whole numbers are not rounded, whatever their order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratch
from scratch.layer import Array

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
BATCH, GROUPS = 2, 2


@st.composite
def geometries(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int]]:
    """Draw the arguments of a convolution, and the size of an image that holds a window."""
    kernel, dilation, spare = draw(PAIRS), draw(PAIRS), draw(PAIRS)
    padding: Any = draw(st.just("same") | st.tuples(st.integers(0, 2), st.integers(0, 2)))
    zeros = (0, 0) if padding == "same" else padding
    height, width = (max(d * (k - 1) + s - 2 * p, 1) for k, d, s, p in zip(kernel, dilation, spare, zeros, strict=True))
    return {"kernel_size": kernel, "stride": draw(PAIRS), "padding": padding, "dilation": dilation}, (height, width)


def zeros_and_windows(size: int, kernel: int, stride: int, dilation: int, padding: int | None) -> tuple[int, int]:
    """Return how many zeros are before an axis and how many windows are on it; without a padding as TensorFlow documents "SAME".

    https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    reach = dilation * (kernel - 1)
    if padding is not None:
        return padding, (size + 2 * padding - reach - 1) // stride + 1
    windows = -(-size // stride)
    return max((windows - 1) * stride + reach + 1 - size, 0) // 2, windows


def defined(layer: Any, x: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Array]:
    """Return the output of a convolution and the gradients of the sum of its squares, halved: the cotangent is then the output itself."""
    weight, bias = layer.params["weight"], layer.params["bias"]
    paddings = (None, None) if padding == "same" else padding
    axes = [zeros_and_windows(*axis) for axis in zip(x.shape[2:], kernel_size, stride, dilation, paddings, strict=True)]
    (top, rows), (left, columns) = axes
    filters, channels = len(weight), weight.shape[1]
    products = []
    for f, c, i, j, u, v in itertools.product(range(filters), range(channels), range(rows), range(columns), *map(range, kernel_size)):
        row, column = stride[0] * i + dilation[0] * u - top, stride[1] * j + dilation[1] * v - left
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            group = f // (filters // GROUPS)
            products.append(((slice(None), f, i, j), (slice(None), group * channels + c, row, column), (f, c, u, v)))
    output = np.zeros((len(x), filters, rows, columns)) + bias[:, None, None]
    for out, pixel, tap in products:
        output[out] += x[pixel] * weight[tap]
    grad_input, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for out, pixel, tap in products:
        grad_input[pixel] += output[out] * weight[tap]
        grad_weight[tap] += output[out] @ x[pixel]
    return {"output": output, "grad_input": grad_input, "weight": grad_weight, "bias": output.sum(axis=(0, 2, 3))}


def differing(layer: Any, size: tuple[int, int], options: dict[str, Any]) -> list[str]:
    """Return the names of what a convolution computes otherwise than a definition with these arguments."""
    rng = np.random.default_rng(0)
    for value in layer.params.values():
        value[...] = rng.integers(-9, 10, value.shape)
    x = rng.integers(-9, 10, (BATCH, 4, *size)).astype(float)
    expected = defined(layer, x, **options)
    output = layer.forward(x)
    found = {"output": output, "grad_input": layer.backward(output), **layer.grads}
    return [name for name, value in expected.items() if not np.array_equal(found[name], value)]


def convolution(options: dict[str, Any]) -> scratch.Conv2d:
    """Return a convolution of two groups."""
    return scratch.Conv2d(4, 6, **options, groups=GROUPS, rng=np.random.default_rng(0))


@given(geometries())
def test_any_geometry(geometry: tuple[dict[str, Any], tuple[int, int]]) -> None:
    options, size = geometry
    assert differing(convolution(options), size, options) == []


RIGHT: dict[str, Any] = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}


@pytest.mark.parametrize("other", [{"stride": (2, 2)}, {"padding": (0, 1)}, {"padding": "same"}, {"dilation": (1, 2)}], ids=str)
def test_other_geometry_differs(other: dict[str, Any]) -> None:
    assert differing(convolution(RIGHT | other), (7, 8), RIGHT)
