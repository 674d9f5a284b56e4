"""In the style of a from-scratch repository: convolutions of sequences, of volumes, and the transposed one that makes images larger.

Run it: ``crosscheck check examples/convolutions.py``. Strides, paddings and dilations differ along the axes, so that no two of them can be mixed up
unseen.
"""

import numpy as np


def conv1d_forward(x, w, b, stride, pad, dilation):
    """Convolve ``(batch, channels, time)`` with ``(filters, channels, taps)``."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    steps = (padded.shape[2] - dilation * (w.shape[2] - 1) - 1) // stride + 1
    out = np.zeros((len(x), len(w), steps), x.dtype)
    for k in range(w.shape[2]):
        start = k * dilation
        out += np.einsum("nct,fc->nft", padded[:, :, start : start + steps * stride : stride], w[:, :, k])
    return out + b[:, None], (padded, w, stride, pad, dilation)


def conv1d_backward(dout, cache):
    """Return the gradients of x, w and b."""
    padded, w, stride, pad, dilation = cache
    dpadded, dw, steps = np.zeros_like(padded), np.zeros_like(w), dout.shape[2]
    for k in range(w.shape[2]):
        seen = slice(k * dilation, k * dilation + steps * stride, stride)
        dw[:, :, k] = np.einsum("nft,nct->fc", dout, padded[:, :, seen])
        dpadded[:, :, seen] += np.einsum("nft,fc->nct", dout, w[:, :, k])
    return dpadded[:, :, pad : dpadded.shape[2] - pad], dw, dout.sum(axis=(0, 2))


def conv1d_backward_without_dilation(dout, cache):
    """Put the gradients of neighbouring taps side by side, as without a dilation."""
    padded, w, stride, pad, _ = cache
    dx, _, _ = conv1d_backward(dout, (padded, w, stride, pad, 1))
    _, dw, db = conv1d_backward(dout, cache)
    return dx, dw, db


def windows(size, strides, starts):
    """Return where the kernel's element ``starts`` looks, in each of the last axes."""
    return (..., *(slice(start, start + steps * stride, stride) for start, steps, stride in zip(starts, size, strides, strict=True)))


def conv3d_forward(x, w, b, strides):
    """Convolve ``(batch, channels, depth, height, width)`` without padding."""
    size = [(have - taps) // stride + 1 for have, taps, stride in zip(x.shape[2:], w.shape[2:], strides, strict=True)]
    out = np.zeros((len(x), len(w), *size), x.dtype)
    for taps in np.ndindex(w.shape[2:]):
        out += np.einsum("ncdhw,fc->nfdhw", x[windows(size, strides, taps)], w[:, :, *taps])
    return out + b[:, None, None, None], (x, w, strides)


def conv3d_backward(dout, cache):
    """Return the gradients of x, w and b."""
    x, w, strides = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for taps in np.ndindex(w.shape[2:]):
        seen = windows(dout.shape[2:], strides, taps)
        dw[:, :, *taps] = np.einsum("nfdhw,ncdhw->fc", dout, x[seen])
        dx[seen] += np.einsum("nfdhw,fc->ncdhw", dout, w[:, :, *taps])
    return dx, dw, dout.sum(axis=(0, 2, 3, 4))


def conv3d_backward_overwriting(dout, cache):
    """Assign where windows overlap and should add up."""
    x, w, strides = cache
    dx = np.zeros_like(x)
    for taps in np.ndindex(w.shape[2:]):
        dx[windows(dout.shape[2:], strides, taps)] = np.einsum("nfdhw,fc->ncdhw", dout, w[:, :, *taps])
    _, dw, db = conv3d_backward(dout, cache)
    return dx, dw, db


def transposed_forward(x, w, b, stride, pad, extra):
    """Spread ``(batch, channels, height, width)`` by ``(channels, filters, kh, kw)``; ``extra`` rows and columns more at the end."""
    (n, _, height, width), (_, filters, kh, kw) = x.shape, w.shape
    full = np.zeros((n, filters, (height - 1) * stride + kh + extra, (width - 1) * stride + kw + extra), x.dtype)
    for i, j in np.ndindex(kh, kw):
        full[windows((height, width), (stride, stride), (i, j))] += np.einsum("nchw,cf->nfhw", x, w[:, :, i, j])
    out = full[:, :, pad : full.shape[2] - pad, pad : full.shape[3] - pad]
    return out + b[:, None, None], (x, w, stride, pad)


def transposed_backward(dout, cache):
    """Return the gradients of x, w and b."""
    x, w, stride, pad = cache
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    dfull = np.pad(dout, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for i, j in np.ndindex(w.shape[2:]):
        seen = dfull[windows(x.shape[2:], (stride, stride), (i, j))]
        dx += np.einsum("nfhw,cf->nchw", seen, w[:, :, i, j])
        dw[:, :, i, j] = np.einsum("nchw,nfhw->cf", x, seen)
    return dx, dw, dout.sum(axis=(0, 2, 3))


def transposed_forward_extra_before(x, w, b, stride, pad, extra):
    """Add the extra rows and columns at the beginning."""
    out, cache = transposed_forward(x, w, b, stride, pad - extra, 0)
    return out[:, :, : out.shape[2] - extra, : out.shape[3] - extra], cache


def transposed_backward_flipped(dout, cache):
    """Turn the kernel by half a turn on the way back, which is already the way of a convolution."""
    x, w, stride, pad = cache
    dx, _, _ = transposed_backward(dout, (x, w[:, :, ::-1, ::-1], stride, pad))
    _, dw, db = transposed_backward(dout, cache)
    return dx, dw, db


# --- adapting ---
from torch import nn

from crosscheck import Functions, Pair

NAMES, CONF = {"w": "weight", "b": "bias"}, [[2, 2, 3], [(1, 2, 2)], [2, 1, 1]]
SEQUENCE = nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=3), [(2, 2, 11)], NAMES
VOLUME = nn.Conv3d(2, 3, (2, 3, 2), stride=(1, 2, 2)), [(2, 2, 4, 5, 6)], NAMES
LARGER = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), [(2, 2, 4, 3)], NAMES
PAIRS = [
    Pair(Functions(conv1d_forward, conv1d_backward, CONF[0]), *SEQUENCE, name="conv1d"),
    Pair(Functions(conv1d_forward, conv1d_backward_without_dilation, CONF[0]), *SEQUENCE, name="conv1d (wrong: no dilation on the way back)"),
    Pair(Functions(conv3d_forward, conv3d_backward, CONF[1]), *VOLUME, name="conv3d"),
    Pair(Functions(conv3d_forward, conv3d_backward_overwriting, CONF[1]), *VOLUME, name="conv3d (wrong: overlapping windows do not add up)"),
    Pair(Functions(transposed_forward, transposed_backward, CONF[2]), *LARGER, name="transposed"),
    Pair(Functions(transposed_forward_extra_before, transposed_backward, CONF[2]), *LARGER, name="transposed (wrong: extra rows come first)"),
    Pair(Functions(transposed_forward, transposed_backward_flipped, CONF[2]), *LARGER, name="transposed (wrong: flipped on the way back)"),
]
# --- end ---
