"""Two-dimensional convolution: im2col and BLAS, einsum, tap by tap, pixel by pixel, sums in many orders, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.right_ways.linear import given, results
from tests.support.right_ways.summation import CONTRACTIONS, Contraction, Sum
from tests.support.right_ways.task import Results, Way


@dataclass(frozen=True)
class Windows:
    """Where the kernel goes: stride and padding, alike in both directions."""

    stride: int = 1
    padding: int = 0

    def padded(self, x: Array) -> Array:
        p = self.padding
        return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))

    def of(self, x: Array, kernel: tuple[int, ...]) -> Array:
        """Return what each output pixel sees, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        return sliding_window_view(self.padded(x), kernel, axis=(2, 3))[:, :, :: self.stride, :: self.stride]

    def tap(self, padded: Array, u: int, v: int, rows: int, columns: int) -> Array:
        return padded[:, :, u : u + self.stride * rows : self.stride, v : v + self.stride * columns : self.stride]

    def cropped(self, padded: Array, x: Array) -> Array:
        (height, width), p = x.shape[2:], self.padding
        return padded[:, :, p : p + height, p : p + width].copy()

    def scattered(self, pieces: Array, x: Array) -> Array:
        """Return the input's gradient from what each window hands back, added tap by tap."""
        grad = np.zeros_like(self.padded(x))
        for u, v in np.ndindex(*pieces.shape[4:]):
            self.tap(grad, u, v, *pieces.shape[2:4])[...] += pieces[..., u, v]
        return self.cropped(grad, x)


def _over_positions(total: Sum, g: Array) -> Array:
    return total(g.transpose(1, 0, 2, 3).reshape(g.shape[1], -1))


def contracted(windows: Windows, contract: Contraction, total: Sum, call: Call) -> Results:
    """Return the three sums over windows, in one order."""
    x, w, b, g = given(call)
    seen = windows.of(x, w.shape[2:])
    output = contract("nchwuv,fcuv->nfhw", seen, w) + b[:, None, None]
    pieces = contract("nfhw,fcuv->nchwuv", g, w)
    return results(output, windows.scattered(pieces, x), contract("nchwuv,nfhw->fcuv", seen, g), _over_positions(total, g))


def im2col(windows: Windows, call: Call) -> Results:
    """Return the convolution as one product of matrices, the bias one more row of the weight."""
    x, w, b, g = given(call)
    seen = windows.of(x, w.shape[2:]).transpose(0, 2, 3, 1, 4, 5)
    columns = seen.reshape(-1, w[0].size)
    with_ones = np.concatenate([columns, np.ones((len(columns), 1), x.dtype)], axis=1)
    output = with_ones @ np.concatenate([w.reshape(len(w), -1), b[:, None]], axis=1).T
    rows = g.transpose(0, 2, 3, 1).reshape(-1, len(w))
    both = rows.T @ with_ones
    pieces = (rows @ w.reshape(len(w), -1)).reshape(seen.shape).transpose(0, 3, 1, 2, 4, 5)
    output = output.reshape(*seen.shape[:3], -1).transpose(0, 3, 1, 2)
    return results(output, windows.scattered(pieces, x), both[:, :-1].reshape(w.shape), both[:, -1])


def tap_by_tap(windows: Windows, call: Call) -> Results:
    """Return sums that start from the bias and add one tap of the kernel after another, the last one first."""
    x, w, b, g = given(call)
    padded, (rows, columns) = windows.padded(x), g.shape[2:]
    output = np.zeros_like(g) + b[:, None, None]
    grad, grad_weight = np.zeros_like(padded), np.zeros_like(w)
    for u, v in reversed(list(np.ndindex(*w.shape[2:]))):
        for channel in range(w.shape[1]):
            seen = windows.tap(padded, u, v, rows, columns)[:, channel]
            output += seen[:, None] * w[None, :, channel, u, v, None, None]
            grad_weight[:, channel, u, v] = (g * seen[:, None]).sum(axis=(3, 2)).sum(axis=0)
            for out in range(len(w)):
                windows.tap(grad, u, v, rows, columns)[:, channel] += g[:, out] * w[out, channel, u, v]
    return results(output, windows.cropped(grad, x), grad_weight, g.sum(axis=3).sum(axis=2).sum(axis=0))


def pixel_by_pixel(windows: Windows, call: Call) -> Results:
    """Return plain loops over output pixels, as beginners write them."""
    x, w, b, g = given(call)
    padded, s = windows.padded(x), windows.stride
    output, grad = np.zeros_like(g), np.zeros_like(padded)
    grad_weight, grad_bias = np.zeros_like(w), np.zeros_like(b)
    for n, f, i, j in np.ndindex(*g.shape):
        window = np.s_[n, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]]
        output[n, f, i, j] = np.sum(padded[window] * w[f]) + b[f]
        grad_weight[f] += g[n, f, i, j] * padded[window]
        grad_bias[f] += g[n, f, i, j]
        grad[window] += g[n, f, i, j] * w[f]
    return results(output, windows.cropped(grad, x), grad_weight, grad_bias)


def channels_last(windows: Windows, call: Call) -> Results:
    """Return products of matrices over the channels, which lie last in memory, added up over taps."""
    x, w, b, g = given(call)
    padded = np.ascontiguousarray(windows.padded(x).transpose(0, 2, 3, 1))
    cotangent = np.ascontiguousarray(g.transpose(0, 2, 3, 1))
    output, grad, grad_weight = np.zeros_like(cotangent), np.zeros_like(padded), np.zeros_like(w)
    for u, v in np.ndindex(*w.shape[2:]):
        taps = np.ascontiguousarray(w[:, :, u, v])
        seen, reached = (windows.tap(a.transpose(0, 3, 1, 2), u, v, *g.shape[2:]).transpose(0, 2, 3, 1) for a in (padded, grad))
        output += seen @ taps.T
        reached += cotangent @ taps
        grad_weight[:, :, u, v] = cotangent.reshape(-1, len(w)).T @ seen.reshape(-1, w.shape[1])
    grad_input = windows.cropped(np.ascontiguousarray(grad.transpose(0, 3, 1, 2)), x)
    return results((output + b).transpose(0, 3, 1, 2), grad_input, grad_weight, cotangent.sum(axis=(0, 1, 2)))


def gathered(windows: Windows, contract: Contraction, call: Call) -> Results:
    """Return the input's gradient as a convolution of grad_output, spread by the stride, with the kernels rotated by half a turn."""
    x, w, b, g = given(call)
    (high, wide), s, (rows, columns) = w.shape[2:], windows.stride, g.shape[2:]
    height, width = windows.padded(x).shape[2:]
    spread = np.zeros((*g.shape[:2], height + high - 1, width + wide - 1), g.dtype)
    spread[:, :, high - 1 : high - 1 + s * rows : s, wide - 1 : wide - 1 + s * columns : s] = g
    around = sliding_window_view(spread, (high, wide), axis=(2, 3))
    grad = contract("nfhwuv,fcuv->nchw", around, np.ascontiguousarray(w[..., ::-1, ::-1]))
    seen = windows.of(x, w.shape[2:])
    output = contract("fcuv,nchwuv->nfhw", w, seen) + b[:, None, None]
    return results(output, windows.cropped(grad, x), contract("nfhw,nchwuv->fcuv", g, seen), np.einsum("nfhw->f", g))


def ways(windows: Windows) -> Mapping[str, Way]:
    structured = {"im2col": im2col, "taps": tap_by_tap, "pixels": pixel_by_pixel, "channels last": channels_last}
    return {
        **{name: partial(contracted, windows, *pair) for name, pair in CONTRACTIONS.items()},
        **{name: partial(way, windows) for name, way in structured.items()},
        "gathered": partial(gathered, windows, CONTRACTIONS["blas"][0]),
        "gathered by einsum": partial(gathered, windows, CONTRACTIONS["einsum"][0]),
    }


BY_BLAS = ("blas", "im2col", "channels last", "gathered")
