"""Convolution and pooling of any geometry against their definitions in loops, exactly: the numbers are whole, and no quotient is rounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratch
from scratch import fast
from scratch.layer import Array
from scratch.pooling import TIE_RULES

UNIT = 2520
"""Every number from 1 to 9 divides it, and no window has more than nine pixels."""
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))

Options = dict[str, Any]


def integers(seed: int, *shape: int) -> Array:
    """Return odd numbers: none is 0, with which a product would hide a fault."""
    return 2.0 * np.random.default_rng(seed).integers(-5, 5, shape) + 1


@st.composite
def geometries(draw: st.DrawFn, pooling: bool = False) -> tuple[Options, tuple[int, ...]]:
    """Draw kernel, stride, padding and dilation, and the size of an image that holds a window."""
    kernel, spare = draw(PAIRS), draw(PAIRS)
    dilation = (1, 1) if pooling else draw(PAIRS)
    padding: Any = tuple(draw(st.integers(0, size // 2 if pooling else 2)) for size in kernel)
    size = tuple(max(d * (k - 1) + s - 2 * p, 1) for k, d, s, p in zip(kernel, dilation, spare, padding, strict=True))
    options = {"kernel_size": kernel, "stride": draw(PAIRS), "padding": padding}
    if not pooling:
        options |= {"padding": draw(st.sampled_from(["same", padding])), "dilation": dilation}
    return options, size


def along(size: int, kernel: int, stride: int, padding: int | None, dilation: int = 1) -> list[dict[int, int]]:
    """Return the pixels of each window along an axis by their place in it; without a padding it is what TensorFlow documents as "SAME".

    https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
    """
    reach, count = dilation * (kernel - 1) + 1, -(-size // stride)
    before = max((count - 1) * stride + reach - size, 0) // 2
    if padding is not None:
        before, count = padding, (size + 2 * padding - reach) // stride + 1
    windows = [{u: stride * i + dilation * u - before for u in range(kernel)} for i in range(count)]
    return [{u: pixel for u, pixel in window.items() if 0 <= pixel < size} for window in windows]


def axes(size: tuple[int, ...], options: Options) -> list[list[dict[int, int]]]:
    """Return the windows along both axes."""
    values = [(None, None) if value == "same" else value for value in options.values()]
    return [along(*axis) for axis in zip(size, *values, strict=True)]


def convolved(x: Array, weight: Array, options: Options) -> Array:
    """Return a convolution of two groups, without a bias."""
    rows, columns = axes(x.shape[2:], options)
    groups, filters = x.reshape(len(x), 2, -1, *x.shape[2:]), weight.reshape(2, -1, *weight.shape[1:])
    output = np.zeros((len(x), 2, filters.shape[1], len(rows), len(columns)))
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        for u, v in itertools.product(row, column):
            output[..., i, j] += np.einsum("bgc,gfc->bgf", groups[..., row[u], column[v]], filters[..., u, v])
    return output.reshape(len(x), len(weight), len(rows), len(columns))


def wrong_in_convolution(layer: scratch.Conv2d, size: tuple[int, ...], options: Options) -> list[str]:
    """Return what differs from the definition. A gradient does if its product with other numbers is not the definition's on these numbers."""
    weight, bias = layer.params["weight"], layer.params["bias"]
    x, weight[...], bias[...] = integers(0, 2, 4, *size), integers(1, *weight.shape), integers(2, *bias.shape)
    expected = convolved(x, weight, options) + bias[:, None, None]
    output = layer.forward(x)
    if not np.array_equal(output, expected):
        return ["output"]
    grad = integers(3, *output.shape)
    grad_input, other_x, other_weight = layer.backward(grad), integers(4, *x.shape), integers(5, *weight.shape)
    right = {
        "grad_input": (grad_input * other_x).sum() == (grad * convolved(other_x, weight, options)).sum(),
        "weight.grad": (layer.grads["weight"] * other_weight).sum() == (grad * convolved(x, other_weight, options)).sum(),
        "bias.grad": np.array_equal(layer.grads["bias"], grad.sum(axis=(0, 2, 3))),
    }
    return [name for name, is_right in right.items() if not is_right]


def convolution(options: Options, kind: type[scratch.Conv2d] = scratch.Conv2d) -> scratch.Conv2d:
    return kind(4, 6, **options, groups=2, rng=np.random.default_rng(0))


@pytest.mark.parametrize("kind", [scratch.Conv2d, fast.Conv2d], ids=["plain", "fast"])
@given(geometries())
def test_convolution(kind: type[scratch.Conv2d], geometry: tuple[Options, tuple[int, ...]]) -> None:
    options, size = geometry
    assert wrong_in_convolution(convolution(options, kind), size, options) == []


RIGHT = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}


@pytest.mark.parametrize("other", [{"stride": (2, 2)}, {"padding": (0, 1)}, {"padding": "same"}, {"dilation": (1, 2)}], ids=str)
def test_convolution_with_another_argument_differs(other: Options) -> None:
    assert wrong_in_convolution(convolution(RIGHT | other), (7, 8), RIGHT) == ["output"]


@pytest.mark.parametrize(("array", "name"), [("x", "grad_input"), ("weight", "weight.grad"), ("bias", "bias.grad")])
def test_wrong_gradient_of_a_convolution_differs(array: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last number of one gradient is off by 1."""
    layer, right = convolution(RIGHT), scratch.Conv2d.backward

    def backward(grad_output: Array) -> Array:
        grads = {"x": right(layer, grad_output), **layer.grads}
        grads[array].flat[-1] += 1
        return grads["x"]

    monkeypatch.setattr(layer, "backward", backward)
    assert wrong_in_convolution(layer, (7, 8), RIGHT) == [name]


def shares_of_maximum(pixels: Array, size: int, ties: str) -> tuple[float, Array]:
    """Return the largest pixel of a window, and the part of the gradient that each pixel gets."""
    won = np.flatnonzero(pixels == pixels.max())
    winners = {"first": won[:1], "last": won[-1:]}.get(ties, won)
    return pixels.max(), np.isin(np.arange(len(pixels)), winners) / (len(winners) if ties == "split" else 1)


def shares_of_mean(pixels: Array, size: int, count_padding: bool) -> tuple[float, Array]:
    """Return the mean of a window of this size, and the part of the gradient that each pixel gets."""
    count = size if count_padding else len(pixels)
    return pixels.sum() / count, np.full(len(pixels), 1 / count)


POOLS: list[tuple[type[Any], Callable[..., tuple[float, Array]], Options]] = [
    *((scratch.MaxPool2d, shares_of_maximum, {"ties": ties}) for ties in TIE_RULES),
    *((fast.MaxPool2d, shares_of_maximum, {"ties": ties}) for ties in TIE_RULES),
    *((scratch.AvgPool2d, shares_of_mean, {"count_padding": counted}) for counted in (True, False)),
]
FAST_POOLS = [(fast.MaxPool2d, shares, own) for kind, shares, own in POOLS if kind is scratch.MaxPool2d]


def is_pooled(layer: Any, shares: Callable[..., tuple[float, Array]], own: Options, size: tuple[int, ...], options: Options) -> bool:
    """Return whether a pooling keeps to its definition, both ways."""
    rows, columns = axes(size, options)
    x, grad_output = UNIT * (integers(0, 2, 3, *size) // 7), UNIT * integers(1, 2, 3, len(rows), len(columns))
    output, grad_input = np.zeros(grad_output.shape), np.zeros(x.shape)
    for image, channel, i, j in np.ndindex(output.shape):
        window = image, channel, *np.ix_(list(rows[i].values()), list(columns[j].values()))
        output[image, channel, i, j], parts = shares(x[window].ravel(), np.prod(options["kernel_size"]), **own)
        grad_input[window] += np.round(parts * grad_output[image, channel, i, j]).reshape(grad_input[window].shape)
    return np.array_equal(layer.forward(x), output) and np.array_equal(layer.backward(grad_output), grad_input)


@pytest.mark.parametrize(("kind", "shares", "own"), [*POOLS, *FAST_POOLS])
@given(geometries(pooling=True))
def test_pooling(kind: type[Any], shares: Callable[..., tuple[float, Array]], own: Options, geometry: tuple[Options, tuple[int, ...]]) -> None:
    options, size = geometry
    assert is_pooled(kind(**options, **own), shares, own, size, options)


def test_no_pooling_passes_for_another_one() -> None:
    options, size = {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1)}, (6, 7)
    pools = [(kind(**options, **own), shares, own) for kind, shares, own in POOLS]
    passed = [[own for _, shares, own in pools if is_pooled(layer, shares, own, size, options)] for layer, _, _ in pools]
    assert [owns.count(own) == len(owns) for owns, (_, _, own) in zip(passed, pools, strict=True)] == [True] * len(pools)
