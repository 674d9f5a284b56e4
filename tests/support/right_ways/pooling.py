"""Pooling: winners by argmax, by loops and by a running maximum; averages as quotients, as products, and in many orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.right_ways.summation import SUMS, Sum
from tests.support.right_ways.task import Results, Way


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


def _cotangent(call: Call) -> Array:
    assert call.grad_output is not None
    return call.grad_output


def max_by_argmax(pool: Pool) -> Way:
    """Return the first largest pixel of each window; the gradients are added where they belong by their indices."""

    def way(call: Call) -> Results:
        g, windows = _cotangent(call), pool.windows(call.x)
        winners = windows.argmax(axis=-1)
        n, c, i, j = np.indices(g.shape)
        grad = np.zeros_like(call.x)
        np.add.at(grad, (n, c, i * pool.stride + winners // pool.kernel, j * pool.stride + winners % pool.kernel), g)
        return {"output": windows.max(axis=-1), "grad_input": grad}

    return way


def max_by_loops(pool: Pool) -> Way:
    """Return plain loops over windows, from the last to the first."""

    def way(call: Call) -> Results:
        g = _cotangent(call)
        output, grad, k, s = np.zeros_like(g), np.zeros_like(call.x), pool.kernel, pool.stride
        for n, c, i, j in reversed(list(np.ndindex(*g.shape))):
            window = call.x[n, c, i * s : i * s + k, j * s : j * s + k]
            u, v = np.unravel_index(int(window.argmax()), window.shape)
            output[n, c, i, j] = window[u, v]
            grad[n, c, i * s + int(u), j * s + int(v)] += g[n, c, i, j]
        return {"output": output, "grad_input": grad}

    return way


def max_tap_by_tap(pool: Pool) -> Way:
    """Return a running maximum over the places of a window, which only a larger pixel changes."""

    def way(call: Call) -> Results:
        g = _cotangent(call)
        rows, columns = g.shape[2:]
        places = list(np.ndindex(pool.kernel, pool.kernel))
        output, winner = np.full_like(g, -np.inf), np.zeros(g.shape, np.intp)
        for number, (u, v) in enumerate(places):
            seen = pool.tap(call.x, u, v, rows, columns)
            winner = np.where(seen > output, number, winner)
            output = np.maximum(output, seen)
        grad = np.zeros_like(call.x)
        for number, (u, v) in enumerate(places):
            pool.tap(grad, u, v, rows, columns)[...] += np.where(winner == number, g, g.dtype.type(0))
        return {"output": output, "grad_input": grad}

    return way


def average(pool: Pool, total: Sum, reciprocal: bool = False) -> Way:
    """Return means of windows in an order, divided by the number of pixels or multiplied by its reciprocal."""

    def way(call: Call) -> Results:
        g, (rows, columns) = _cotangent(call), _cotangent(call).shape[2:]
        count = call.x.dtype.type(pool.kernel**2)
        sums, shares = total(pool.windows(call.x)), g * (1 / count) if reciprocal else g / count
        grad = np.zeros_like(call.x)
        for u, v in np.ndindex(pool.kernel, pool.kernel):
            pool.tap(grad, u, v, rows, columns)[...] += shares
        return {"output": sums * (1 / count) if reciprocal else sums / count, "grad_input": grad}

    return way


def average_of_shares(pool: Pool) -> Way:
    """Return sums of pixels that were divided before, and cotangents added up before they are."""

    def way(call: Call) -> Results:
        g, (rows, columns) = _cotangent(call), _cotangent(call).shape[2:]
        count = call.x.dtype.type(pool.kernel**2)
        output, grad = np.zeros_like(g), np.zeros_like(call.x)
        for u, v in np.ndindex(pool.kernel, pool.kernel):
            output += pool.tap(call.x, u, v, rows, columns) / count
            pool.tap(grad, u, v, rows, columns)[...] += g
        return {"output": output, "grad_input": grad / count}

    return way


def maximum_ways(pool: Pool) -> Mapping[str, Way]:
    made: Mapping[str, Callable[[Pool], Way]] = {"argmax": max_by_argmax, "loops": max_by_loops, "taps": max_tap_by_tap}
    return {name: make(pool) for name, make in made.items()}


def average_ways(pool: Pool) -> Mapping[str, Way]:
    return {
        **{name: average(pool, total) for name, total in SUMS.items()},
        "reciprocal": average(pool, SUMS["pairwise"], reciprocal=True),
        "shares": average_of_shares(pool),
    }
