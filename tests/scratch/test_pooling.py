"""Pooling of any geometry against the definition in loops, exactly: all numbers are multiples of a window's size, so that no quotient is rounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratch
from scratch.layer import Array
from scratch.pooling import TIE_RULES, TieRule

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
UNIT = 2520
"""Every number from 1 to 9 divides it, and no window has more than nine pixels."""

Shares = Callable[[list[float], int], tuple[float, list[float]]]
"""From the pixels of a window, and the window's size with its padding, to its output and the share of the gradient that each pixel gets."""


@st.composite
def geometries(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int]]:
    """Draw the arguments of a pooling, and the size of an image that holds a window."""
    kernel, spare = draw(PAIRS), draw(PAIRS)
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    height, width = (max(k + s - 1 - 2 * p, 1) for k, s, p in zip(kernel, spare, padding, strict=True))
    return {"kernel_size": kernel, "stride": draw(PAIRS), "padding": padding}, (height, width)


def largest(ties: TieRule) -> Shares:
    """Return the rule of max pooling."""

    def shares(pixels: list[float], size: int) -> tuple[float, list[float]]:
        winners = [number for number, pixel in enumerate(pixels) if pixel == max(pixels)]
        winners = {"first": winners[:1], "last": winners[-1:]}.get(ties, winners)
        part = 1 / len(winners) if ties == "split" else 1.0
        return max(pixels), [part * (number in winners) for number in range(len(pixels))]

    return shares


def mean(count_padding: bool) -> Shares:
    """Return the rule of average pooling."""

    def shares(pixels: list[float], size: int) -> tuple[float, list[float]]:
        count = size if count_padding else len(pixels)
        return sum(pixels) / count, [1 / count] * len(pixels)

    return shares


def differing(layer: Any, rule: Shares, size: tuple[int, int], kernel_size: Any, stride: Any, padding: Any) -> list[str]:
    """Return the names of what a pooling computes otherwise than the definition."""
    rng = np.random.default_rng(0)
    x = UNIT * rng.integers(0, 3, (2, 3, *size)).astype(float)
    rows, columns = ((n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel_size, stride, strict=True))
    grad_output = UNIT * rng.integers(-9, 10, (2, 3, rows, columns)).astype(float)
    output, grad_input = np.zeros_like(grad_output), np.zeros_like(x)
    for image, channel, i, j in np.ndindex(output.shape):
        ends = [(stride[axis] * place - padding[axis], kernel_size[axis]) for axis, place in enumerate((i, j))]
        inside = [range(max(start, 0), min(start + length, n)) for (start, length), n in zip(ends, size, strict=True)]
        places = [(image, channel, row, column) for row, column in itertools.product(*inside)]
        output[image, channel, i, j], parts = rule([x[place] for place in places], kernel_size[0] * kernel_size[1])
        for place, part in zip(places, parts, strict=True):
            grad_input[place] += np.round(part * grad_output[image, channel, i, j])
    found: dict[str, Array] = {"output": layer.forward(x), "grad_input": layer.backward(grad_output)}
    return [name for name, value in (("output", output), ("grad_input", grad_input)) if not np.array_equal(found[name], value)]


RULES: dict[str, tuple[Callable[..., Any], Shares]] = {
    **{f"max, {ties}": (lambda ties=ties, **options: scratch.MaxPool2d(ties=ties, **options), largest(ties)) for ties in TIE_RULES},
    "average": (scratch.AvgPool2d, mean(count_padding=True)),
    "average of the image alone": (lambda **options: scratch.AvgPool2d(count_padding=False, **options), mean(count_padding=False)),
}


@pytest.mark.parametrize("name", RULES)
@given(geometries())
def test_any_geometry(name: str, geometry: tuple[dict[str, Any], tuple[int, int]]) -> None:
    (make, rule), (options, size) = RULES[name], geometry
    assert differing(make(**options), rule, size, **options) == []


def test_no_rule_passes_for_another_one() -> None:
    options = {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1)}
    pairs = itertools.permutations(RULES, 2)
    assert [(name, other) for name, other in pairs if not differing(RULES[name][0](**options), RULES[other][1], (6, 7), **options)] == []
