"""Pooling: winners by argmax, by loops and by a running maximum; averages as quotients, as products, and in many orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.right_ways.summation import SUMS, Sum
from tests.support.right_ways.task import Results, Way, cotangent


@dataclass(frozen=True)
class Pool:
    """Square windows without padding."""

    kernel: int
    stride: int

    def windows(self, x: Array) -> Array:
        """Return the windows, each in a row, ``(batch, channels, rows, columns, pixels)``."""
        seen = sliding_window_view(x, (self.kernel, self.kernel), axis=(2, 3))[:, :, :: self.stride, :: self.stride]
        return seen.reshape(*seen.shape[:4], -1)

    def tap(self, x: Array, u: int, v: int, rows: int, columns: int) -> Array:
        return x[:, :, u : u + self.stride * rows : self.stride, v : v + self.stride * columns : self.stride]


def max_by_argmax(pool: Pool, call: Call) -> Results:
    """Return the first largest pixel of each window; the gradients are added where they belong by their indices."""
    g, windows = cotangent(call), pool.windows(call.x)
    winners = windows.argmax(axis=-1)
    n, c, i, j = np.indices(g.shape)
    grad = np.zeros_like(call.x)
    np.add.at(grad, (n, c, i * pool.stride + winners // pool.kernel, j * pool.stride + winners % pool.kernel), g)
    return {"output": windows.max(axis=-1), "grad_input": grad}


def max_by_loops(pool: Pool, call: Call) -> Results:
    """Return plain loops over windows, from the last to the first."""
    g = cotangent(call)
    output, grad, k, s = np.zeros_like(g), np.zeros_like(call.x), pool.kernel, pool.stride
    for n, c, i, j in reversed(list(np.ndindex(*g.shape))):
        window = call.x[n, c, i * s : i * s + k, j * s : j * s + k]
        u, v = np.unravel_index(int(window.argmax()), window.shape)
        output[n, c, i, j] = window[u, v]
        grad[n, c, i * s + int(u), j * s + int(v)] += g[n, c, i, j]
    return {"output": output, "grad_input": grad}


def max_tap_by_tap(pool: Pool, call: Call) -> Results:
    """Return a running maximum over the places of a window, which only a larger pixel changes."""
    g = cotangent(call)
    places = list(np.ndindex(pool.kernel, pool.kernel))
    output, winner = np.full_like(g, -np.inf), np.zeros(g.shape, np.intp)
    for number, (u, v) in enumerate(places):
        seen = pool.tap(call.x, u, v, *g.shape[2:])
        winner = np.where(seen > output, number, winner)
        output = np.maximum(output, seen)
    grad = np.zeros_like(call.x)
    for number, (u, v) in enumerate(places):
        pool.tap(grad, u, v, *g.shape[2:])[...] += np.where(winner == number, g, g.dtype.type(0))
    return {"output": output, "grad_input": grad}


def average(pool: Pool, total: Sum, call: Call, reciprocal: bool = False) -> Results:
    """Return means of windows in an order, divided by the number of pixels or multiplied by its reciprocal."""
    g = cotangent(call)
    count = call.dtype.type(pool.kernel**2)
    sums, shares = total(pool.windows(call.x)), g * (1 / count) if reciprocal else g / count
    grad = np.zeros_like(call.x)
    for u, v in np.ndindex(pool.kernel, pool.kernel):
        pool.tap(grad, u, v, *g.shape[2:])[...] += shares
    return {"output": sums * (1 / count) if reciprocal else sums / count, "grad_input": grad}


def average_of_shares(pool: Pool, call: Call) -> Results:
    """Return sums of pixels that were divided before, and cotangents added up before they are."""
    g = cotangent(call)
    count = call.dtype.type(pool.kernel**2)
    output, grad = np.zeros_like(g), np.zeros_like(call.x)
    for u, v in np.ndindex(pool.kernel, pool.kernel):
        output += pool.tap(call.x, u, v, *g.shape[2:]) / count
        pool.tap(grad, u, v, *g.shape[2:])[...] += g
    return {"output": output, "grad_input": grad / count}


def maximum_ways(pool: Pool) -> Mapping[str, Way]:
    return {"argmax": partial(max_by_argmax, pool), "loops": partial(max_by_loops, pool), "taps": partial(max_tap_by_tap, pool)}


def average_ways(pool: Pool) -> Mapping[str, Way]:
    return {
        **{name: partial(average, pool, total) for name, total in SUMS.items()},
        "reciprocal": partial(average, pool, SUMS["pairwise"], reciprocal=True),
        "shares": partial(average_of_shares, pool),
    }
